package gates_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// baselined is a plan with one gate, whose signals are a and b: then is what a
// was when the stop only was left, and week what it was a week ago.
func baselined(t testing.TB, effect plan.Effect, g plan.Gate, query string) fixture {
	t.Helper()
	p := gatePlan(effect, g, map[string]plan.Signal{
		"a": {Query: query, MaxAge: plan.Duration(time.Minute), Samples: &plan.Samples{Query: "count(a)", Min: 5}}, "b": {Query: "b"},
	})
	p.Spec.Baselines = map[string]plan.Baseline{
		"then": {Signal: "a", At: "only"}, "also": {Signal: "b", At: "only"}, "later": {Signal: "a", At: "gradual@50"},
		"week": {Signal: "a", Offset: plan.Duration(7 * 24 * time.Hour)},
	}
	prg, err := gates.Compile(p, gates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return fixture{t: t, prg: prg, effect: effect}
}

func TestARememberedBaselineIsAConstant(t *testing.T) {
	for _, tc := range []struct {
		name, expr string
		window     time.Duration
		recorded   map[string]float64
		want       gates.Verdict
		detail     string
	}{
		{"known", "signal.b < 2.0 * baseline.then", 0, map[string]float64{"then": 0.75}, gates.Pass, "b=1; baseline.then=0.75"},
		{"known and not so", "signal.b < baseline.then", 0, map[string]float64{"then": 0.75}, gates.Fail, "b=1; baseline.then=0.75"},
		{"not recorded", "signal.b < baseline.then", 0, nil, gates.NoData, "b=1; baseline.then unknown: none is on record, it is remembered when only is left"},
		{"another one recorded", "signal.b < baseline.then", 0, map[string]float64{"later": 2}, gates.NoData, "b=1; baseline.then unknown: none is on record, it is remembered when only is left"},
		{"not a number", "!(signal.b < baseline.then)", 0, map[string]float64{"then": math.NaN()}, gates.NoData, "b=1; baseline.then unknown: none is on record, it is remembered when only is left"},
		{"not needed", "signal.b > 0.0 || baseline.then > 0.0", 0, nil, gates.Pass, "b=1; baseline.then unknown: none is on record, it is remembered when only is left"},
		{"in a window", "signal.b < 2.0 * baseline.then", time.Minute, map[string]float64{"then": 0.75}, gates.Pass, "true at all of 5 known points of the last 1m; b=1; baseline.then=0.75"},
		{"not recorded, in a window", "signal.b < baseline.then", time.Minute, nil, gates.NoData, "0 of 5 points of the last 1m are known; b=1; baseline.then unknown: none is on record, it is remembered when only is left"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := baselined(t, plan.Pause, plan.Gate{Expr: tc.expr, For: plan.Duration(tc.window)}, "a")
			got := f.evalFacts(f.request(), map[string]gates.Sample{"b": series(step, steady(5, 1)...)}, gates.Facts{Baselines: tc.recorded})
			if got.Verdict != tc.want || got.Detail != tc.detail {
				t.Errorf("got %s, %q\nwant %s, %q", got.Verdict, got.Detail, tc.want, tc.detail)
			}
		})
	}
}

