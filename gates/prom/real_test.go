package prom_test

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/promtest"
)

// past is when the history of the tests ends: a time on a full minute, long
// enough ago that nothing of now is in sight.
var past = time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)

// history writes series in the OpenMetrics format: one sample every 15s over
// the hour that ends at past. A function returns the value so long before the
// end; NaN leaves the sample out.
func history(series map[string]func(ago time.Duration) float64) string {
	var b strings.Builder
	for name, f := range series {
		for ago := time.Hour; ago >= 0; ago -= 15 * time.Second {
			if v := f(ago); !math.IsNaN(v) {
				fmt.Fprintf(&b, "%s %g %d\n", name, v, past.Add(-ago).Unix())
			}
		}
	}
	return b.String() + "# EOF\n"
}

func always(v float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return v }
}

// until is a series whose last sample is that old.
func until(end time.Duration) func(time.Duration) float64 {
	return func(ago time.Duration) float64 {
		if ago < end {
			return math.NaN()
		}
		return 7
	}
}

func newClient(t *testing.T, o prom.Options) *prom.Client {
	t.Helper()
	c, err := prom.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sampleOne(t *testing.T, c *prom.Client, n gates.Need, now time.Time) gates.Sample {
	t.Helper()
	s, ok := c.Sample(t.Context(), []gates.Need{n}, now)[n]
	if !ok {
		t.Fatalf("no sample for %+v", n)
	}
	return s
}

func TestRealPrometheusInstant(t *testing.T) {
	server := promtest.Start(t, "{}", history(map[string]func(time.Duration) float64{
		`gauge`:                  always(0.25),
		`two{code="500"}`:        always(1),
		`two{code="502"}`:        always(2),
		`three{code="a"}`:        always(1),
		`three{code="b"}`:        always(1),
		`three{code="c"}`:        always(1),
		`old`:                    until(3 * time.Minute),
		`very_old`:               until(20 * time.Minute),
		`counter_total`:          func(ago time.Duration) float64 { return 3600 - ago.Seconds() },
		`side_total{side="old"}`: until(30 * time.Minute),
		`side_total{side="new"}`: always(1),
		`at{x="1"}`:              always(1),
	}))
	c := newClient(t, prom.Options{URL: server.URL})
	const min = time.Minute
	for _, tc := range []struct {
		name string
		need gates.Need
		want gates.Point
		err  string
	}{
		{"a value", gates.Need{Query: "gauge", MaxAge: min}, gates.Point{Value: 0.25}, ""},
		{"a scalar", gates.Need{Query: "scalar(gauge) * 2", MaxAge: min}, gates.Point{Value: 0.5}, ""},
		{"a number is always fresh", gates.Need{Query: "vector(42)", MaxAge: min}, gates.Point{Value: 42}, ""},
		{"a rate", gates.Need{Query: "sum(rate(counter_total[5m]))", MaxAge: min}, gates.Point{Value: 1}, ""},
		{"no series", gates.Need{Query: "nothing", MaxAge: min}, gates.Point{Unknown: "no series"}, ""},
		{"NaN", gates.Need{Query: "(gauge - gauge) / (gauge - gauge)", MaxAge: min}, gates.Point{Unknown: "NaN"}, ""},
		{"infinite", gates.Need{Query: "gauge / (gauge - gauge)", MaxAge: min}, gates.Point{Unknown: "infinite"}, ""},
		{"minus infinite", gates.Need{Query: "-gauge / (gauge - gauge)", MaxAge: min}, gates.Point{Unknown: "infinite"}, ""},
		{"two series", gates.Need{Query: "two", MaxAge: min}, gates.Point{}, `2 series, want 1: two{code="500"} and two{code="502"}`},
		{"three series", gates.Need{Query: "rate(three[5m])", MaxAge: min}, gates.Point{}, `3 series, want 1: {code="a"} and {code="b"}`},
		{"a range", gates.Need{Query: "gauge[1m]", MaxAge: min}, gates.Point{}, "answers with a matrix, want one number"},
		{"text", gates.Need{Query: `"x"`, MaxAge: min}, gates.Point{}, "answers with a string, want one number"},
		{"no query", gates.Need{Query: "sum(", MaxAge: min}, gates.Point{}, "parse the query"},
		{"too few samples", gates.Need{Query: "gauge", MaxAge: min, SamplesQuery: "vector(12)", SamplesMin: 400}, gates.Point{Unknown: "12 samples, need 400"}, ""},
		{"no samples", gates.Need{Query: "gauge", MaxAge: min, SamplesQuery: "nothing", SamplesMin: 400}, gates.Point{Unknown: "0 samples, need 400"}, ""},
		{"a part of a sample", gates.Need{Query: "gauge", MaxAge: min, SamplesQuery: "vector(399.6)", SamplesMin: 400}, gates.Point{Unknown: "399 samples, need 400"}, ""},
		{"NaN samples", gates.Need{Query: "gauge", MaxAge: min, SamplesQuery: "vector(NaN)", SamplesMin: 400}, gates.Point{Unknown: "NaN samples, need 400"}, ""},
		{"enough samples", gates.Need{Query: "gauge", MaxAge: min, SamplesQuery: "vector(400)", SamplesMin: 400}, gates.Point{Value: 0.25}, ""},
		{"samples of two series", gates.Need{Query: "gauge", MaxAge: min, SamplesQuery: "two", SamplesMin: 1}, gates.Point{}, "count samples: query Prometheus: the query answers with 2 series"},
		{"a stale gauge", gates.Need{Query: "old", MaxAge: 2 * min}, gates.Point{Unknown: "newest sample is older than 2m"}, ""},
		{"a gauge that is old but may be", gates.Need{Query: "old", MaxAge: 4 * min}, gates.Point{Value: 7}, ""},
		{"a stale rate", gates.Need{Query: "sum(rate(old[10m]))", MaxAge: 2 * min}, gates.Point{Unknown: "newest sample is older than 2m"}, ""},
		{"a stale rate beyond the lookback", gates.Need{Query: "sum(rate(very_old[1h]))", MaxAge: 5 * min}, gates.Point{Unknown: "newest sample is older than 5m"}, ""},
		{"an old rate within an hour", gates.Need{Query: "sum(rate(very_old[1h]))", MaxAge: time.Hour}, gates.Point{Value: 0}, ""},
		{"an old rate within 21m", gates.Need{Query: "sum(rate(very_old[1h]))", MaxAge: 21 * min}, gates.Point{Value: 0}, ""},
		{"an old rate beyond 19m", gates.Need{Query: "sum(rate(very_old[1h]))", MaxAge: 19 * min}, gates.Point{Unknown: "newest sample is older than 19m"}, ""},
		{"the newest of two selectors counts", gates.Need{Query: "last_over_time(very_old[1h]) + gauge", MaxAge: min}, gates.Point{Value: 7.25}, ""},
		{"in either order", gates.Need{Query: "gauge + last_over_time(very_old[1h])", MaxAge: min}, gates.Point{Value: 7.25}, ""},
		{"the newest of two series counts", gates.Need{Query: "sum(last_over_time(side_total[1h]))", MaxAge: min}, gates.Point{Value: 8}, ""},
		{"an offset is no age", gates.Need{Query: "gauge offset 30m", MaxAge: min}, gates.Point{Value: 0.25}, ""},
		{"a fixed time is no age", gates.Need{Query: "gauge @ 1709292600", MaxAge: min}, gates.Point{Value: 0.25}, ""},
		{"stale in a subquery", gates.Need{Query: "max_over_time(old[30m:1m])", MaxAge: 2 * min}, gates.Point{Unknown: "newest sample is older than 2m"}, ""},
		{"several selectors all stale", gates.Need{Query: "sum(rate(old[10m])) + sum(rate(very_old[1h]))", MaxAge: 2 * min}, gates.Point{Unknown: "newest sample is older than 2m"}, ""},
		{"an own query for the age", gates.Need{Query: "gauge", Freshness: "vector(61)", MaxAge: min}, gates.Point{Unknown: "newest sample is older than 1m"}, ""},
		{"an own query that says fresh", gates.Need{Query: "old", Freshness: "vector(60)", MaxAge: min}, gates.Point{Value: 7}, ""},
		{"an own query without answer", gates.Need{Query: "gauge", Freshness: "nothing", MaxAge: min}, gates.Point{Unknown: "the freshness query answers with no series"}, ""},
		{"an own query with NaN", gates.Need{Query: "gauge", Freshness: "vector(NaN)", MaxAge: min}, gates.Point{Unknown: "the age of the newest sample is NaN"}, ""},
		{"an own query of two series", gates.Need{Query: "gauge", Freshness: "two", MaxAge: min}, gates.Point{}, "find the age of the newest sample: query Prometheus: the query answers with 2 series"},
		{"what Prometheus refuses", gates.Need{Query: "gauge + on() group_left() two", MaxAge: min}, gates.Point{}, "it answered 422: execution: found duplicate series"},
		{"a name beyond letters", gates.Need{Query: `{__name__="at",x=~"1|\"ö"}`, MaxAge: min}, gates.Point{Value: 1}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := sampleOne(t, c, tc.need, past)
			if tc.err == "" && got.Err != nil || tc.err != "" && (got.Err == nil || !strings.Contains(got.Err.Error(), tc.err)) {
				t.Fatalf("error %v, want %q", got.Err, tc.err)
			}
			if got.Err != nil {
				return
			}
			tc.want.Time = past
			if diff := cmp.Diff(tc.want, got.Last); diff != "" {
				t.Error(diff)
			}
			if got.Points != nil {
				t.Errorf("got points without a window")
			}
		})
	}
}

