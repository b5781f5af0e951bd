package gates_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

const step = 15 * time.Second

var nan = math.NaN()

// hourly has 241 points.
var hourly = plan.Gate{Expr: "signal.a < 1.0", For: plan.Duration(time.Hour)}

func replaced(vs []float64, v float64, at ...int) []float64 {
	for _, i := range at {
		vs[i] = v
	}
	return vs
}

func TestVerdictOfAWindow(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values []float64
		want   gates.Verdict
		now    gates.Verdict
		detail string
	}{
		{"true at all points", steady(241, 0), gates.Pass, gates.Pass, "true at all of 241 known points of the last 1h; a=0"},
		{"false now", replaced(steady(241, 0), 2, 240), gates.Fail, gates.Fail, "false at 1 of 241 known points of the last 1h; a=2"},
		{"false at the oldest point", replaced(steady(241, 0), 2, 0), gates.Fail, gates.Pass, "false at 1 of 241 known points of the last 1h; a=0"},
		{"false just before the window", replaced(steady(242, 0), 2, 0), gates.Pass, gates.Pass, "true at all of 241 known points of the last 1h; a=0"},
		{"90 % known", append(steady(24, nan), steady(217, 0)...), gates.Pass, gates.Pass, "true at all of 217 known points of the last 1h; a=0"},
		{"less than 90 % known", append(steady(25, nan), steady(216, 0)...), gates.NoData, gates.Pass, "216 of 241 points of the last 1h are known (a: no series); a=0"},
		{"unknown now, known before", append(steady(240, 0), nan), gates.Pass, gates.NoData, "true at all of 240 known points of the last 1h; a unknown: no series"},
		{"one false point among unknown ones", append(steady(240, nan), 2), gates.Fail, gates.Fail, "false at 1 of 1 known points of the last 1h; a=2"},
		{"nothing known", steady(241, nan), gates.NoData, gates.NoData, "0 of 241 points of the last 1h are known (a: no series); a unknown: no series"},
		{"an infinite point is unknown", replaced(steady(241, 0), math.Inf(-1), 7), gates.Pass, gates.Pass, "true at all of 240 known points of the last 1h; a=0"},
		{"too few points", steady(200, 0), gates.NoData, gates.Pass, "200 of 241 points of the last 1h are known (a: no point); a=0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, effect := range plan.Effects {
				f := compile(t, effect, hourly, nil)
				got := f.eval(f.request(), map[string]gates.Sample{"a": series(step, tc.values...)})
				if got.Verdict != tc.want || got.Now != tc.now || got.Detail != tc.detail {
					t.Errorf("%s: got %s, now %s, %q; want %s, now %s, %q", effect, got.Verdict, got.Now, got.Detail, tc.want, tc.now, tc.detail)
				}
			}
		})
	}
}

func TestWindowOfASignalThatFailedIsAnError(t *testing.T) {
	f := compile(t, plan.Breaches, hourly, nil)
	got := f.eval(f.request(), map[string]gates.Sample{"a": failed(errors.New("timed out"))})
	if got.Verdict != gates.Error || got.Now != gates.Error || got.Detail != "0 of 241 points of the last 1h are known; a failed: timed out" {
		t.Errorf("got %s, now %s, %q", got.Verdict, got.Now, got.Detail)
	}
}

func TestWindowWithAnErrorAtAPointIsAnError(t *testing.T) {
	f := compile(t, plan.Breaches, plan.Gate{Expr: "10 / int(signal.a) > 1", For: plan.Duration(time.Minute)}, nil)
	got := f.eval(f.request(), map[string]gates.Sample{"a": series(step, 1, 1, 1, 0, 1)})
	if got.Verdict != gates.Error || got.Now != gates.Pass || got.Detail != "could not be evaluated at 1 of 5 points of the last 1m: division by zero; a=1" {
		t.Errorf("got %s, now %s, %q", got.Verdict, got.Now, got.Detail)
	}
	got = f.eval(f.request(), map[string]gates.Sample{"a": series(step, 1, 1, 20, 0, 1)})
	if got.Verdict != gates.Fail {
		t.Errorf("a known false point beside an error is %s, want Fail", got.Verdict)
	}
}

