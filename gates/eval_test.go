package gates_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

func TestVerdictOfAnInstant(t *testing.T) {
	down := errors.New("query Prometheus: connection refused")
	for _, tc := range []struct {
		name, expr string
		samples    map[string]gates.Sample
		want       gates.Verdict
		detail     string
	}{
		{"true passes", "signal.a < 0.01", map[string]gates.Sample{"a": value(0.004)}, gates.Pass, "a=0.004"},
		{"false fails", "signal.a < 0.01", map[string]gates.Sample{"a": value(0.25)}, gates.Fail, "a=0.25"},
		{"a whole number compares with a signal", "signal.a >= 400", map[string]gates.Sample{"a": value(400)}, gates.Pass, "a=400"},
		{"unknown is no data", "signal.a < 0.01", map[string]gates.Sample{"a": unknown("no series")}, gates.NoData, "a unknown: no series"},
		{"never sampled is no data", "signal.a < 0.01", nil, gates.NoData, "a unknown: not sampled"},
		{"not asked is an error", "signal.a < 0.01", map[string]gates.Sample{"a": failed(down)}, gates.Error, "a failed: query Prometheus: connection refused"},
		{"true or unknown is true", "signal.a > 1.0 || signal.b > 1.0", map[string]gates.Sample{"a": unknown("NaN"), "b": value(2)}, gates.Pass, "a unknown: NaN; b=2"},
		{"true or not asked is true", "signal.a > 1.0 || signal.b > 1.0", map[string]gates.Sample{"a": failed(down), "b": value(2)}, gates.Pass, "a failed: query Prometheus: connection refused; b=2"},
		{"false and unknown is false", "signal.a > 1.0 && signal.b > 1.0", map[string]gates.Sample{"a": value(0), "b": unknown("no series")}, gates.Fail, "a=0; b unknown: no series"},
		{"true and unknown is no data", "signal.a > 1.0 && signal.b > 1.0", map[string]gates.Sample{"a": value(2), "b": unknown("no series")}, gates.NoData, "a=2; b unknown: no series"},
		{"unknown beside not asked is an error", "signal.a > 1.0 && signal.b > 1.0", map[string]gates.Sample{"a": failed(down), "b": unknown("no series")}, gates.Error, "a failed: query Prometheus: connection refused; b unknown: no series"},
		{"a NaN is unknown", "!(signal.a > 0.03)", map[string]gates.Sample{"a": value(math.NaN())}, gates.NoData, "a unknown: NaN or infinite"},
		{"an infinity is unknown", "signal.a > 0.03", map[string]gates.Sample{"a": value(math.Inf(1))}, gates.NoData, "a unknown: NaN or infinite"},
		{"0/0 inside is unknown", "!(signal.a / signal.b > 0.03)", map[string]gates.Sample{"a": value(0), "b": value(0)}, gates.NoData, "a=0; b=0; the expression divides by zero or leaves the numbers"},
		{"1/0 inside is unknown", "signal.a / signal.b > 0.03", map[string]gates.Sample{"a": value(1), "b": value(0)}, gates.NoData, "a=1; b=0; the expression divides by zero or leaves the numbers"},
		{"a root of less than zero is unknown", "!(math.sqrt(signal.a) > 1.0)", map[string]gates.Sample{"a": value(-1)}, gates.NoData, "a=-1; the expression divides by zero or leaves the numbers"},
		{"a NaN in a list is unknown", "[signal.a / signal.a].all(x, !(x > 1.0))", map[string]gates.Sample{"a": value(0)}, gates.NoData, "a=0; the expression divides by zero or leaves the numbers"},
		{"true or 0/0 is true", "signal.a / signal.a > 1.0 || signal.a == 0.0", map[string]gates.Sample{"a": value(0)}, gates.Pass, "a=0"},
		{"whole numbers by zero are an error", "1 / int(signal.a) > 0", map[string]gates.Sample{"a": value(0)}, gates.Error, "a=0; division by zero"},
		{"a missing key is an error", "{'x': 1}[string(signal.a)] > 0", map[string]gates.Sample{"a": value(0)}, gates.Error, "a=0; no such key: 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := compile(t, plan.Advance, plan.Gate{Expr: tc.expr}, nil)
			got := f.eval(f.request(), tc.samples)
			if got.Verdict != tc.want || got.Now != tc.want || got.Detail != tc.detail {
				t.Errorf("got %s, now %s, %q; want %s, %q", got.Verdict, got.Now, got.Detail, tc.want, tc.detail)
			}
		})
	}
}

