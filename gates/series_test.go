package gates_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

const minute = time.Minute

// tail is a signal with a series of ten values, one a minute.
var tail = map[string]plan.Signal{
	"a": {Query: "a", Range: plan.Duration(10 * minute), Step: plan.Duration(minute)},
	"b": {Query: "b", Range: plan.Duration(10 * minute), Step: plan.Duration(minute)},
}

var none = math.NaN()

// rising is 1, 2, 3, ... n.
func rising(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(i + 1)
	}
	return out
}

func TestASeriesIsTheKnownValuesOfItsRange(t *testing.T) {
	down := errors.New("connection refused")
	ten := rising(10)
	holed := append([]float64{1, none}, rising(10)[2:]...)
	for _, tc := range []struct {
		name, expr string
		a          *gates.Sample
		want       gates.Verdict
		detail     string
	}{
		{"oldest first", "series.a == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]", new(series(minute, ten...)), gates.Pass, "series.a has 10 values, the newest 10"},
		{"a median", "quantile(series.a, 0.5) == 5.5", new(series(minute, ten...)), gates.Pass, "series.a has 10 values, the newest 10"},
		{"a hole is left out", "size(series.a) == 9 && series.a[1] == 3.0", new(series(minute, holed...)), gates.Pass, "series.a has 9 values, the newest 10"},
		{"two holes of ten are too many", "size(series.a) > 0", new(series(minute, append([]float64{none, none}, rising(8)...)...)), gates.NoData, "series.a unknown: 8 of 10 values are known (no series)"},
		{"as many as there are points, not as were answered", "size(series.a) > 0", new(series(minute, rising(8)...)), gates.NoData, "series.a unknown: 8 of 10 values are known (no points)"},
		{"the newest is missing", "size(series.a) > 0", new(series(minute, append(rising(9), none)...)), gates.NoData, "series.a unknown: no series"},
		{"more than the range is cut off", "size(series.a) == 10 && series.a[0] == 3.0", new(series(minute, rising(12)...)), gates.Pass, "series.a has 10 values, the newest 12"},
		{"beside its newest value", "quantile(series.a, 1.0) == signal.a", new(series(minute, ten...)), gates.Pass, "a=10; series.a has 10 values, the newest 10"},
		{"not asked", "size(series.a) > 0", nil, gates.NoData, "series.a unknown: not sampled"},
		{"not answered", "size(series.a) > 0", new(failed(down)), gates.Error, "series.a failed: connection refused"},
		{"unknown beside what is true", "size(series.a) > 0 || signal.b > 0.0", nil, gates.Pass, "b=1; series.a unknown: not sampled"},
		{"no total", "wilsonUpper(signal.b, signal.b - 1.0, 1.96) < 2.0", nil, gates.NoData, "b=1; the expression divides by zero or leaves the numbers, or wilsonUpper has no total"},
		{"no values", "!(quantile(series.a.filter(x, x > 99.0), 0.5) > 1.0)", new(series(minute, ten...)), gates.NoData, "series.a has 10 values, the newest 10; the expression divides by zero or leaves the numbers, or quantile has no values"},
		{"too few values of one", "mannWhitney(series.a, [1.0, 2.0, 3.0]) > 0.05", new(series(minute, ten...)), gates.NoData, "series.a has 10 values, the newest 10; the expression divides by zero or leaves the numbers, or mannWhitney has less than 4 values of one"},
		{"different lists", "mannWhitney(series.a, series.a.map(x, x + 100.0)) < 0.001", new(series(minute, ten...)), gates.Pass, "series.a has 10 values, the newest 10"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ss := map[string]gates.Sample{"b": value(1)}
			if tc.a != nil {
				ss["a"] = *tc.a
			}
			f := compile(t, plan.Advance, plan.Gate{Expr: tc.expr}, tail)
			got := f.eval(f.request(), ss)
			if got.Verdict != tc.want || got.Now != tc.want || got.Detail != tc.detail {
				t.Errorf("%s: got %s, %q\nwant %s, %q", tc.expr, got.Verdict, got.Detail, tc.want, tc.detail)
			}
		})
	}
}

