package prom

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/prometheus/common/model"
)

// sorted puts series in the order of their labels, so that an error names the
// same ones whoever evaluated the query.
func sorted(m model.Matrix) model.Matrix {
	if len(m) > 1 {
		names := make(map[*model.SampleStream]string, len(m))
		for _, s := range m {
			names[s] = s.Metric.String()
		}
		slices.SortStableFunc(m, func(a, b *model.SampleStream) int { return strings.Compare(names[a], names[b]) })
	}
	return m
}

// single returns the values by time, of which there must be at most one for
// each time. Series that follow one another in time are one value each.
func single(m model.Matrix) (map[int64]float64, error) {
	n := 0
	for _, s := range m {
		n += len(s.Values)
	}
	values := make(map[int64]float64, n)
	faults := walk(m, func(t int64, v float64) { values[t] = v })
	if len(faults) == 0 {
		return values, nil
	}
	first := fault{}
	for _, f := range faults {
		if first.err == nil || f.before(first) {
			first = f
		}
	}
	return nil, first.err
}

// fault is why an answer is none at one time. Of the faults of one answer the
// one that comes first is its error.
type fault struct {
	series string // the one that is too much; empty: the whole query failed
	at     int64
	err    error
}

// before is the order of the series, as an answer that has both finds them.
func (f fault) before(g fault) bool {
	return cmp.Or(strings.Compare(f.series, g.series), cmp.Compare(f.at, g.at)) < 0
}

// walk calls f with every value, and returns the times that have none because
// there is a histogram or a second series.
func walk(m model.Matrix, f func(t int64, v float64)) map[int64]fault {
	var faults map[int64]fault
	add := func(t int64, s *model.SampleStream, err func() error) {
		if _, ok := faults[t]; ok {
			return
		}
		if faults == nil {
			faults = map[int64]fault{}
		}
		faults[t] = fault{series: s.Metric.String(), at: t, err: err()}
	}
	var owner map[int64]int
	if len(m) > 1 {
		owner = map[int64]int{}
	}
	for i, s := range m {
		for _, h := range s.Histograms {
			add(int64(h.Timestamp), s, func() error {
				return errors.New(clean("the query answers with a histogram, want one number: " + labelsOf(s.Metric)))
			})
		}
		for _, p := range s.Values {
			t := int64(p.Timestamp)
			if owner != nil {
				if first, taken := owner[t]; taken {
					add(t, s, func() error { return tooMany(m, p.Timestamp, first, i) })
					continue
				}
				owner[t] = i
			}
			f(t, float64(p.Value))
		}
	}
	return faults
}

func tooMany(m model.Matrix, t model.Time, first, second int) error {
	return errors.New(clean(fmt.Sprintf("the query answers with %d series, want 1: %s and %s; aggregate them, for example with sum(...)",
		seriesAt(m, t), labelsOf(m[first].Metric), labelsOf(m[second].Metric))))
}

func seriesAt(m model.Matrix, t model.Time) int {
	n := 0
	for _, s := range m {
		if _, ok := slices.BinarySearchFunc(s.Values, t, func(p model.SamplePair, t model.Time) int {
			return int(p.Timestamp - t)
		}); ok {
			n++
		}
	}
	return n
}

// labelsOf prints a label set, bounded.
func labelsOf(m model.Metric) string {
	const most = 100
	if s := []rune(m.String()); len(s) > most {
		return string(s[:most]) + "..."
	}
	return m.String()
}

// clean bounds a message that came from outside to one line.
func clean(msg string) string {
	runes := []rune(strings.ToValidUTF8(msg, "?"))
	if len(runes) > maxMessage {
		runes = append(runes[:maxMessage], []rune("...")...)
	}
	for i, r := range runes {
		if unicode.IsControl(r) {
			runes[i] = ' '
		}
	}
	return string(runes)
}