func TestResultCarriesTheGateAndTheValues(t *testing.T) {
	f := compile(t, plan.Breaches, plan.Gate{Expr: "signal.a > 0.03 && signal.b > 10", Message: "too many errors"}, nil)
	r := f.request()
	got := f.eval(r, map[string]gates.Sample{"a": value(0.05), "b": unknown("no series")})
	want := gates.Result{
		Key:     gates.Key{Revision: "abc", Stop: only, Effect: plan.Breaches, Name: "gate"},
		Verdict: gates.NoData, Now: gates.NoData,
		Expr: "signal.a > 0.03 && signal.b > 10", Message: "too many errors",
		Detail: "a=0.05; b unknown: no series",
		Values: map[string]float64{"a": 0.05},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFactsAreReadAndNamed(t *testing.T) {
	facts := gates.Facts{
		Position:  plan.Position{Phase: "gradual", Percent: 25},
		Declared:  plan.Position{Phase: "gradual", Percent: 50},
		StopSince: noon.Add(-90 * time.Minute), PhaseSince: noon.Add(-3 * time.Hour),
		Health: gates.Health{Cluster: true},
	}
	for expr, detail := range map[string]string{
		"position.phase == 'gradual' && position.percent == 25.0":    "position=gradual@25",
		"declared != position && declared.percent > 25":              "declared=gradual@50; position=gradual@25",
		"health.cluster && !health.gateway":                          "health.cluster=true, health.gateway=false",
		"stop.age == duration('90m') && phase.age == duration('3h')": "",
		"stop.since + duration('90m') == now && phase.since < now":   "",
		"now == timestamp('2026-11-22T12:00:00Z')":                   "",
	} {
		f := compile(t, plan.Enter, plan.Gate{Expr: expr}, nil)
		if got := f.evalFacts(f.request(), nil, facts); got.Verdict != gates.Pass || got.Detail != detail {
			t.Errorf("%s is %s (%q), want Pass (%q)", expr, got.Verdict, got.Detail, detail)
		}
	}
}

func TestAgeOfAStopNeverEnteredIsUnknown(t *testing.T) {
	for _, expr := range []string{"stop.age > duration('1h')", "now - stop.since > duration('1h')", "phase.age > duration('1h')", "has(phase.since) && phase.since < now"} {
		f := compile(t, plan.Enter, plan.Gate{Expr: expr}, nil)
		if got := f.eval(f.request(), nil); got.Verdict != gates.NoData || got.Detail != "no stop was entered yet" {
			t.Errorf("%s is %s (%q), want NoData", expr, got.Verdict, got.Detail)
		}
	}
}

func TestResultsFollowTheRequestsAndTheFile(t *testing.T) {
	p := &plan.Plan{Spec: plan.Spec{Phases: []plan.Phase{
		{Name: "one", Gates: plan.Gates{
			Advance:  []plan.Gate{{Name: "z", Expr: "true"}, {Name: "a", Expr: "true"}},
			Rollback: []plan.Gate{{Name: "r", Expr: "false"}},
		}},
		{Name: "two", Percents: []plan.Percent{5, 10}, Gates: plan.Gates{Enter: []plan.Gate{{Name: "e", Expr: "true"}}}},
	}}}
	prg, err := gates.Compile(p, gates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range prg.Eval("", []gates.Request{
		{Stop: plan.Position{Phase: "two", Percent: 5}, Effects: []plan.Effect{plan.Enter}},
		{Stop: plan.Position{Phase: "one"}, Effects: []plan.Effect{plan.Breaches, plan.Advance, plan.Pause}},
		{Stop: plan.Position{Phase: "gone"}, Effects: plan.Effects},
	}, gates.Snapshot{Now: noon}) {
		got = append(got, r.Stop.String()+" "+string(r.Effect)+" "+r.Name)
	}
	if diff := cmp.Diff([]string{"two@5 enter e", "one rollback r", "one advance z", "one advance a"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestEvaluationStopsWithItsContext(t *testing.T) {
	f := compile(t, plan.Advance, plan.Gate{Expr: "signal.a < 1.0"}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rs := f.prg.EvalContext(ctx, "", []gates.Request{f.request()}, gates.Snapshot{Now: noon})
	if rs[0].Verdict != gates.Error || !strings.Contains(rs[0].Detail, "canceled") {
		t.Errorf("got %s, %q; want Error that says canceled", rs[0].Verdict, rs[0].Detail)
	}
}

func TestLoopsAreCutOffByTheirCost(t *testing.T) {
	// The static bound knows nothing of the length, so the list is bounded
	// by lists.range itself and the loop by what it costs when run.
	p := gatePlan(plan.Advance, plan.Gate{Expr: "lists.range(int(signal.a)).all(x, x >= 0)"}, nil)
	prg, err := gates.Compile(p, gates.Options{})
	if err != nil {
		return // refused when read: as good
	}
	f := fixture{t: t, prg: prg, effect: plan.Advance}
	if got := f.eval(f.request(), map[string]gates.Sample{"a": value(1e6)}); got.Verdict != gates.Error {
		t.Errorf("a loop of a million is %s, want Error", got.Verdict)
	}
}

func TestNeedsAreOnceAndSorted(t *testing.T) {
	signals := map[string]plan.Signal{
		"a": {Query: "z_query", Samples: &plan.Samples{Query: "count", Min: 400}, MaxAge: plan.Duration(2 * time.Minute)},
		"b": {Query: "a_query", Freshness: "age"},
		"c": {Query: "unused"},
	}
	p := &plan.Plan{Spec: plan.Spec{Signals: signals, Phases: []plan.Phase{{Name: "only", Gates: plan.Gates{
		Advance: []plan.Gate{
			{Name: "1", Expr: "signal.a < 0.01 && has(signal.b)", For: plan.Duration(time.Hour)},
			{Name: "2", Expr: "signal.a < 0.02"},
			{Name: "3", Expr: "signal.a < 0.01", For: plan.Duration(30 * 24 * time.Hour)},
		},
		Rollback: []plan.Gate{{Name: "4", Expr: "signal.a > 0.02"}, {Name: "5", Expr: "signal.a > 0.02 ", For: plan.Duration(time.Hour)}},
	}}}}}
	prg, err := gates.Compile(p, gates.Options{Interval: 15 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	b := gates.Need{Query: "a_query", Freshness: "age", MaxAge: 5 * time.Minute, Window: time.Hour + step, Step: 15 * time.Second}
	a := gates.Need{Query: "z_query", SamplesQuery: "count", SamplesMin: 400, MaxAge: 2 * time.Minute}
	hour, month := a, a
	hour.Window, hour.Step = time.Hour+step, step
	month.Step = 2592 * time.Second
	month.Window = 30*24*time.Hour + month.Step
	r := gates.Request{Stop: only, Effects: plan.Effects}
	if diff := cmp.Diff([]gates.Need{b, a, hour, month}, prg.Needs([]gates.Request{r, r})); diff != "" {
		t.Error(diff)
	}
	if got := prg.Needs([]gates.Request{{Stop: only, Effects: []plan.Effect{plan.Enter}}}); len(got) != 0 {
		t.Errorf("no gate needs %v", got)
	}
	if hour.Points() != 241 || month.Points() != 1001 || a.Points() != 0 {
		t.Errorf("windows have %d, %d and %d points, want 241, 1001 and 0", hour.Points(), month.Points(), a.Points())
	}
}

func TestCompileNamesEveryFault(t *testing.T) {
	p := gatePlan(plan.Pause, plan.Gate{Expr: "signal.x > 1.0"}, map[string]plan.Signal{"a": {Query: "rate("}})
	p.Metadata = plan.Metadata{Namespace: "default", Name: "shop"}
	_, err := gates.Compile(p, gates.Options{})
	if err == nil {
		t.Fatal("compiled")
	}
	for _, want := range []string{`compile gates of "default/shop"`, "spec.signals.a.query: unclosed left parenthesis", `spec.phases[0].gates.pause[0].expr: the plan has no signal "x"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

func TestExpressionsBuiltToHurtEndSoon(t *testing.T) {
	nested := func(depth int, head, tail string) string {
		return strings.Repeat(head, depth) + "true" + strings.Repeat(tail, depth)
	}
	for name, expr := range map[string]string{
		"parentheses":      nested(60, "(", ")"),
		"nots":             nested(4000, "!", ""),
		"minuses":          strings.Repeat("-", 4000) + "1 > 0",
		"lists":            nested(60, "[", "]"),
		"choices":          nested(500, "true?", ":true"),
		"chain":            nested(500, "signal.a > 1.0 && ", ""),
		"nested loops":     nested(12, "[1,2,3,4,5,6,7,8].all(x, ", ")"),
		"nested maps":      "[1,2].map(a, [1,2].map(b, [1,2].map(c, [1,2].map(d, [1,2].map(e, [1,2].map(f, [1,2].map(g, a+b+c+d+e+f+g))))))).size() > 0",
		"nested ranges":    "lists.range(1000).all(a, lists.range(1000).all(b, lists.range(1000).all(c, a+b+c >= 0)))",
		"a huge range":     "lists.range(1000000000).size() > 0",
		"growing text":     "'" + strings.Repeat("x", 500) + "'.replace('', '" + strings.Repeat("x", 500) + "').replace('', '" + strings.Repeat("x", 500) + "').replace('', '" + strings.Repeat("x", 500) + "').size() > 0",
		"wide format":      "'%.1000000000f'.format([1.0]).size() > 0",
		"regular":          "'" + strings.Repeat("a", 1000) + "'.matches('" + strings.Repeat("(a?){1000}", 100) + "$')",
		"open parentheses": strings.Repeat("(", 4000),
		"open brackets":    strings.Repeat("[{", 2000),
		"greatest":         nested(60, "math.greatest(1, ", ")"),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			prg, err := gates.Compile(gatePlan(plan.Advance, plan.Gate{Expr: expr}, nil), gates.Options{})
			if err == nil {
				f := fixture{t: t, prg: prg, effect: plan.Advance}
				got := f.eval(f.request(), map[string]gates.Sample{"a": value(2)})
				t.Logf("compiles and is %s: %.200s", got.Verdict, got.Detail)
			} else {
				t.Logf("refused: %.200s", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}
