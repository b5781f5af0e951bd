package gates_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

var names = []string{"a", "b", "c"}

// condition draws an expression over the signals a, b and c.
func condition(t *rapid.T, depth int) string {
	kinds := []string{"compare", "compare", "and", "or", "not", "choose", "ratio", "any"}
	if depth == 0 {
		kinds = kinds[:1]
	}
	name := rapid.SampledFrom(names)
	number := rapid.SampledFrom([]string{"0.0", "0.5", "1.0", "2.0"})
	op := rapid.SampledFrom([]string{"<", "<=", ">", ">=", "==", "!="})
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "and":
		return fmt.Sprintf("(%s && %s)", condition(t, depth-1), condition(t, depth-1))
	case "or":
		return fmt.Sprintf("(%s || %s)", condition(t, depth-1), condition(t, depth-1))
	case "not":
		return fmt.Sprintf("!%s", condition(t, depth-1))
	case "choose":
		return fmt.Sprintf("(%s ? %s : %s)", condition(t, depth-1), condition(t, depth-1), condition(t, depth-1))
	case "ratio":
		return fmt.Sprintf("(signal.%s / signal.%s %s %s)", name.Draw(t, "x"), name.Draw(t, "y"), op.Draw(t, "op"), number.Draw(t, "n"))
	case "any":
		return fmt.Sprintf("[signal.%s, signal.%s].exists(x, x %s %s)", name.Draw(t, "x"), name.Draw(t, "y"), op.Draw(t, "op"), number.Draw(t, "n"))
	}
	return fmt.Sprintf("(signal.%s %s %s)", name.Draw(t, "x"), op.Draw(t, "op"), number.Draw(t, "n"))
}

// levels are values around those that conditions compare with.
var levels = []float64{0, 0.25, 0.5, 1, 1.5, 2, 3}

// point draws a value, or one that is unknown in one of the ways there are.
func point(t *rapid.T) gates.Point {
	switch rapid.IntRange(0, 9).Draw(t, "point") {
	case 0:
		return gates.Point{Unknown: "no series"}
	case 1:
		return gates.Point{Value: rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1)}).Draw(t, "odd")}
	}
	return gates.Point{Value: rapid.SampledFrom(levels).Draw(t, "value")}
}

func isKnown(s gates.Sample, p gates.Point) bool {
	return s.Err == nil && p.Unknown == "" && !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0)
}

// samples draws one for each signal, with n points.
func samples(t *rapid.T, n int) map[string]gates.Sample {
	out := map[string]gates.Sample{}
	for _, name := range names {
		var s gates.Sample
		for i := range n {
			p := point(t)
			p.Time = noon.Add(-time.Duration(n-1-i) * step)
			s.Points = append(s.Points, p)
		}
		if n > 0 {
			s.Last = s.Points[n-1]
		} else {
			s.Last = point(t)
			s.Last.Time = noon
		}
		if rapid.IntRange(0, 9).Draw(t, "err") == 0 {
			s.Err = errors.New("timed out")
		}
		if rapid.IntRange(0, 9).Draw(t, "sampled") > 0 {
			out[name] = s
		}
	}
	return out
}

// completions calls f with every assignment of levels to the unknown signals,
// as the verdict of an expression with nothing unknown.
func completions(expr string, known map[string]float64, f func(gates.Verdict)) {
	open := []string{}
	for _, n := range names {
		if _, ok := known[n]; !ok && strings.Contains(expr, "signal."+n) {
			open = append(open, n)
		}
	}
	full := map[string]float64{}
	for n, v := range known {
		full[n] = v
	}
	var assign func(int)
	fix := fixed(expr)
	assign = func(i int) {
		if i == len(open) {
			f(fix(full))
			return
		}
		for _, v := range levels {
			full[open[i]] = v
			assign(i + 1)
		}
	}
	assign(0)
}

// fixed evaluates an expression with all signals known.
func fixed(expr string) func(map[string]float64) gates.Verdict {
	p := gatePlan(plan.Enter, plan.Gate{Expr: expr}, nil)
	prg, err := gates.Compile(p, gates.Options{})
	if err != nil {
		panic(err)
	}
	r := []gates.Request{{Stop: only, Effects: []plan.Effect{plan.Enter}}}
	return func(values map[string]float64) gates.Verdict {
		s := gates.Snapshot{Now: noon, Samples: map[gates.Need]gates.Sample{}}
		for _, n := range prg.Needs(r) {
			s.Samples[n] = value(values[n.Query])
		}
		return prg.Eval("", r, s)[0].Verdict
	}
}