func TestWindowTakesPointsOfSeveralSignalsTogether(t *testing.T) {
	f := compile(t, plan.Breaches, plan.Gate{Expr: "signal.a > 1.0 || signal.b > 1.0", For: plan.Duration(time.Minute)}, nil)
	got := f.eval(f.request(), map[string]gates.Sample{"a": series(step, 2, 2, nan, 0, 2), "b": series(step, 0, 0, 2, 2, nan)})
	if got.Verdict != gates.Pass {
		t.Errorf("one of two is true at each point: %s (%s), want Pass", got.Verdict, got.Detail)
	}
	got = f.eval(f.request(), map[string]gates.Sample{"a": series(step, 2, 2, nan, 0, 2), "b": series(step, 0, 0, 2, 0, nan)})
	if got.Verdict != gates.Fail {
		t.Errorf("both are false at one point: %s, want Fail", got.Verdict)
	}
}

func TestWindowToleratesASamplerThatRoundsItsTime(t *testing.T) {
	f := compile(t, plan.Advance, plan.Gate{Expr: "signal.a < 1.0", For: plan.Duration(time.Minute)}, nil)
	s := series(step, 0, 0, 0, 0, 0)
	for i := range s.Points {
		s.Points[i].Time = s.Points[i].Time.Add(-900 * time.Millisecond)
	}
	s.Last = s.Points[4]
	if got := f.eval(f.request(), map[string]gates.Sample{"a": s}); got.Verdict != gates.Pass {
		t.Errorf("got %s (%s), want Pass", got.Verdict, got.Detail)
	}
}

func TestWindowTakesEachPointForTheNearestStep(t *testing.T) {
	f := compile(t, plan.Advance, plan.Gate{Expr: "signal.a < 1.0", For: plan.Duration(time.Minute)}, nil)
	s := series(step, 0, 0, 0, 0, 0)
	s.Points[0].Time = s.Points[0].Time.Add(-2 * time.Second)
	s.Points[1].Time = s.Points[1].Time.Add(2 * time.Second)
	if got := f.eval(f.request(), map[string]gates.Sample{"a": s}); got.Verdict != gates.Pass {
		t.Errorf("got %s (%s), want Pass", got.Verdict, got.Detail)
	}
}

func TestOldPointsDoNotFillAWindow(t *testing.T) {
	f := compile(t, plan.Advance, plan.Gate{Expr: "signal.a < 1.0", For: plan.Duration(time.Minute)}, nil)
	s := series(step, 0, 0, 0, 0, 0)
	for i := range s.Points {
		s.Points[i].Time = s.Points[i].Time.Add(-45 * time.Second)
	}
	s.Last = s.Points[4]
	if got := f.eval(f.request(), map[string]gates.Sample{"a": s}); got.Verdict != gates.NoData {
		t.Errorf("got %s (%s), want NoData", got.Verdict, got.Detail)
	}
}