func TestASeriesAsksForItsOwnWindow(t *testing.T) {
	f := compile(t, plan.Pause, plan.Gate{Expr: "quantile(series.a, 0.5) > signal.b && signal.a > 0.0"}, tail)
	var windows []time.Duration
	for _, n := range f.prg.Needs([]gates.Request{f.request()}) {
		windows = append(windows, n.Window)
		if n.Window > 0 && (n.Query != "a" || n.Step != minute || n.Points() != 10) {
			t.Errorf("asks for %+v", n)
		}
	}
	if len(windows) != 3 || windows[0] != 0 || windows[1] != 10*minute || windows[2] != 0 {
		t.Errorf("windows %v, want those of signal.a, series.a and signal.b", windows)
	}
}

// TestASeriesStartsAtTheEntry: what was before says nothing of this stop.
func TestASeriesStartsAtTheEntry(t *testing.T) {
	ss := map[string]gates.Sample{"a": series(minute, rising(10)...)}
	for _, tc := range []struct {
		effect  plan.Effect
		entered time.Duration
		fresh   bool
		want    gates.Verdict
	}{
		{plan.Advance, 10 * minute, false, gates.Pass},
		{plan.Advance, 10*minute - 1, false, gates.Fail},
		{plan.Advance, 10 * minute, true, gates.Pass},
		{plan.Pause, 1 * minute, false, gates.Pass},
		{plan.Breaches, 1 * minute, false, gates.Pass},
		{plan.Enter, 0, false, gates.Pass},
		// The range, and the 5 minutes that an instant selector looks back.
		{plan.Breaches, 15 * minute, true, gates.NoData},
		{plan.Breaches, 15*minute + 1, true, gates.Pass},
	} {
		f := compile(t, tc.effect, plan.Gate{Expr: "quantile(series.a, 0.5) > 5.0"}, tail)
		r := f.request()
		r.Since, r.Fresh = noon.Add(-tc.entered), tc.fresh
		got := f.eval(r, ss)
		if got.Verdict != tc.want || got.Now != tc.want {
			t.Errorf("%s entered %s ago, fresh %t: %s (%s), want %s", tc.effect, tc.entered, tc.fresh, got.Verdict, got.Detail, tc.want)
		}
		if tc.want == gates.Fail && !strings.Contains(got.Detail, "reaches back before the stop was entered: it needs 10m at the stop") {
			t.Errorf("detail %q", got.Detail)
		}
	}
}

// TestASeriesIsNeverMadeUp: whatever is known and unknown, a verdict that reads
// the series alone is given only with nine of ten values and the newest known.
func TestASeriesIsNeverMadeUp(t *testing.T) {
	f := compile(t, plan.Breaches, plan.Gate{Expr: "size(series.a) > 0 && series.a.all(x, x >= 0.0)"}, tail)
	rapid.Check(t, func(rt *rapid.T) {
		s := samples(rt, 10)["a"]
		for i := range s.Points {
			s.Points[i].Time = noon.Add(-time.Duration(9-i) * minute)
		}
		if len(s.Points) > 0 {
			s.Last = s.Points[9]
		}
		got := f.eval(f.request(), map[string]gates.Sample{"a": s})
		have := 0
		for _, p := range s.Points {
			if isKnown(s, p) {
				have++
			}
		}
		enough := have >= 9 && isKnown(s, s.Last)
		if decided := got.Verdict == gates.Pass || got.Verdict == gates.Fail; decided != enough {
			rt.Fatalf("%s with %d of 10 known, the newest known %t: %s", got.Verdict, have, isKnown(s, s.Last), got.Detail)
		}
	})
}

// TestTheLongestSeriesIsJudged: what compiles must also fit the bound at run
// time.
func TestTheLongestSeriesIsJudged(t *testing.T) {
	long := map[string]plan.Signal{"a": {Query: "a", Range: plan.Duration(plan.MaxPoints * minute), Step: plan.Duration(minute)}}
	for _, expr := range []string{
		"series.a.all(x, x < 2000.0)", "quantile(series.a, 0.99) > 1.0", "mannWhitney(series.a, series.a) > 0.05",
		"!series.a.exists(x, x > 1000.0)",
	} {
		f := compile(t, plan.Pause, plan.Gate{Expr: expr}, long)
		got := f.eval(f.request(), map[string]gates.Sample{"a": series(minute, rising(plan.MaxPoints)...)})
		if got.Verdict != gates.Pass {
			t.Errorf("%s is %s: %s", expr, got.Verdict, got.Detail)
		}
	}
}
