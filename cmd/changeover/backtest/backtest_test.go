package backtest_test

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/cmd/changeover/backtest"
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/promtest"
)

// The week of the tests, and how often its targets were scraped.
var (
	weekFrom = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	weekTo   = weekFrom.Add(7 * 24 * time.Hour)
)

const scraped = 30 * time.Second

// on is a time of one of the seven days.
func on(day, hour, minute int) time.Time {
	return weekFrom.Add(time.Duration(day-1)*24*time.Hour + time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
}

func within(t, from, to time.Time) bool { return !t.Before(from) && t.Before(to) }

// week is seven days of three series. Errors rise on the second day from 10:00
// to 10:22 and on the fourth from 03:00 to 03:03; on the fifth from 12:00 to
// 13:00 there is no data.
func week() string {
	var errs, requests, busy strings.Builder
	for t := weekFrom.Add(-time.Hour); !t.After(weekTo); t = t.Add(scraped) {
		if within(t, on(5, 12, 0), on(5, 13, 0)) {
			continue
		}
		ratio := 0.001
		if within(t, on(2, 10, 0), on(2, 10, 22)) || within(t, on(4, 3, 0), on(4, 3, 3)) {
			ratio = 0.05
		}
		fmt.Fprintf(&errs, "error_ratio %g %d\n", ratio, t.Unix())
		fmt.Fprintf(&requests, "requests_total %d %d\n", t.Unix()-weekFrom.Unix()+7200, t.Unix())
		fmt.Fprintf(&busy, "busy %g %d\n", 0.5+0.5*math.Sin(float64(t.Unix())/3000), t.Unix())
	}
	return errs.String() + requests.String() + busy.String() + "# EOF\n"
}

const weekPlan = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: gradual, percent: 10}
  backends: {legacy: {url: "http://127.0.0.1:8080"}, modern: {url: "http://127.0.0.1:8000"}}
  signals:
    errors: {query: error_ratio, maxAge: 2m}
    rate: {query: "sum(rate(requests_total[5m]))", samples: {query: "increase(requests_total[10m])", min: 500}}
    busy: {query: busy, maxAge: 1m}
    two: {query: '{__name__=~"busy|error_ratio"}', freshness: vector(0)}
  objects:
    app: {apiVersion: apps/v1, kind: Deployment, name: app}
  phases:
    - name: gradual
      percents: [10, 50]
      bake: 1h
      gates:
        enter:
          - {name: quiet, expr: signal.busy < 0.9}
        advance:
          - {name: low, expr: signal.errors < 0.01, for: 30m}
          - {name: traffic, expr: signal.rate > 0.9}
          - {name: ready, expr: object.app.status.readyReplicas > 0}
          - {name: age, expr: stop.age > duration("1h")}
        pause:
          - {name: share, expr: signal.errors * position.percent > 1}
          - {name: crowded, expr: signal.two > 1}
        rollback:
          - {name: errors, expr: signal.errors > 0.03, for: 5m}
          - {name: errors-now, expr: signal.errors > 0.03}
          - {name: busy, expr: signal.busy > 0.95 && signal.errors < 1, for: 10m}
