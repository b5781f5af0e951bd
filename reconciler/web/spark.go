package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/reconciler/live"
)

// The box of a sparkline, in its own units.
const (
	sparkWide = 200
	sparkHigh = 40
	sparkEdge = 3 // room for the line's width
)

// spark is a line of values as SVG.
type spark struct {
	Path         string // of the line, with gaps where nothing was known
	Limit        string // the limit's height; empty: none is drawn
	LastX, LastY string // of the newest point; empty where it is not known
	Label        string // for who does not see it
}

// sparkOf draws a series beside a limit; NaN: there is none. Nil where there is
// nothing to draw yet.
func sparkOf(s live.Series, limit float64, name string) *spark {
	lo, hi, known := math.Inf(1), math.Inf(-1), 0
	for _, p := range s {
		if !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0) {
			lo, hi, known = min(lo, p.Value), max(hi, p.Value), known+1
		}
	}
	if known < 2 {
		return nil
	}
	least, most := lo, hi
	if !math.IsNaN(limit) {
		lo, hi = min(lo, limit), max(hi, limit)
	}
	if hi-lo < 1e-12 {
		lo, hi = lo-1, hi+1
	}
	first, last := s[0].At, s[len(s)-1].At
	x := func(at int64) string {
		return coord(sparkEdge + (sparkWide-2*sparkEdge)*float64(at-first)/float64(max(1, last-first)))
	}
	y := func(v float64) string { return coord(sparkHigh - sparkEdge - (sparkHigh-2*sparkEdge)*(v-lo)/(hi-lo)) }
	var b strings.Builder
	out := &spark{}
	pen := "M"
	for _, p := range s {
		if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
			pen, out.LastX, out.LastY = "M", "", ""
			continue
		}
		out.LastX, out.LastY = x(p.At), y(p.Value)
		b.WriteString(pen + out.LastX + " " + out.LastY)
		pen = "L"
	}
	out.Path = b.String()
	out.Label = fmt.Sprintf("%s over the last %s: between %s and %s", name, Span(time.Duration(last-first)*time.Millisecond), short(least), short(most))
	if !math.IsNaN(limit) {
		out.Limit = y(limit)
		out.Label += ", limit " + short(limit)
	}
	return out
}

// strip is a gate's verdicts over time, as segments of a bar.
type strip struct {
	Parts []segment
	Label string
}

type segment struct {
	X, Wide string
	Tone    Tone
}

// stripOf draws the verdicts of a gate up to now.
func stripOf(r gates.Result, runs []live.Run, now time.Time) *strip {
	first, end := runs[0].At, now.UnixMilli()
	if len(runs) < 2 || end <= first {
		return nil
	}
	out := &strip{}
	for i, run := range runs {
		to := end
		if i+1 < len(runs) {
			to = runs[i+1].At
		}
		r.Verdict = run.Verdict
		from := sparkWide * float64(run.At-first) / float64(end-first)
		out.Parts = append(out.Parts, segment{coord(from), coord(sparkWide * float64(to-run.At) / float64(end-first)), gateTone(r)})
	}
	out.Label = fmt.Sprintf("%d changes of its verdict in the last %s", len(runs)-1, Span(time.Duration(end-first)*time.Millisecond))
	return out
}

func coord(f float64) string { return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) }

// short is a value in four digits.
func short(f float64) string {
	if a := math.Abs(f); a >= 10000 && a < 1e15 {
		return thousands(int64(math.Round(f)))
	}
	return strconv.FormatFloat(f, 'g', 4, 64)
}

// thousands is a whole number with commas.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
