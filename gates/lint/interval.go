package lint

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// interval is the numbers between two ends, which belong to it unless open.
// Infinite ends are open.
type interval struct {
	lo, hi         float64
	loOpen, hiOpen bool
}

// set is numbers: intervals that are not empty, in order, with gaps between.
type set []interval

var (
	inf = math.Inf(1)
	all = set{{lo: -inf, hi: inf, loOpen: true, hiOpen: true}}
)

func below(v float64, open bool) set { return set{{lo: -inf, hi: v, loOpen: true, hiOpen: open}} }
func above(v float64, open bool) set { return set{{lo: v, hi: inf, loOpen: open, hiOpen: true}} }
func between(lo, hi float64) set {
	return set{{lo: lo, hi: hi, loOpen: math.IsInf(lo, 0), hiOpen: math.IsInf(hi, 0)}}
}
func only(v float64) set { return set{{lo: v, hi: v}} }

func (i interval) empty() bool { return i.lo > i.hi || i.lo == i.hi && (i.loOpen || i.hiOpen) }

func (s set) and(t set) set {
	var out set
	for _, a := range s {
		for _, b := range t {
			i := interval{lo: max(a.lo, b.lo), hi: min(a.hi, b.hi)}
			i.loOpen = a.loOpen && a.lo == i.lo || b.loOpen && b.lo == i.lo
			i.hiOpen = a.hiOpen && a.hi == i.hi || b.hiOpen && b.hi == i.hi
			if !i.empty() {
				out = append(out, i)
			}
		}
	}
	return out
}

func (s set) or(t set) set {
	sorted := slices.SortedFunc(slices.Values(slices.Concat(s, t)), func(a, b interval) int {
		// The closed end is the lower one.
		return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(btoi(a.loOpen), btoi(b.loOpen)))
	})
	var out set
	for _, i := range sorted {
		n := len(out) - 1
		if n < 0 || i.lo > out[n].hi || i.lo == out[n].hi && i.loOpen && out[n].hiOpen {
			out = append(out, i)
			continue
		}
		if last := &out[n]; i.hi > last.hi || i.hi == last.hi && !i.hiOpen {
			last.hi, last.hiOpen = i.hi, i.hiOpen
		}
	}
	return out
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s set) not() set {
	out := all
	for _, i := range s {
		var rest set
		if !math.IsInf(i.lo, -1) {
			rest = below(i.lo, !i.loOpen)
		}
		if !math.IsInf(i.hi, 1) {
			rest = rest.or(above(i.hi, !i.hiOpen))
		}
		out = out.and(rest)
	}
	return out
}

func (s set) empty() bool { return len(s) == 0 }

// within reports whether every number of s is in t.
func (s set) within(t set) bool { return s.and(t.not()).empty() }

// witness is a number of a set that is not empty.
func (s set) witness() float64 {
	i := s[0]
	switch lo, hi := math.IsInf(i.lo, 0), math.IsInf(i.hi, 0); {
	case !i.loOpen:
		return i.lo
	case !i.hiOpen:
		return i.hi
	case lo && hi:
		return 0
	case lo:
		return i.hi - max(1, math.Abs(i.hi))
	case hi:
		return i.lo + max(1, math.Abs(i.lo))
	}
	return i.lo + (i.hi-i.lo)/2
}

// of writes the set as conditions on a term, for people:
// 0.01 <= signal.errors < 0.02.
func (s set) of(term string) string {
	parts := make([]string, len(s))
	for k, i := range s {
		lo, hi := number(i.lo), number(i.hi)
		switch {
		case i.lo == i.hi:
			parts[k] = term + " == " + lo
		case math.IsInf(i.lo, 0) && math.IsInf(i.hi, 0):
			parts[k] = "any " + term
		case math.IsInf(i.lo, 0):
			parts[k] = term + sign(" <", i.hiOpen) + hi
		case math.IsInf(i.hi, 0):
			parts[k] = term + sign(" >", i.loOpen) + lo
		default:
			parts[k] = lo + sign(" <", i.loOpen) + term + sign(" <", i.hiOpen) + hi
		}
	}
	return strings.Join(parts, " or ")
}

func sign(s string, open bool) string {
	if open {
		return s + " "
	}
	return s + "= "
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