`

func accept() bool { return os.Getenv("CHANGEOVER_ACCEPT") != "" }

// interval between the points of windows: that of the scrapes, or the daemon's.
func interval() time.Duration {
	if accept() {
		return 15 * time.Second
	}
	return scraped
}

func compile(t testing.TB, text string) (*plan.Plan, *gates.Program) {
	t.Helper()
	doc, problems := plan.Decode("plan.yaml", []byte(text))
	problems = append(problems, gates.Check(doc)...)
	if plan.HasErrors(problems) {
		t.Fatalf("the plan has problems: %v", problems)
	}
	prg, err := gates.Compile(doc.Plan, gates.Options{Interval: interval()})
	if err != nil {
		t.Fatal(err)
	}
	return doc.Plan, prg
}

func newClient(t testing.TB, o prom.Options) *prom.Client {
	t.Helper()
	c, err := prom.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func find(t *testing.T, r *backtest.Report, name string, stop plan.Percent) *backtest.Gate {
	t.Helper()
	for i := range r.Gates {
		g := &r.Gates[i]
		if g.Name == name && slices.Contains(g.Stops, plan.Position{Phase: "gradual", Percent: stop}) {
			return g
		}
	}
	t.Fatalf("no gate %s at %s", name, stop)
	return nil
}

func intervals(g *backtest.Gate) (out []string) {
	for _, in := range g.Intervals {
		out = append(out, fmt.Sprintf("%s %s", in.From.Format("2 15:04"), in.Verdict))
	}
	return out
}

// TestBacktestOfAWeek names the minutes that follow from the data by hand, and
// then compares with the gates as they are evaluated live.
func TestBacktestOfAWeek(t *testing.T) {
	server := promtest.Start(t, "{}", week())
	c := newClient(t, prom.Options{URL: server.URL, Timeout: 2 * time.Minute})
	p, prg := compile(t, weekPlan)
	began := time.Now()
	r, err := backtest.Run(t.Context(), c, backtest.Options{Plan: p, Program: prg, Stops: p.Itinerary(), From: weekFrom, To: weekTo, Step: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d gates over 7 days by the minute took %s", len(r.Gates), time.Since(began).Round(time.Millisecond))
	if r.Evaluations != 7*24*60 {
		t.Errorf("evaluated %d times, want 10080", r.Evaluations)
	}
	for _, tc := range []struct {
		name string
		stop plan.Percent
		want []string
	}{
		{"errors", 10, []string{"1 00:00 Fail", "2 10:05 Pass", "2 10:22 Fail", "5 12:07 NoData", "5 13:00 Fail"}},
		{"errors-now", 10, []string{"1 00:00 Fail", "2 10:00 Pass", "2 10:22 Fail", "4 03:00 Pass", "4 03:03 Fail", "5 12:02 NoData", "5 13:00 Fail"}},
		{"low", 50, []string{"1 00:00 Pass", "2 10:00 Fail", "2 10:52 Pass", "4 03:00 Fail", "4 03:33 Pass", "5 12:05 NoData", "5 13:27 Pass"}},
		{"share", 10, []string{"1 00:00 Fail", "5 12:02 NoData", "5 13:00 Fail"}},
		{"share", 50, []string{"1 00:00 Fail", "2 10:00 Pass", "2 10:22 Fail", "4 03:00 Pass", "4 03:03 Fail", "5 12:02 NoData", "5 13:00 Fail"}},
		{"ready", 10, []string{"1 00:00 NoData"}},
		{"age", 10, []string{"1 00:00 NoData"}},
		{"crowded", 10, []string{"1 00:00 Error", "5 12:05 NoData", "5 13:00 Error"}},
	} {
		if diff := cmp.Diff(tc.want, intervals(find(t, r, tc.name, tc.stop))); diff != "" {
			t.Errorf("%s at %s (-want +got):\n%s", tc.name, tc.stop, diff)
		}
	}
	g := find(t, r, "errors", 50)
	if got := fmt.Sprint(g.Totals[gates.Pass], g.Totals[gates.NoData], *g.FirstPass, g.For, g.Stops); got != "17m 53m 2024-03-02 10:05:00 +0000 UTC 5m [gradual@10 gradual@50]" {
		t.Errorf("errors has %s", got)
	}
	if d := g.Intervals[1].Detail; !accept() && d != "true at all of 11 known points of the last 5m; errors=0.05" {
		t.Errorf("the breach says %q", d)
	}
	checkChart(t, r)
	agreesWithLive(t, c, p, prg, r)
}

// agreesWithLive evaluates as the daemon does, a query for each evaluation:
// around every change and at a sample of the other minutes, with
// CHANGEOVER_ACCEPT at every minute.
func agreesWithLive(t *testing.T, c *prom.Client, p *plan.Plan, prg *gates.Program, r *backtest.Report) {
	t.Helper()
	every := 409
	if accept() {
		every = 1
	}
	minutes := map[time.Time]bool{}
	for i := 0; i < r.Evaluations; i += every {
		minutes[r.From.Add(time.Duration(i)*time.Minute)] = true
	}
	changes := 0
	for _, g := range r.Gates {
		changes += len(g.Intervals) - 1
		for i, in := range g.Intervals {
			if i == 0 || i > 6 && every > 1 {
				continue
			}
			minutes[in.From] = true
			minutes[in.From.Add(-time.Minute)] = true
		}
	}
	compared := 0
	for at := range minutes {
		stops := p.Itinerary()
		if every > 1 {
			n := compared / 10 % len(stops) // the one, then the other
			stops = stops[n : n+1]
		}
		for _, stop := range stops {
			reqs := backtest.Requests(stop)
			for _, live := range prg.Eval("", reqs, gates.Snapshot{Now: at, Samples: c.Sample(t.Context(), prg.Needs(reqs), at), Facts: backtest.Facts(stop)}) {
				in := intervalAt(t, find(t, r, live.Name, stop.Percent), at)
				if in.Verdict != live.Verdict || in.From.Equal(at) && (in.Detail != live.Detail || !cmp.Equal(in.Values, live.Values)) {
					t.Fatalf("%s at %s, %s: live %s (%s), backtest %s (%s)", live.Name, stop, at, live.Verdict, live.Detail, in.Verdict, in.Detail)
				}
				compared++
			}
		}
	}
	t.Logf("%d verdicts of %d minutes agree with the live ones, among %d changes", compared, len(minutes), changes)
}

func intervalAt(t *testing.T, g *backtest.Gate, at time.Time) backtest.Interval {
	t.Helper()
	for _, in := range g.Intervals {
		if within(at, in.From, in.To) {
			return in
		}
	}
	t.Fatalf("%s has no interval at %s", g.Name, at)
	return backtest.Interval{}
}