func TestRealPrometheusWindow(t *testing.T) {
	gap := func(ago time.Duration) float64 {
		if ago > 10*time.Minute && ago <= 20*time.Minute {
			return math.NaN()
		}
		return ago.Minutes()
	}
	server := promtest.Start(t, "{}", history(map[string]func(time.Duration) float64{
		`gauge`:             gap,
		`pod{name="first"}`: func(ago time.Duration) float64 { return pick(ago > 30*time.Minute) },
		`pod{name="next"}`:  func(ago time.Duration) float64 { return pick(ago < 20*time.Minute) },
		`both{name="a"}`:    func(ago time.Duration) float64 { return pick(ago > 20*time.Minute) },
		`both{name="b"}`:    func(ago time.Duration) float64 { return pick(ago < 30*time.Minute) },
		`count`:             func(ago time.Duration) float64 { return pick(ago < 10*time.Minute) * 400 },
	}))
	c := newClient(t, prom.Options{URL: server.URL})
	window := func(query string) gates.Need {
		return gates.Need{Query: query, MaxAge: time.Minute, Window: 40 * time.Minute, Step: 30 * time.Second}
	}

	got := sampleOne(t, c, window("gauge"), past)
	if got.Err != nil || len(got.Points) != 80 {
		t.Fatalf("got %d points and error %v, want 80", len(got.Points), got.Err)
	}
	for i, p := range got.Points {
		ago := time.Duration(79-i) * 30 * time.Second
		want := gates.Point{Time: past.Add(-ago), Value: ago.Minutes()}
		switch {
		case ago > 10*time.Minute && ago < 15*time.Minute+15*time.Second:
			// The lookback reaches the sample of 20m15s ago until 15m15s ago.
			want = gates.Point{Time: want.Time, Unknown: "no series"}
		case ago >= 15*time.Minute+15*time.Second && ago <= 19*time.Minute:
			want = gates.Point{Time: want.Time, Unknown: "newest sample is older than 1m"}
		case ago > 19*time.Minute && ago <= 20*time.Minute:
			want.Value = 20.25
		}
		if diff := cmp.Diff(want, p); diff != "" {
			t.Fatalf("%s before the end:\n%s", ago, diff)
		}
	}
	if diff := cmp.Diff(gates.Point{Time: past, Value: 0}, got.Last); diff != "" {
		t.Error(diff)
	}

	got = sampleOne(t, c, window("pod"), past)
	if got.Err != nil {
		t.Errorf("series that follow one another: %v", got.Err)
	}
	got = sampleOne(t, c, window("both"), past)
	if got.Err == nil || !strings.Contains(got.Err.Error(), `2 series, want 1: both{name="a"} and both{name="b"}`) {
		t.Errorf("series that overlap in the past: %v", got.Err)
	}

	n := window("vector(1)")
	n.SamplesQuery, n.SamplesMin = "count or vector(12)", 400
	got = sampleOne(t, c, n, past)
	if got.Err != nil || got.Points[0].Unknown != "12 samples, need 400" || got.Points[79].Unknown != "" {
		t.Errorf("least samples over a window: error %v, first %+v, last %+v", got.Err, got.Points[0], got.Points[79])
	}
}

