package handover

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

// run is the work for one stop of one plan.
type run struct {
	e       *Engine
	key     plan.Key
	plan    *plan.Plan
	content plan.Digest
	stopAt  plan.Position
	back    atomic.Bool
	stop    context.CancelFunc
	ended   chan struct{}
	log     *slog.Logger
	sides   Sides

	mu    sync.Mutex
	now   reconciler.Progress
	err   error     // why the last pass could not be made
	clean time.Time // when the last pass ended that left nothing to do
	begun time.Time // of the first entity in this run
	moved int       // entities that changed their owner in this run
}

// progress is how far it is. A run that has nothing left to do looks again after a
// while, in its own time.
func (r *run) progress(now time.Time) (reconciler.Progress, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.now
	p.Done = !r.clean.IsZero()
	if d := now.Sub(r.begun); r.moved > 0 && d > 0 && !p.Done {
		p.Rate = float64(r.moved) / d.Seconds()
	}
	return p, r.err
}

// loop makes passes until the context ends.
func (r *run) loop(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		res, err := r.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := r.e.o.Rest
		switch {
		case err != nil:
			failures++
			r.log.Error("entities cannot be handed over", "error", err.Error())
		case res.failed > 0 && res.moved == 0:
			failures++
		default:
			failures = 0
		}
		if err != nil || !res.done {
			wait = min(r.e.o.Pause<<min(failures, 5), time.Minute)
		}
		r.note(res, err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// result of a pass.
type result struct {
	gap
	done                            bool
	moved, failed, inFlight, absent int
	why                             string // the first failure
}

func (r *run) note(res result, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.clean = err, time.Time{}
	if err != nil {
		return
	}
	if res.done {
		r.clean = r.e.o.Now()
	}
	r.now.Total, r.now.Failed = res.want, res.failed
	r.now.Message = res.message()
}

func (res result) message() string {
	s := ""
	add := func(n int, what string) {
		if n > 0 {
			if s != "" {
				s += ", "
			}
			s += fmt.Sprintf("%d %s", n, what)
		}
	}
	add(res.failed, "failed and are tried again")
	add(res.inFlight, "are in flight")
	add(res.absent, "are gone")
	if res.why != "" {
		s += ": " + res.why
	}
	return s
}

// pass does what separates the table from what the stop wants, once.
func (r *run) pass(ctx context.Context) (res result, err error) {
	if r.sides, err = r.e.o.Open(r.plan); err != nil {
		return res, err
	}
	s := shareAt(r.plan, r.stopAt)
	order, table, err := r.ordered(ctx, s)
	if err != nil {
		return res, err
	}
	res.gap = s.compare(order, table)
	r.mu.Lock()
	r.now.Total, r.now.Finished = res.want, res.have
	r.mu.Unlock()
	// What goes back first: it is what a person or an alarm wants.
	for _, side := range []struct {
		ids []string
		to  plan.Side
	}{{res.back, plan.Legacy}, {res.over, plan.Modern}} {
		if err := r.each(ctx, side.ids, side.to, &res); err != nil {
			return res, err
		}
	}
	res.done = res.failed == 0 && (!s.all || res.inFlight == 0)
	return res, nil
}

// ordered is the order that counts at a stop. On the way back nothing is asked of
// legacy's inventory: it may be what is broken.
func (r *run) ordered(ctx context.Context, s share) ([]string, map[string]ownership.Entity, error) {
	if s.phase != "" && !r.back.Load() {
		o, table, err := r.freeze(ctx, s.phase)
		if err == nil {
			err = r.freezeBatch(s.phase, o.IDs[:s.count(len(o.IDs))], table)
		}
		return o.IDs, table, err
	}
	table, err := r.table(ctx)
	if err != nil {
		return nil, nil, err
	}
	var ids []string
	if s.phase != "" {
		o, err := readOrder(orderFile(r.e.o.Dir, r.key, s.phase))
		if err != nil {
			return nil, nil, err
		}
		ids = o.IDs
	}
	// What the order does not have, in the order in which it was given away.
	return append(ids, givenAway(table, ids)...), table, nil
}

// givenAway are the entities that were handed over to modern, without those that
// are known, the first ones first.
func givenAway(table map[string]ownership.Entity, known []string) (ids []string) {
	skip := make(map[string]bool, len(known))
	for _, id := range known {
		skip[id] = true
	}
	var rest []ownership.Entity
	for id, e := range table {
		if e.Origin == ownership.Migrated && e.Owner == plan.Modern && !skip[id] {
			rest = append(rest, e)
		}
	}
	slices.SortFunc(rest, func(a, b ownership.Entity) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Revision, b.Revision))
	})
	for _, e := range rest {
		ids = append(ids, e.ID)
	}
	return ids
}

// each hands entities to a side, several at once, in their order.
func (r *run) each(ctx context.Context, ids []string, to plan.Side, res *result) error {
	e := r.plan.Spec.Entities
	limit := rate.NewLimiter(rate.Limit(e.Rate), 1)
	next := make(chan string)
	var workers sync.WaitGroup
	var mu sync.Mutex
	for range e.Concurrency {
		workers.Go(func() {
			for id := range next {
				out, err := r.one(ctx, id, to)
				mu.Lock()
				res.count(id, out, err)
				mu.Unlock()
				r.count(out, to)
			}
		})
	}
	defer workers.Wait()
	defer close(next)
	for _, id := range ids {
		if err := limit.Wait(ctx); err != nil {
			return err
		}
		select {
		case next <- id:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (res *result) count(id string, out outcome, err error) {
	switch out {
	case moved:
		res.moved++
	case inFlight:
		res.inFlight++
	case absent:
		res.absent++
	case failed:
		res.failed++
		if res.why == "" {
			res.why = fmt.Sprintf("%q: %v", id, err)
		}
	}
}

func (r *run) count(out outcome, to plan.Side) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if out != moved {
		return
	}
	if r.begun.IsZero() {
		r.begun = r.e.o.Now()
	}
	r.moved++
	if to == plan.Modern {
		r.now.Finished++
	}
}
