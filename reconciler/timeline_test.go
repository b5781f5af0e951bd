package reconciler_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/gates/prom/engine"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/timeline"
	"github.com/changeover-dev/changeover/test/fakes"
)

// longPlan is played minute by minute: bakes of days, an incident that pauses
// and one that takes it back.
const longPlan = `apiVersion: changeover.dev/v1alpha1
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
    load: {query: 'avg_over_time(load[30m])'}
  phases:
    - name: setup
      routes: [{to: legacy}]
    - name: gradual
      percents: [10, 25, 50, 100]
      bake: {10: %[1]s, 25: %[2]s, 50: %[2]s, 100: %[2]s}
      routes: [{to: split}]
      gates:
        enter: [{name: calm, expr: signal.load < 0.8}]
        advance: [{name: low, expr: signal.errors < 0.01, for: 1h}]
        pause: [{name: some, expr: signal.errors >= 0.01, for: 5m}]
        rollback:
          - {name: high, expr: signal.errors > 0.03, for: 5m}
          - {name: huge, expr: signal.errors > 0.5}
`

// spanSampler answers the daemon from what was read before.
type spanSampler struct{ span *prom.Span }

func (s spanSampler) Sample(_ context.Context, _ []gates.Need, now time.Time) map[gates.Need]gates.Sample {
	return s.span.At(now)
}

// TestATimelineIsWhatTheDaemonDoes runs the real reconciler with a clock that
// the test moves to where the daemon itself would look next, and package
// timeline at steps of a minute, over the same series and the same commits.
func TestATimelineIsWhatTheDaemonDoes(t *testing.T) {
	const week = 7 * 24 * time.Hour
	length, first, later := 16*week, 2*week, 3*week
	if os.Getenv("CHANGEOVER_ACCEPT") == "" {
		length, first, later = 30*time.Hour, 4*time.Hour, 5*time.Hour
	}
	minutes := int(length / time.Minute)
	begin := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	src := fmt.Sprintf(longPlan, plan.Duration(first), plan.Duration(later))
	branch := &memoryBranch{}
	branch.commit(src, "")
	v := branch.commits[0].version
	part := minutes / 10
	span := minuteSpan(t, v.Plan, begin, length, map[string]string{
		"errors": fmt.Sprintf("0.001x%d 0.02x40 _x20 0.001x%d 0.08x9 0.001x%d", int(first/time.Minute)-15, 2*part, minutes),
		"load":   fmt.Sprintf("0.2x%d 0.9x40 0.2x%d", 5*part/2, minutes),
	})
	commits := map[int]plan.Position{
		0: {Phase: "gradual", Percent: 100}, 4 * part: {Phase: "gradual", Percent: 50}, 7 * part: {Phase: "setup"},
		7*part + 90: {Phase: "gradual", Percent: 100},
	}
	limits := decide.Limits{GitMaxAge: 5 * time.Minute, Cooldown: 30 * time.Minute, MaxPerDay: 3}
	want := daemonTimeline(t, branch, spanSampler{span}, begin, minutes, commits, limits)
	got := playedTimeline(t, v, span, begin, minutes, commits, limits)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the timeline is\n%s\nthe daemon's is\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	all := strings.Join(want, "\n")
	for _, seen := range []string{"Advance Entering", "Rollback Breach", "Hold Paused", "Retreat Lowered", "Hold Cooldown", "Hold GateNoData", "Hold GateFailed"} {
		if !strings.Contains(all, seen) {
			t.Errorf("the story has no %s:\n%s", seen, all)
		}
	}
}

func minuteSpan(t *testing.T, p *plan.Plan, begin time.Time, length time.Duration, series map[string]string) *prom.Span {
	t.Helper()
	var all []engine.Series
	for selector, values := range series {
		s, err := engine.Parse(selector, values, begin, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	e, err := engine.New(all)
	if err != nil {
		t.Fatal(err)
	}
	c, err := prom.New(prom.Options{Querier: e})
	if err != nil {
		t.Fatal(err)
	}
	needs, err := timeline.Needs(p, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	span, err := c.Span(t.Context(), needs, begin, begin.Add(length), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return span
}

func timelineEntry(at time.Duration, d decide.Decision, effective, declared plan.Position) string {
	return fmt.Sprintf("%s %s %s -> %s at %s of %s", at, d.Verb, d.Reason, d.Target, effective, declared)
}

// daemonTimeline lists what the daemon decides whenever that is something new.
func daemonTimeline(t *testing.T, branch *memoryBranch, s reconciler.Sampler, begin time.Time, minutes int,
	commits map[int]plan.Position, limits decide.Limits,
) (lines []string) {
	t.Helper()
	clock := begin
	r, err := reconciler.New(reconciler.Options{
		Source: branch, Check: gates.Check, NGINX: &fakes.Traffic{}, Sampler: s, Recorder: &fakes.Recorder{}, Notifier: silent{},
		Now: func() time.Time { return clock }, Log: slog.New(slog.DiscardHandler), Interval: time.Minute, Limits: limits,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	r.Prepare(ctx)
	end := begin.Add(time.Duration(minutes) * time.Minute)
	last := ""
	for !clock.After(end) {
		if pos, ok := commits[int(clock.Sub(begin)/time.Minute)]; ok {
			branch.declare(pos)
		}
		var again time.Duration
		for moves := true; moves; {
			r.Poll(ctx)
			again = r.StepAgain(ctx, shop)
			r.Poll(ctx) // a revert has landed
			st, _ := r.Status(shop)
			if st.Error != "" {
				t.Fatalf("%s: %s", clock, st.Error)
			}
			d := st.Decision
			moves = d.Verb == decide.Advance || d.Verb == decide.Retreat || d.Verb == decide.Rollback || d.Verb == decide.Apply
			branch.mu.Lock()
			declared := branch.commits[len(branch.commits)-1].version.Plan.Spec.Position
			branch.mu.Unlock()
			if line := timelineEntry(0, d, st.Effective, declared); line != last {
				last = line
				lines = append(lines, timelineEntry(clock.Sub(begin), d, st.Effective, declared))
			}
		}
		clock = clock.Add(again)
	}
	return lines
}

func playedTimeline(t *testing.T, v plan.Version, s timeline.Sampler, begin time.Time, minutes int,
	commits map[int]plan.Position, limits decide.Limits,
) (lines []string) {
	t.Helper()
	p, err := timeline.New(timeline.Options{Plan: v, Start: begin, Interval: time.Minute, Sampler: s, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for m := range minutes + 1 {
		at := begin.Add(time.Duration(m) * time.Minute)
		if pos, ok := commits[m]; ok {
			if err := p.Commit(at, timeline.Commit{To: pos}); err != nil {
				t.Fatal(err)
			}
		}
		err := p.Step(at, func(l timeline.Look) {
			if line := timelineEntry(0, l.Decision, l.Effective, l.Declared); line != last {
				last = line
				lines = append(lines, timelineEntry(at.Sub(begin), l.Decision, l.Effective, l.Declared))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return lines
}
