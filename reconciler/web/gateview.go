package web

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/live"
)

// gateView is one gate as the page shows it.
type gateView struct {
	gates.Result
	Word    string
	Tone    Tone
	Effect  string // what it is for, in words
	At      string // its stop in words
	Lasts   string
	Says    string
	Blocks  bool
	Values  []valueView
	Strip   *strip
	Another bool // another revision has a gate of this name
}

// valueView is a value that a gate reads, with its course.
type valueView struct {
	Name, Value, Limit string
	Spark              *spark
}

// gatesOf lists the gates, those that block first.
func gatesOf(s reconciler.Status, t live.Trace, now time.Time) []gateView {
	out := make([]gateView, 0, len(s.Gates))
	seen := map[live.Gate]int{}
	for _, r := range s.Gates {
		seen[live.GateOf(r)]++
	}
	for _, r := range s.Gates {
		id := live.GateOf(r)
		g := gateView{
			Result: r, Word: VerdictWord(r), Tone: gateTone(r), Effect: effects[r.Effect], At: place(r.Stop), Says: gateSays(r), Blocks: blocking(r),
			Another: seen[id] > 1,
		}
		if runs := t.Gates[id]; len(runs) > 0 && seen[id] == 1 {
			if len(runs) > 1 { // before the first the daemon did not look
				g.Lasts = Age(time.UnixMilli(runs[len(runs)-1].At), now)
			}
			g.Strip = stripOf(r, runs, now)
		}
		for _, name := range slices.Sorted(maps.Keys(r.Values)) {
			limit, ok := limitIn(r.Expr, name)
			v := valueView{Name: name, Value: short(r.Values[name])}
			if ok {
				v.Limit = short(limit)
			} else {
				limit = math.NaN()
			}
			v.Spark = sparkOf(t.Values[name], limit, name)
			g.Values = append(g.Values, v)
		}
		out = append(out, g)
	}
	rank := func(g gateView) int {
		switch {
		case g.Tone == Bad:
			return 0
		case g.Blocks:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(out, func(a, b gateView) int { return rank(a) - rank(b) })
	return out
}

// gateTone is that of a verdict, but for gates that only wait: nothing is broken.
func gateTone(r gates.Result) Tone {
	if r.Verdict == gates.Fail && !alarm(r) {
		return Warn
	}
	return VerdictTone(r)
}

// comparison finds NAME OP NUMBER in an expression.
var comparison = regexp.MustCompile(`(?:signal\.)?([A-Za-z_][A-Za-z0-9_.]*)\s*(?:<=|>=|<|>)\s*([0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)\s*(?:[)&|?:]|$)`)

// limitIn is the number with which an expression compares a value, where it
// says so plainly.
func limitIn(expr, name string) (float64, bool) {
	for _, m := range comparison.FindAllStringSubmatch(expr, -1) {
		if m[1] == name {
			v, err := strconv.ParseFloat(m[2], 64)
			return v, err == nil
		}
	}
	return 0, false
}