// TestRealPrometheusDrivesGates goes the whole way: what a plan needs is
// sampled and evaluated, and breaks at the right time in the history.
func TestRealPrometheusDrivesGates(t *testing.T) {
	server := promtest.Start(t, "{}", history(map[string]func(time.Duration) float64{
		"errors": func(ago time.Duration) float64 {
			if ago < 10*time.Minute {
				return 0.05
			}
			return 0.001
		},
	}))
	c := newClient(t, prom.Options{URL: server.URL})
	p := &plan.Plan{Spec: plan.Spec{
		Signals: map[string]plan.Signal{"errors": {Query: "errors", MaxAge: plan.Duration(2 * time.Minute)}},
		Phases: []plan.Phase{{Name: "only", Gates: plan.Gates{
			Advance:  []plan.Gate{{Name: "low", Expr: "signal.errors < 0.01", For: plan.Duration(30 * time.Minute)}},
			Rollback: []plan.Gate{{Name: "high", Expr: "signal.errors > 0.03", For: plan.Duration(5 * time.Minute)}},
		}}},
	}}
	prg, err := gates.Compile(p, gates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reqs := []gates.Request{{Stop: plan.Position{Phase: "only"}, Effects: []plan.Effect{plan.Advance, plan.Breaches}, Since: past.Add(-24 * time.Hour)}}
	needs := prg.Needs(reqs)
	for _, tc := range []struct {
		ago       time.Duration
		low, high gates.Verdict
		detail    string
	}{
		{12 * time.Minute, gates.Pass, gates.Fail, "false at 21 of 21 known points of the last 5m; errors=0.001"},
		{8 * time.Minute, gates.Fail, gates.Fail, "false at 13 of 21 known points of the last 5m; errors=0.05"},
		{4 * time.Minute, gates.Fail, gates.Pass, "true at all of 21 known points of the last 5m; errors=0.05"},
		{-3 * time.Minute, gates.Fail, gates.NoData, "17 of 21 points of the last 5m are known (errors: newest sample is older than 2m); errors unknown: newest sample is older than 2m"},
		{-time.Hour, gates.NoData, gates.NoData, "0 of 21 points of the last 5m are known (errors: no series); errors unknown: no series"},
	} {
		// Between two ticks: the answers are of the one before.
		now := past.Add(-tc.ago).Add(300 * time.Millisecond)
		rs := prg.Eval("abc", reqs, gates.Snapshot{Now: now, Samples: c.Sample(t.Context(), needs, now)})
		if rs[0].Verdict != tc.low || rs[1].Verdict != tc.high || rs[1].Detail != tc.detail {
			t.Errorf("%s before the end: low is %s (%s), high is %s (%s); want %s and %s (%s)",
				tc.ago, rs[0].Verdict, rs[0].Detail, rs[1].Verdict, rs[1].Detail, tc.low, tc.high, tc.detail)
		}
	}
	server.Stop()
	now := past.Add(time.Minute)
	for _, r := range prg.Eval("abc", reqs, gates.Snapshot{Now: now, Samples: c.Sample(t.Context(), needs, now)}) {
		if r.Verdict != gates.Error || r.Now != gates.Error || !strings.Contains(r.Detail, "connection refused") {
			t.Errorf("without Prometheus %s is %s: %s", r.Name, r.Verdict, r.Detail)
		}
	}
}

func pick(is bool) float64 {
	if is {
		return 1
	}
	return math.NaN()
}

// TestRealPrometheusTargetThatStops scrapes a target that ends, and a
// Prometheus that is killed and comes back.
func TestRealPrometheusTargetThatStops(t *testing.T) {
	var requests atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "requests_total %d\n", 100*requests.Add(1))
	}))
	defer target.Close()
	server := promtest.Start(t, promtest.Scrape("1s", "shop", strings.TrimPrefix(target.URL, "http://")))
	c := newClient(t, prom.Options{URL: server.URL, Timeout: 5 * time.Second, Tick: 100 * time.Millisecond})
	rate := gates.Need{Query: "sum(rate(requests_total[30s]))", MaxAge: 3 * time.Second}

	eventually(t, "a rate", func() (bool, string) {
		s := sampleOne(t, c, rate, time.Now())
		return s.Err == nil && s.Last.Unknown == "" && s.Last.Value > 0, describe(s)
	})
	target.Close()
	eventually(t, "a target that is down", func() (bool, string) {
		s := sampleOne(t, c, gates.Need{Query: "up", MaxAge: time.Minute}, time.Now())
		return s.Err == nil && s.Last.Unknown == "" && s.Last.Value == 0, describe(s)
	})
	// Prometheus has marked the series as gone; its samples are still young.
	young := gates.Need{Query: "sum(rate(requests_total[5m]))", MaxAge: time.Minute}
	if s := sampleOne(t, c, young, time.Now()); s.Err != nil || s.Last.Unknown != "" {
		t.Errorf("a target that has just stopped: %s", describe(s))
	}
	eventually(t, "a stale rate", func() (bool, string) {
		s := sampleOne(t, c, rate, time.Now())
		return s.Last.Unknown == "newest sample is older than 3s", describe(s)
	})

	server.Kill()
	s := sampleOne(t, c, rate, time.Now().Add(time.Second))
	if s.Err == nil || !strings.Contains(s.Err.Error(), "connection refused") {
		t.Errorf("a Prometheus that is gone: error %v", s.Err)
	}
	server.Restart()
	eventually(t, "an answer after the restart", func() (bool, string) {
		s := sampleOne(t, c, rate, time.Now())
		return s.Err == nil, describe(s)
	})
}

func describe(s gates.Sample) string { return fmt.Sprintf("%+v, error %v", s.Last, s.Err) }

func eventually(t *testing.T, what string, f func() (bool, string)) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var ok bool
		if ok, last = f(); ok {
			t.Logf("%s: %s", what, last)
			return
		}
	}
	t.Fatalf("never %s: %s", what, last)
}
