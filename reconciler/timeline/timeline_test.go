package timeline_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/gates/prom/engine"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/timeline"
	"github.com/changeover-dev/changeover/test/counts"
)

var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

const shop = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: setup}
  backends:
    legacy: {url: "http://127.0.0.1:8080"}
    modern: {url: "http://127.0.0.1:8000"}
  gateway: {nginx: {}}
  identity: {header: X-User}
  signals:
    errors: {query: errors}
    load: {query: load, maxAge: 5m}
  phases:
    - name: setup
      routes: [{to: legacy}]
    - name: gradual
      percents: [10, 25, 50, 100]
      bake: %s
      routes: [{to: split}]
      gates:
        enter: [{name: calm, expr: signal.load < 0.8}]
        advance: [{name: low, expr: signal.errors < 0.01, for: %s}]
        pause: [{name: some, expr: signal.errors >= 0.01, for: 5m}]
        rollback:
          - {name: high, expr: signal.errors > 0.03, for: 5m}
          - {name: huge, expr: signal.errors > 0.5 || signal.load > 5.0}
`

func version(t testing.TB, src string) plan.Version {
	t.Helper()
	doc, problems := plan.Decode("shop.yaml", []byte(src))
	if plan.HasErrors(problems) {
		t.Fatal(problems[0].Render())
	}
	return plan.Version{Plan: doc.Plan, Path: "shop.yaml", Content: plan.ContentDigest(doc.Plan), Live: plan.LiveDigest(doc.Plan)}
}

// fataler is a test or one round of a property.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// span evaluates the plan's queries over series in promtool's notation, with a
// sample a minute.
func span(t fataler, v plan.Version, length, step time.Duration, series map[string]string) *prom.Span {
	t.Helper()
	var all []engine.Series
	for selector, values := range series {
		s, err := engine.Parse(selector, values, start, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	e, err := engine.New(all)
	if err != nil {
		t.Fatal(err)
	}
	c, err := prom.New(prom.Options{Querier: e, Tick: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	needs, err := timeline.Needs(v.Plan, step)
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Span(contextOf(t), needs, start, start.Add(length), step)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func stop(s string) plan.Position {
	pos, err := plan.ParsePosition(s)
	if err != nil {
		panic(err)
	}
	return pos
}

func commit(t interface{ Fatal(...any) }, p *timeline.Player, at time.Time, to plan.Position) {
	if err := p.Commit(at, timeline.Commit{To: to}); err != nil {
		t.Fatal(err)
	}
}

// play returns one line for each decision that says something new.
func play(t testing.TB, o timeline.Options, length time.Duration, commits map[time.Duration]string) []string {
	t.Helper()
	p, err := timeline.New(o)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	last := timeline.Gist{}
	for at := time.Duration(0); at <= length; at += time.Minute {
		if to, ok := commits[at]; ok {
			commit(t, p, start.Add(at), stop(to))
		}
		err := p.Step(start.Add(at), func(l timeline.Look) {
			if g := l.Gist(); g != last {
				last = g
				lines = append(lines, fmt.Sprintf("%s %s %s at %s of %s", at, l.Decision.Verb, l.Decision.Reason, l.Effective, l.Declared))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

func TestAPlanIsPlayedToItsEnd(t *testing.T) {
	v := version(t, fmt.Sprintf(shop, "10m", "5m"))
	o := timeline.Options{Plan: v, Start: start, Interval: time.Minute, Sampler: span(t, v, time.Hour, time.Minute,
		map[string]string{"errors": "0x60", "load": "0.1x60"})}
	got := play(t, o, time.Hour, map[time.Duration]string{0: "gradual@100"})
	want := []string{
		"0s Advance Entering at setup of gradual@100",
		"0s Advance GatesPassed at gradual@10 of gradual@100",
		"0s Hold Baking at gradual@10 of gradual@100",
		"10m0s Advance GatesPassed at gradual@25 of gradual@100",
		"10m0s Hold Baking at gradual@25 of gradual@100",
		"20m0s Advance GatesPassed at gradual@50 of gradual@100",
		"20m0s Hold Baking at gradual@50 of gradual@100",
		"30m0s Advance GatesPassed at gradual@100 of gradual@100",
		"30m0s Hold Steady at gradual@100 of gradual@100",
		"40m0s Complete Completed at gradual@100 of gradual@100",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestABreachUndoesTheRaiseAndItsCommitIsHeld(t *testing.T) {
	v := version(t, fmt.Sprintf(shop, "10m", "5m"))
	o := timeline.Options{Plan: v, From: stop("gradual@10"), Start: start, Interval: time.Minute,
		Limits: decide.Limits{Cooldown: 30 * time.Minute, MaxPerDay: 3},
		Sampler: span(t, v, 3*time.Hour, time.Minute,
			map[string]string{"errors": "0x15 0.1x6 0x160", "load": "0.1x180"})}
	got := play(t, o, 3*time.Hour, map[time.Duration]string{
		5 * time.Minute: "gradual@50", time.Hour: "gradual@25", 150 * time.Minute: "setup",
	})
	want := []string{
		"0s Hold Steady at gradual@10 of gradual@10",
		"5m0s Hold Baking at gradual@10 of gradual@50",
		"10m0s Advance GatesPassed at gradual@25 of gradual@50",
		"10m0s Hold Baking at gradual@25 of gradual@50",
		"20m0s Hold GateFailed at gradual@25 of gradual@50", // true since 16m
		"21m0s Rollback Breach at gradual@10 of gradual@10",
		"21m0s Hold Steady at gradual@10 of gradual@10",
		"1h0m0s Hold Cooldown at gradual@10 of gradual@25",
		"1h30m0s Advance GatesPassed at gradual@25 of gradual@25",
		"1h30m0s Hold Steady at gradual@25 of gradual@25",
		"2h30m0s Retreat Lowered at setup of setup",
		"2h30m0s Hold Steady at setup of setup",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWithoutSeriesNothingGoesForward(t *testing.T) {
	v := version(t, fmt.Sprintf(shop, "10m", "5m"))
	got := play(t, timeline.Options{Plan: v, Start: start, Interval: time.Minute}, time.Hour, map[time.Duration]string{0: "gradual@100"})
	want := []string{"0s Advance Entering at setup of gradual@100", "0s Hold GateNoData at setup of gradual@100"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAStopThatIsNotThereIsRefused(t *testing.T) {
	v := version(t, fmt.Sprintf(shop, "10m", "5m"))
	if _, err := timeline.New(timeline.Options{Plan: v, From: stop("gradual@11")}); err == nil {
		t.Error("no error")
	}
}

// TestNothingIsMissedWhereNothingChanged: evaluating only where samples changed
// gives what evaluating at every step does, to the last word.
func TestNothingIsMissedWhereNothingChanged(t *testing.T) {
	counts.Rapid(t, 100, 25)
	// A gate that reads the time always hangs on it.
	timed := strings.Replace(shop, `{name: low,`, `{name: old, expr: stop.age > duration("17m")}, {name: low,`, 1)
	rapid.Check(t, func(rt *rapid.T) {
		src := rapid.SampledFrom([]string{shop, timed}).Draw(rt, "plan")
		v := version(t, fmt.Sprintf(src, rapid.SampledFrom([]string{"3m", "20m"}).Draw(rt, "bake"), rapid.SampledFrom([]string{"4m", "7m30s", "30m"}).Draw(rt, "for")))
		values := func(name string, from ...string) string {
			var s []string
			for range rapid.IntRange(1, 8).Draw(rt, name) {
				v := rapid.SampledFrom(from).Draw(rt, name)
				if v != "stale" {
					v += fmt.Sprintf("x%d", rapid.IntRange(1, 40).Draw(rt, name))
				}
				s = append(s, v)
			}
			return strings.Join(s, " ")
		}
		length := 4 * time.Hour
		step := rapid.SampledFrom([]time.Duration{time.Minute, 2 * time.Minute, 100 * time.Second}).Draw(rt, "step")
		o := timeline.Options{Plan: v, Start: start, Interval: step, Limits: decide.Limits{Cooldown: 10 * time.Minute, MaxPerDay: 5},
			Sampler: span(rt, v, length, step, map[string]string{
				"errors": values("errors", "0", "0", "0.02", "0.1", "0.7", "_", "stale"),
				"load":   values("load", "0.1", "0.1", "0.9", "_"),
			})}
		if rapid.Bool().Draw(rt, "under way") {
			o.From = stop("gradual@25")
		}
		commits := map[int]string{0: "gradual@100"}
		for range rapid.IntRange(0, 3).Draw(rt, "commits") {
			commits[rapid.IntRange(0, 130).Draw(rt, "when")] = rapid.SampledFrom([]string{"setup", "gradual@25", "gradual@100"}).Draw(rt, "to")
		}
		every := func(anew bool) (all []timeline.Look) {
			o.Anew = anew
			p, err := timeline.New(o)
			if err != nil {
				rt.Fatal(err)
			}
			for i := 0; time.Duration(i)*step <= length; i++ {
				at := start.Add(time.Duration(i) * step)
				if to, ok := commits[i]; ok {
					commit(t, p, at, stop(to))
				}
				if err := p.Step(at, func(l timeline.Look) { all = append(all, l) }); err != nil {
					rt.Fatal(err)
				}
			}
			return all
		}
		want, got := every(true), every(false)
		if len(want) != len(got) {
			rt.Fatalf("%d decisions, want %d", len(got), len(want))
		}
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) {
				rt.Fatalf("%s:\ngot  %+v\nwant %+v", want[i].At, got[i], want[i])
			}
		}
	})
}

// weeks16 is the plan of the benchmark: 16 weeks at steps of a minute, with an
// incident that pauses it and one that takes it back.
func weeks16(t fataler, v plan.Version) *prom.Span {
	t.Helper()
	const minutes = 16 * 7 * 24 * 60
	return span(t, v, minutes*time.Minute, time.Minute, map[string]string{
		"errors": fmt.Sprintf("0.001x10000 0.02x30 0.001x60000 0.08x20 0.001x%d", minutes), "load": fmt.Sprintf("0.2x%d", minutes),
	})
}

// BenchmarkSixteenWeeks plays 161,281 steps; the samples were read before.
func BenchmarkSixteenWeeks(b *testing.B) {
	v := version(b, fmt.Sprintf(shop, "2w", "1h"))
	sampler := weeks16(b, v)
	b.ReportAllocs()
	for b.Loop() {
		p, err := timeline.New(timeline.Options{Plan: v, Start: start, Interval: time.Minute, Sampler: sampler,
			Limits: decide.Limits{Cooldown: 30 * time.Minute, MaxPerDay: 3}})
		if err != nil {
			b.Fatal(err)
		}
		commit(b, p, start, stop("gradual@100"))
		n := 0
		if err := p.Play(start, start.Add(16*7*24*time.Hour), time.Minute, func(timeline.Look) { n++ }); err != nil {
			b.Fatal(err)
		}
		if n < 10 {
			b.Fatalf("only %d decisions", n)
		}
	}
}

func BenchmarkSixteenWeeksOfSamples(b *testing.B) {
	v := version(b, fmt.Sprintf(shop, "2w", "1h"))
	for b.Loop() {
		weeks16(b, v)
	}
}