func TestAdvanceWindowStartsAtTheEntry(t *testing.T) {
	for _, tc := range []struct {
		name   string
		since  time.Duration
		values []float64
		want   gates.Verdict
		detail string
	}{
		{"entered as long ago as needed", time.Hour, steady(241, 0), gates.Pass, "true at all of 241 known points of the last 1h; a=0"},
		{"entered a moment later", time.Hour - time.Millisecond, steady(241, 0), gates.Fail, "true since the stop was entered; needs 1h; a=0"},
		{"entered now", 0, steady(241, 0), gates.Fail, "true since the stop was entered; needs 1h; a=0"},
		{"entered in the future", -time.Minute, steady(241, 0), gates.Fail, "true since the stop was entered; needs 1h; a=0"},
		{"false before the entry", 10 * time.Minute, replaced(steady(241, 0), 2, 100), gates.Fail, "true since the stop was entered; needs 1h; a=0"},
		{"false since the entry", 10 * time.Minute, replaced(steady(241, 0), 2, 231), gates.Fail, "false at 1 of 41 known points of the last 1h; a=0"},
		{"unknown since the entry", 10 * time.Minute, append(steady(100, 0), steady(141, nan)...), gates.NoData, "0 of 241 points of the last 1h are known (a: no series); a unknown: no series"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := compile(t, plan.Advance, hourly, nil)
			r := f.request()
			r.Since = noon.Add(-tc.since)
			got := f.eval(r, map[string]gates.Sample{"a": series(step, tc.values...)})
			if got.Verdict != tc.want || got.Detail != tc.detail {
				t.Errorf("got %s, %q; want %s, %q", got.Verdict, got.Detail, tc.want, tc.detail)
			}
		})
	}
	f := compile(t, plan.Advance, hourly, nil)
	r := f.request()
	for _, since := range []time.Duration{time.Minute, -time.Minute} {
		r.Since = noon.Add(-since)
		if got := f.eval(r, map[string]gates.Sample{"a": failed(errors.New("timed out"))}); got.Verdict != gates.Error {
			t.Errorf("not asked %s after the entry is %s, want Error", since, got.Verdict)
		}
	}
	for _, effect := range []plan.Effect{plan.Enter, plan.Pause, plan.Breaches} {
		f := compile(t, effect, hourly, nil)
		r := f.request()
		r.Since = noon.Add(-time.Minute)
		if got := f.eval(r, map[string]gates.Sample{"a": series(step, steady(241, 0)...)}); got.Verdict != gates.Pass {
			t.Errorf("a window of %s is bounded by the entry: %s", effect, got.Verdict)
		}
	}
}

// TestForTakesAsLongAsItSays names steps and points for an evaluation every 15s:
// a gate is true after its `for` and not at the evaluation after that.
func TestForTakesAsLongAsItSays(t *testing.T) {
	for _, tc := range []struct {
		window, step time.Duration
		points       int
	}{
		{time.Minute, 15 * time.Second, 5},
		{20 * time.Second, 10 * time.Second, 3},
		{5 * time.Second, 5 * time.Second, 2}, // not once in three evaluations
		{32 * time.Second, 8 * time.Second, 5},
		{61 * time.Second, 15 * time.Second, 6}, // a prime: 75s, and no 62 points
		{1500 * time.Millisecond, 1500 * time.Millisecond, 2},
		{30 * 24 * time.Hour, 2592 * time.Second, 1001},
	} {
		f := compile(t, plan.Advance, plan.Gate{Expr: "signal.a < 1.0", For: plan.Duration(tc.window)}, nil)
		n := f.prg.Needs([]gates.Request{f.request()})[0]
		if n.Step != tc.step || n.Points() != tc.points {
			t.Errorf("for: %s has %d points %s apart, want %d and %s", tc.window, n.Points(), n.Step, tc.points, tc.step)
		}
		r := f.request()
		span := time.Duration(tc.points-1) * tc.step
		for since, want := range map[time.Duration]gates.Verdict{span - time.Millisecond: gates.Fail, span: gates.Pass} {
			r.Since = noon.Add(-since)
			if got := f.eval(r, map[string]gates.Sample{"a": series(tc.step, steady(tc.points, 0)...)}); got.Verdict != want {
				t.Errorf("for: %s, %s after the entry: %s (%s), want %s", tc.window, since, got.Verdict, got.Detail, want)
			}
		}
	}
}

