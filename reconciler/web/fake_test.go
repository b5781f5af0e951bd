package web_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/web"
)

var (
	key   = plan.Key{Namespace: "default", Name: "shop"}
	now   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	stops = plan.Itinerary{{Phase: "setup"}, {Phase: "gradual", Percent: 10}, {Phase: "gradual", Percent: 25}}
)

// fakePlans knows one plan.
type fakePlans struct {
	mu       sync.Mutex
	statuses []reconciler.Status
	history  []reconciler.Entry
	ready    error
	histErr  error
	rollErr  error

	asked  int
	to     plan.Position
	reason string
}

var _ web.Plans = (*fakePlans)(nil)

func (f *fakePlans) Statuses() []reconciler.Status { return f.statuses }

func (f *fakePlans) Status(k plan.Key) (reconciler.Status, bool) {
	i := slices.IndexFunc(f.statuses, func(s reconciler.Status) bool { return s.Key == k })
	if i < 0 {
		return reconciler.Status{}, false
	}
	return f.statuses[i], true
}

func (f *fakePlans) History(_ context.Context, k plan.Key, n int) ([]reconciler.Entry, error) {
	if k != key {
		return nil, errors.New("history of another plan asked")
	}
	return slices.Clone(f.history[max(0, len(f.history)-n):]), f.histErr
}

func (f *fakePlans) RequestRollback(_ context.Context, k plan.Key, to plan.Position, reason string) (reconciler.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	f.to, f.reason = to, reason
	s, _ := f.Status(k)
	s.State = reconciler.StateRollingBack
	return s, f.rollErr
}

func (f *fakePlans) Ready() error { return f.ready }

func waiting() reconciler.Status {
	return reconciler.Status{
		Key: key, Path: "plans/shop.yaml",
		Declared: stops[2], Effective: stops[1],
		Since: now.Add(-90 * time.Minute), BakedAt: now.Add(time.Hour),
		State:     reconciler.StateWaiting,
		Decision:  decide.Decision{Verb: decide.Hold, Target: stops[1], Reason: decide.Baking, Message: "gradual@10 bakes for 2h30m", RecheckAt: now.Add(time.Hour)},
		Head:      "1111111111111111111111111111111111111111",
		Itinerary: stops,
		Gates: gates.Results{
			{Key: gates.Key{Stop: stops[1], Effect: plan.Advance, Name: "low-errors"}, Verdict: gates.Pass, Now: gates.Pass, Expr: `signal.errors < 0.01`, Values: map[string]float64{"errors": 0.004}},
			{Key: gates.Key{Stop: stops[1], Effect: plan.Breaches, Name: "high-errors"}, Verdict: gates.Fail, Now: gates.Fail, Expr: `signal.errors > 0.03`, Values: map[string]float64{"errors": 0.004}},
		},
		CheckedAt: now, GitReadAt: now,
	}
}

func entries(n int) []reconciler.Entry {
	var out []reconciler.Entry
	for i := range n {
		out = append(out, reconciler.Entry{At: now.Add(time.Duration(i) * time.Minute), Verb: decide.Advance, Reason: decide.GatesPassed, To: stops[1], Message: "entry " + string(rune('a'+i))})
	}
	return out
}

func options(f *fakePlans) web.Options {
	return web.Options{Plans: f, Now: func() time.Time { return now }, Version: "v1"}
}
