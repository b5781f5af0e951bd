package reconciler_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/test/counts"
	"github.com/changeover-dev/changeover/test/fakes"
)

const bakedPlan = `apiVersion: changeover.dev/v1alpha1
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
  phases:
    - name: setup
      routes: [{to: legacy}]
    - name: gradual
      percents: [10, 25, 50]
      bake: %s
      routes: [{to: split}]
      gates:
        advance: [{name: low, expr: signal.errors < 0.01, for: %s}]
        rollback: [{name: high, expr: signal.errors > 0.1, for: 2m}]
`

// bakeEvent is what happens in mid-bake.
type bakeEvent struct {
	at   time.Duration
	kind string
	// down is how long no daemon runs after it; interval is that of the next.
	down, interval time.Duration
}

// watch is daemons that follow one another at a branch, a gateway and a record,
// on a clock that goes on while none runs.
type watch struct {
	clock    time.Time
	branch   memoryBranch
	traffic  fakes.Traffic
	recorder *fakes.Recorder
	sampler  *fakes.Sampler
	interval time.Duration
	r        *reconciler.Reconciler
}

// begin starts a daemon; the one before it is not worked any more.
func (w *watch) begin(ctx context.Context) error {
	r, err := reconciler.New(reconciler.Options{
		Source: &w.branch, Check: gates.Check, NGINX: &w.traffic, Sampler: w.sampler, Recorder: w.recorder, Notifier: silent{},
		Now: func() time.Time { return w.clock }, Log: slog.New(slog.DiscardHandler), Interval: w.interval,
		Limits: decide.Limits{GitMaxAge: 5 * time.Minute, Cooldown: 30 * time.Minute, MaxPerDay: 3},
	})
	if err != nil {
		return err
	}
	r.Prepare(ctx)
	w.r = r
	return nil
}

// settle works the plan until it waits, and returns when it looks again.
func (w *watch) settle(ctx context.Context) (again time.Duration, st reconciler.Status) {
	for moves := true; moves; moves = st.Decision.Verb.Moves() {
		w.r.Poll(ctx)
		again = w.r.StepAgain(ctx, shop)
		st, _ = w.r.Status(shop)
	}
	return again, st
}

func (w *watch) happens(ctx context.Context, e bakeEvent, bake time.Duration) error {
	switch e.kind {
	case "restart":
		w.clock = w.clock.Add(e.down)
	case "lost": // the gateway knows what is needed
		w.clock = w.clock.Add(e.down)
		w.recorder = &fakes.Recorder{}
	case "interval":
		w.interval = e.interval
	case "quiet": // another window of the advance gate
		w.branch.commit(fmt.Sprintf(strings.Replace(bakedPlan, "phase: setup}", "phase: gradual, percent: 50}", 1), plan.Duration(bake), plan.Duration(max(time.Minute, bake/3))), "")
		return nil
	}
	return w.begin(ctx)
}

// TestABakeIsAsLongAsDeclared: restarts, other leaders, a lost record, another
// interval and an edited gate in mid-bake make it neither shorter nor longer.
// Only a daemon that is down when it ends is late, by as long as it is down.
func TestABakeIsAsLongAsDeclared(t *testing.T) {
	begin := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	counts.Rapid(t, 100, 20)
	rapid.Check(t, func(rt *rapid.T) {
		bake := time.Duration(rapid.IntRange(4*60, 15*60).Draw(rt, "bake")) * time.Second
		seconds := func(name string, least, most time.Duration) time.Duration {
			return time.Duration(rapid.IntRange(int(least/time.Second), int(most/time.Second)).Draw(rt, name)) * time.Second
		}
		events := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) bakeEvent {
			return bakeEvent{
				at:   seconds("at", 1*time.Second, bake-time.Second),
				kind: rapid.SampledFrom([]string{"restart", "lost", "leader", "interval", "quiet"}).Draw(rt, "kind"),
				down: seconds("down", 0, bake/2), interval: seconds("interval", time.Second, 10*time.Minute),
			}
		}), 0, 6).Draw(rt, "events")
		slices.SortFunc(events, func(a, b bakeEvent) int { return cmp.Compare(a.at, b.at) })

		ctx := t.Context()
		w := &watch{clock: begin, recorder: &fakes.Recorder{}, sampler: &fakes.Sampler{}, interval: 15 * time.Second}
		w.sampler.Set("errors", 0.001)
		w.branch.commit(fmt.Sprintf(bakedPlan, plan.Duration(bake), plan.Duration(max(time.Minute, bake/2))), "")
		if err := w.begin(ctx); err != nil {
			rt.Fatal(err)
		}
		w.settle(ctx)
		w.branch.declare(plan.Position{Phase: "gradual", Percent: 50})
		again, st := w.settle(ctx)
		if st.Effective.String() != "gradual@10" {
			rt.Fatalf("it is at %s: %s", st.Effective, st.Decision.Message)
		}
		entered, ends := w.clock, w.clock.Add(bake)
		late := time.Time{}
		for w.clock.Before(ends.Add(bake)) {
			next := w.clock.Add(again)
			if len(events) > 0 && !entered.Add(events[0].at).After(next) {
				e := events[0]
				events = events[1:]
				if at := entered.Add(e.at); at.After(w.clock) {
					w.clock = at
				}
				before := w.clock
				if err := w.happens(ctx, e, bake); err != nil {
					rt.Fatal(err)
				}
				if before.Before(ends) && w.clock.After(ends) {
					late = w.clock
				}
			} else {
				w.clock = next
			}
			if again, st = w.settle(ctx); st.Effective.String() != "gradual@10" {
				break
			}
		}
		if !late.IsZero() {
			ends = late
		}
		if st.Effective.String() != "gradual@25" || !w.clock.Equal(ends) {
			rt.Fatalf("%s after it was entered it is at %s, after a bake of %s (%s): %s", w.clock.Sub(entered), st.Effective, bake, ends.Sub(entered), st.Decision.Message)
		}
	})
}