func TestAlarmsWaitForFreshEvidenceAfterABackwardMove(t *testing.T) {
	age := plan.Duration(time.Minute)
	for _, tc := range []struct {
		name, query string
		wait        time.Duration
	}{
		{"the range selector counts", "sum(rate(a[5m])) / sum(rate(b[2m]))", 5 * time.Minute},
		{"its offset counts", "sum(rate(a[5m] offset 1h))", 65 * time.Minute},
		{"a negative offset does not", "sum(rate(a[5m] offset -1m))", 5 * time.Minute},
		{"subqueries add up", "max_over_time(rate(a[5m])[1h:1m] offset 10m)", 75 * time.Minute},
		{"an instant selector can be as old as maxAge", "a / b", time.Minute},
		{"one in a subquery too", "max_over_time(a[10m:])", 11 * time.Minute},
		{"a fixed time does not count", "a @ 1600000000 + sum(rate(b[2m] @ 1600000000))", 0},
		{"no selector does not count", "vector(2)", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			signals := map[string]plan.Signal{"a": {Query: tc.query, MaxAge: age}}
			for _, effect := range plan.Effects {
				f := compile(t, effect, plan.Gate{Expr: "signal.a > 1.0"}, signals)
				r := f.request()
				r.Fresh = true
				waits := effect == plan.Pause || effect == plan.Breaches || effect == plan.Verify
				for since, early := range map[time.Duration]bool{tc.wait: true, tc.wait + time.Second: false} {
					r.Since = noon.Add(-since)
					got := f.eval(r, map[string]gates.Sample{tc.query: value(2)})
					want, detail := gates.Pass, "a=2"
					if waits && early {
						want, detail = gates.NoData, "waiting for fresh evidence: the stop was entered backward"
					}
					if got.Verdict != want || got.Now != want || got.Detail != detail {
						t.Errorf("%s %s after the entry: got %s, now %s, %q; want %s", effect, since, got.Verdict, got.Now, got.Detail, want)
					}
				}
			}
		})
	}
	// The least evidence counts too, and the default of maxAge is that of
	// Prometheus's own lookback.
	f := compile(t, plan.Breaches, plan.Gate{Expr: "signal.a > 1.0"}, map[string]plan.Signal{"a": {
		Query: "sum(a)", Samples: &plan.Samples{Query: "sum(increase(a[10m]))", Min: 1}}})
	r := f.request()
	r.Fresh, r.Since = true, noon.Add(-10*time.Minute)
	if got := f.eval(r, map[string]gates.Sample{"sum(a)": value(2)}); got.Verdict != gates.NoData {
		t.Errorf("evidence of before the entry is %s", got.Verdict)
	}
}

func TestWindowsOfAlarmsCountFreshPointsAlone(t *testing.T) {
	const query = "rate(a[5m])"
	f := compile(t, plan.Breaches, plan.Gate{Expr: "signal.a > 1.0", For: plan.Duration(2 * time.Minute)}, map[string]plan.Signal{"a": {Query: query}})
	r := f.request()
	r.Fresh = true
	samples := map[string]gates.Sample{query: series(step, steady(9, 2)...)}
	for since, want := range map[time.Duration]gates.Verdict{
		5 * time.Minute:      gates.NoData, // nothing is fresh
		6 * time.Minute:      gates.NoData, // half of the window is
		7 * time.Minute:      gates.NoData, // all but its oldest point, of the entry and 5m later
		7*time.Minute + step: gates.Pass,
	} {
		r.Since = noon.Add(-since)
		if got := f.eval(r, samples); got.Verdict != want {
			t.Errorf("%s after the entry: %s (%s), want %s", since, got.Verdict, got.Detail, want)
		} else if got.Waits != (want == gates.NoData) {
			t.Errorf("%s after the entry it waits: %t", since, got.Waits)
		}
	}
	r.Since = noon.Add(-6 * time.Minute)
	samples[query] = series(step, 2, 2, 2, 2, nan, 2, nan, 2, nan)
	if got := f.eval(r, samples); got.Verdict != gates.NoData || got.Waits {
		t.Errorf("too few fresh points are %s, waits: %t; they do not come by themselves", got.Verdict, got.Waits)
	}
	samples[query] = series(step, 0, 2, 2, 2, 2, 2, 2, 2, 2)
	if got := f.eval(r, samples); got.Verdict != gates.NoData {
		t.Errorf("a stale point made it %s (%s), want NoData", got.Verdict, got.Detail)
	}
	samples[query] = series(step, 2, 2, 2, 2, 2, 2, 2, 2, 0)
	if got := f.eval(r, samples); got.Verdict != gates.Fail {
		t.Errorf("a fresh false point made it %s, want Fail", got.Verdict)
	}
}