// TestUnknownNeverFlips is law 3 for an instant: a verdict that is given
// although something is unknown would be the same whatever it is. What divides
// by zero in a completion is unknown again and no contradiction.
func TestUnknownNeverFlips(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		expr := condition(rt, 3)
		ss := samples(rt, 0)
		f := compile(t, plan.Advance, plan.Gate{Expr: expr}, nil)
		got := f.eval(f.request(), ss)
		known := map[string]float64{}
		anyErr := false
		for n, s := range ss {
			if isKnown(s, s.Last) {
				known[n] = s.Last.Value
			}
			anyErr = anyErr || s.Err != nil && strings.Contains(expr, "signal."+n)
		}
		if diff := cmp.Diff(knownIn(expr, known), got.Values); diff != "" {
			rt.Fatalf("values (-want +got):\n%s", diff)
		}
		if got.Verdict == gates.Error && !anyErr {
			rt.Fatalf("%s is Error though every signal was asked: %s", expr, got.Detail)
		}
		if got.Verdict == gates.NoData && anyErr {
			rt.Fatalf("%s is NoData though a signal that it reads was not asked", expr)
		}
		if got.Verdict != gates.Pass && got.Verdict != gates.Fail {
			return
		}
		completions(expr, known, func(v gates.Verdict) {
			if v != got.Verdict && v != gates.NoData {
				rt.Fatalf("%s is %s with %v, but %s in a completion", expr, got.Verdict, known, v)
			}
		})
	})
}

func knownIn(expr string, known map[string]float64) map[string]float64 {
	var out map[string]float64
	for n, v := range known {
		if strings.Contains(expr, "signal."+n) {
			if out == nil {
				out = map[string]float64{}
			}
			out[n] = v
		}
	}
	return out
}

// TestWindowLaw compares `for` with its definition, point by point: never Pass
// with a known false point, with less than 90 % known, or before the window
// has passed since the entry.
func TestWindowLaw(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		expr := condition(rt, 1)
		n := rapid.IntRange(2, 13).Draw(rt, "points")
		effect := rapid.SampledFrom(plan.Effects).Draw(rt, "effect")
		window := time.Duration(n-1) * step
		f := compile(t, effect, plan.Gate{Expr: expr, For: plan.Duration(window)}, nil)
		r := f.request()
		r.Since = noon.Add(-time.Duration(rapid.IntRange(0, 20).Draw(rt, "since")) * step)
		r.Fresh = rapid.Bool().Draw(rt, "fresh")
		ss := samples(rt, n)
		got := f.eval(r, ss)

		first := noon.Add(-window - 1)
		if effect == plan.Advance && r.Since.After(first) {
			first = r.Since.Add(-1) // the entry itself counts
		}
		alarm := effect == plan.Pause || effect == plan.Breaches || effect == plan.Verify
		fresh := r.Since.Add(5 * time.Minute) // instant selectors, default maxAge
		pass, fail := 0, 0
		instant := compile(t, plan.Enter, plan.Gate{Expr: expr}, nil)
		for i := range n {
			at := noon.Add(-time.Duration(n-1-i) * step)
			if !at.After(first) || alarm && r.Fresh && !at.After(fresh) {
				continue
			}
			one := map[string]gates.Sample{}
			for name, s := range ss {
				one[name] = gates.Sample{Last: gates.Point{Time: noon, Value: s.Points[i].Value, Unknown: s.Points[i].Unknown}, Err: s.Err}
			}
			switch instant.eval(instant.request(), one).Verdict {
			case gates.Pass:
				pass++
			case gates.Fail:
				fail++
			}
		}
		switch got.Verdict {
		case gates.Pass:
			if fail > 0 || pass*10 < n*9 || effect == plan.Advance && noon.Sub(r.Since) < window {
				rt.Fatalf("Pass with %d true and %d false of %d points, entered %s ago", pass, fail, n, noon.Sub(r.Since))
			}
		case gates.Fail:
			if fail == 0 && !(effect == plan.Advance && noon.Sub(r.Since) < window) {
				rt.Fatalf("Fail with no false point (%s)", got.Detail)
			}
		default:
			if fail > 0 || pass*10 >= n*9 && !(effect == plan.Advance && noon.Sub(r.Since) < window) {
				rt.Fatalf("%s with %d true and %d false of %d points", got.Verdict, pass, fail, n)
			}
		}
	})
}

// TestEvalIsDeterministic is law 7: equal inputs, equal results.
func TestEvalIsDeterministic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := plan.Gate{Expr: condition(rt, 2), For: plan.Duration(rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(rt, "for"))}
		ss := samples(rt, 4)
		var first gates.Result
		for i := range 5 {
			f := compile(t, plan.Pause, g, nil)
			got := f.eval(f.request(), ss)
			if i == 0 {
				first = got
			} else if diff := cmp.Diff(first, got); diff != "" {
				rt.Fatalf("two evaluations differ:\n%s", diff)
			}
		}
	})
}