// TestABaselineByOffsetIsTheQueryOfThen names what is asked: all selectors are
// shifted, and there is no age.
func TestABaselineByOffsetIsTheQueryOfThen(t *testing.T) {
	for query, want := range map[string]string{
		"a":           "a offset 1w",
		"a offset 5m": "a offset 7d5m",
		"a offset -1h / sum(rate(b{x=\"y\"}[5m]))":      "a offset 6d23h / sum(rate(b{x=\"y\"}[5m] offset 1w))",
		"max_over_time(rate(a[5m])[1h:1m])":             "max_over_time(rate(a[5m] offset 1w)[1h:1m])",
		"(sum(rate(a[5m])) or vector(0))":               "(sum(rate(a[5m] offset 1w)) or vector(0))",
		"histogram_quantile(0.95, rate(a[5m]))":         "histogram_quantile(0.95, rate(a[5m] offset 1w))",
		"timestamp(a) - hour(b) + day_of_week(a) + 1e3": "timestamp(a offset 1w) - hour(b offset 1w) + day_of_week(a offset 1w) + 1000",
	} {
		f := baselined(t, plan.Pause, plan.Gate{Expr: "baseline.week > 0.0", For: plan.Duration(time.Minute)}, query)
		got := f.prg.Needs([]gates.Request{f.request()})
		wanted := []gates.Need{{Query: want, SamplesQuery: "count(a offset 1w)", SamplesMin: 5, Window: time.Minute + step, Step: step}}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
}

func TestABaselineThatCannotBeShiftedIsRefused(t *testing.T) {
	for query, why := range map[string]string{
		"a @ 1700000000":                  "time of its own with @",
		"max_over_time(a[1h:1m] @ 17000)": "time of its own with @",
		"time() - a":                      "time()",
		"a * (hour() > bool 8)":           "hour()",
		"predict_linear(a[1h], 3600)":     "predict_linear()",
	} {
		p := gatePlan(plan.Pause, plan.Gate{Expr: "true"}, map[string]plan.Signal{"a": {Query: query}})
		p.Spec.Baselines = map[string]plan.Baseline{"week": {Signal: "a", Offset: plan.Duration(time.Hour)}}
		if _, err := gates.Compile(p, gates.Options{}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", query, err, why)
		}
	}
}

func TestABaselineByOffsetIsSampled(t *testing.T) {
	f := baselined(t, plan.Breaches, plan.Gate{Expr: "signal.b > 2.0 * baseline.week"}, "a")
	const week = "a offset 1w"
	for want, ss := range map[gates.Verdict]map[string]gates.Sample{
		gates.Pass:   {"b": value(10), week: value(4)},
		gates.Fail:   {"b": value(7), week: value(4)},
		gates.NoData: {"b": value(10), week: unknown("no series")},
		gates.Error:  {"b": value(10), week: failed(errors.New("timed out"))},
	} {
		got := f.eval(f.request(), ss)
		if got.Verdict != want {
			t.Errorf("got %s (%s), want %s", got.Verdict, got.Detail, want)
		}
		if v, ok := got.Values["baseline.week"]; ok != (want == gates.Pass || want == gates.Fail) || ok && v != 4 {
			t.Errorf("%s has values %v", want, got.Values)
		}
	}
	// After a retreat the alarm waits for fresh values of b alone: an instant
	// selector looks back 5 minutes.
	r := f.request()
	r.Since, r.Fresh = noon.Add(-5*time.Minute-1), true
	if got := f.eval(r, map[string]gates.Sample{"b": value(10), week: value(4)}); got.Verdict != gates.Pass {
		t.Errorf("after a retreat: %s (%s)", got.Verdict, got.Detail)
	}
}

// TestDueAreTheBaselinesOfTheStop: what is remembered when the stop is left is
// the signal's own value, with all that makes it unknown.
func TestDueAreTheBaselinesOfTheStop(t *testing.T) {
	f := baselined(t, plan.Pause, plan.Gate{Expr: "true"}, "a")
	needs := f.prg.DueNeeds(only)
	if len(needs) != 2 || needs[0].Query != "a" || needs[0].SamplesMin != 5 || needs[0].MaxAge != time.Minute || needs[1].Query != "b" {
		t.Fatalf("asks for %+v", needs)
	}
	s := gates.Snapshot{Now: noon, Samples: map[gates.Need]gates.Sample{needs[0]: value(3), needs[1]: unknown("4 samples, need 5")}}
	want := map[string]gates.Point{"then": {Time: noon, Value: 3}, "also": {Time: noon, Unknown: "4 samples, need 5"}}
	if diff := cmp.Diff(want, f.prg.Due(only, s)); diff != "" {
		t.Errorf("due (-want +got):\n%s", diff)
	}
	s.Samples = map[gates.Need]gates.Sample{needs[0]: failed(errors.New("timed out"))}
	want = map[string]gates.Point{"then": {Time: noon, Unknown: "timed out"}, "also": {Unknown: "not sampled"}}
	if diff := cmp.Diff(want, f.prg.Due(only, s)); diff != "" {
		t.Errorf("due (-want +got):\n%s", diff)
	}
	for _, stop := range []plan.Position{{}, {Phase: "gradual"}, {Phase: "gradual", Percent: 10}} {
		if f.prg.Due(stop, s) != nil || len(f.prg.DueNeeds(stop)) > 0 {
			t.Errorf("%s: something is due", stop)
		}
	}
}
