package reconciler

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// cascadeDeadline bounds the first attempt to move one plan's traffic while
// others of its group go back too: none waits long for another.
const cascadeDeadline = 5 * time.Second

// turn is one evaluation of one plan, within that of its group.
type turn struct {
	w      *worker
	begun  time.Time
	in     decide.Input
	d      decide.Decision
	answer func(error)
	idle   bool // there is nothing to decide
	err    error
	// unwritten is why the intent was not written down, so that nothing was
	// done about it.
	unwritten error
}

// try does a part of the turn, unless one before failed. A panic is the plan's
// own error and stops no other.
func (t *turn) try(doing string, do func() error) {
	if t.err == nil {
		t.err = guarded(t.w.log, doing, do)
	}
}

// workOnce works a plan together with those that it is connected with, and
// returns how long to wait before the next time.
func (r *Reconciler) workOnce(ctx context.Context, key plan.Key) (again time.Duration) {
	group := r.groupOf(key)
	turns := make([]*turn, 0, len(group))
	for _, k := range group {
		w := r.worker(k)
		w.busy.Lock()
		turns = append(turns, &turn{w: w, answer: func(error) {}})
	}
	defer func() {
		for _, t := range turns {
			t.w.busy.Unlock()
		}
	}()
	r.gatherAll(ctx, turns)
	if !slices.Equal(r.groupOf(key), group) {
		return 0 // who belongs together came out just now
	}
	r.decideAndAct(ctx, turns)
	again = r.o.Interval
	for _, t := range turns {
		again = min(again, r.ended(ctx, t))
	}
	return again
}

// gatherAll reads what the decisions read, for all at once.
func (r *Reconciler) gatherAll(ctx context.Context, turns []*turn) {
	each(turns, func(t *turn) {
		t.begun = r.o.Now()
		t.try("gather what is known of the plan", func() error { return t.gather(ctx) })
		if !t.in.Head.IsZero() {
			r.link(t.w, t.in.Head.Plan.Links())
		}
	})
}

func (t *turn) gather(ctx context.Context) error {
	w := t.w
	w.waited, w.waiting = w.waiting, ""
	if err := w.load(ctx); err != nil {
		return err
	}
	in, err := w.gather(ctx)
	t.in = in
	if err != nil {
		return err
	}
	w.governs = in.Head.Plan
	if in.Head.IsZero() && in.Record.Applied == nil {
		t.idle = true
		w.report(ctx, in, decide.Decide(in), nil)
		return nil
	}
	w.takePush(ctx)
	w.takeProposal(ctx)
	w.offerRevert()
	t.in.Record = w.rec
	return nil
}

// decideAndAct writes every intent down and carries it out: what goes back
// first, dependents before what they depend on, and their reverts in one push;
// then the rest, each for itself.
func (r *Reconciler) decideAndAct(ctx context.Context, turns []*turn) {
	order := decideAll(turns)
	n := slices.IndexFunc(order, func(t *turn) bool { return !t.d.Verb.Backward() })
	if n < 0 {
		n = len(order)
	}
	back, rest := order[:n], order[n:]
	for _, t := range back {
		t.goesBack()
		t.try("write the intent down", func() error { return t.intend(ctx) })
	}
	for _, t := range back {
		t.w.hurried = len(turns) > 1
		t.act(ctx)
		t.w.hurried = false
	}
	if len(back) > 0 {
		r.startPush(ctx, workersOf(order))
	}
	each(rest, func(t *turn) {
		t.try("write the intent down", func() error { return t.intend(ctx) })
		t.act(ctx)
	})
	if len(rest) > 0 {
		r.startPush(ctx, workersOf(order))
	}
	for _, t := range order {
		t.report(ctx)
	}
}

func workersOf(turns []*turn) []*worker {
	ws := make([]*worker, len(turns))
	for i, t := range turns {
		ws[i] = t.w
	}
	return ws
}

// each does something for all of them at once.
func each(turns []*turn, do func(*turn)) {
	if len(turns) == 1 {
		do(turns[0])
		return
	}
	var wg sync.WaitGroup
	for _, t := range turns {
		wg.Go(func() { do(t) })
	}
	wg.Wait()
}

// decideAll decides about all plans of a group, and returns the turns in the
// order in which they are carried out.
func decideAll(turns []*turn) []*turn {
	byKey := make(map[plan.Key]*turn, len(turns))
	members := make([]decide.Member, 0, len(turns))
	for _, t := range turns {
		byKey[t.w.key] = t
		members = append(members, decide.Member{Key: t.w.key, Input: t.in, Unknown: t.err != nil || t.idle})
	}
	decided := decide.Group(members, func(key plan.Key, in decide.Input) decide.Decision {
		t := byKey[key]
		t.try("decide", func() error {
			t.d, t.answer = t.w.decide(in)
			return nil
		})
		return t.d
	})
	out := make([]*turn, len(decided))
	for i, d := range decided {
		out[i] = byKey[d.Key]
		out[i].in = d.Input
	}
	return out
}

// intend writes down what is about to be done.
func (t *turn) intend(ctx context.Context) error {
	w := t.w
	next, err := w.digests(ctx, w.rec.Settle(t.in).Begin(t.in, t.d))
	if err != nil {
		return err
	}
	w.save(ctx, next)
	if t.d.Verb == decide.Advance || t.d.Verb == decide.Apply {
		// Going back waits for no disk; going forward does.
		return w.unsaved
	}
	return nil
}

// act carries out what was written down.
func (t *turn) act(ctx context.Context) {
	if t.err != nil {
		t.unwritten = t.err
		return
	}
	t.try("act", func() error {
		t.w.announce(ctx, t.in, t.d)
		if t.in.Head.IsZero() || t.in.Head.Plan.Spec.Suspend {
			return nil
		}
		t.w.showMove(t.in, t.d)
		err := t.w.carryOut(ctx, &t.in, t.d)
		if errors.Is(err, errMoving) {
			err = nil
		}
		return err
	})
}

// report shows what was done, and then answers who asked for it.
func (t *turn) report(ctx context.Context) {
	defer func() { t.answer(t.unwritten) }()
	if t.d.Verb == "" {
		return // nothing was decided
	}
	w, failed := t.w, t.err
	t.err = nil
	t.try("report", func() error {
		w.startPropose(ctx, t.d)
		w.watch(ctx, t.in)
		w.measure(ctx, t.in)
		w.compare(ctx, t.in)
		t.in.Record = w.rec
		w.report(ctx, t.in, t.d, cmp.Or(failed, w.unsaved, w.unread))
		w.pauses()
		if failed == nil && t.d.Verb.Moves() && w.waiting == "" {
			// What comes next may be decided at once.
			w.r.enqueue(w.key)
		}
		return nil
	})
	t.err = cmp.Or(failed, t.err, w.unsaved)
}

// ended takes in how a plan's turn went, and returns how long to wait before
// the next.
func (r *Reconciler) ended(ctx context.Context, t *turn) time.Duration {
	w, err := t.w, t.err
	r.metrics.worked(w.key, r.o.Now().Sub(t.begun), err)
	if t.d.Verb == "" && err != nil {
		w.stands(gates.PlanState{Unknown: "it could not be read: " + err.Error()})
	}
	w.mu.Lock()
	w.worked = true
	if err != nil {
		w.status.Error = err.Error()
	}
	if !w.loaded {
		// Nothing is known of the plan, and so nothing watches over it.
		w.status.State, w.status.Decision.Message = StateDegraded, w.status.Error
	}
	recheck := w.status.Decision.RecheckAt
	w.mu.Unlock()
	if err != nil && ctx.Err() != nil {
		return time.Second // the daemon ends, and broke it off itself
	}
	if err != nil {
		w.failures++
		if w.failures == 1 && !w.loaded {
			r.o.Notifier.Notify(ctx, w.key, Entry{At: t.begun, Verb: decide.Halt, Message: "the plan is not watched: " + err.Error()}, true)
		}
		if w.failures == 1 || w.failures%10 == 0 {
			w.log.Error("the plan could not be worked; it is tried again", "err", err.Error(), "attempts", w.failures)
		}
		return min(backoff(w.failures), max(r.o.Interval, time.Second))
	}
	w.failures = 0
	again := r.o.Interval
	if m := w.rec.Move; m != nil && m.Attempts > 0 {
		again = min(again, backoff(m.Attempts))
	}
	if w.waiting != "" {
		again = min(again, waitingInterval) // watches wake it sooner
	}
	if d := w.flagsExpire(t.in, r.o.Now()); d > 0 {
		again = min(again, d)
	}
	if d := w.blindAfter(r.o.Now()); d > 0 {
		again = min(again, d)
	}
	if !recheck.IsZero() {
		again = min(again, max(recheck.Sub(r.o.Now()), time.Millisecond))
	}
	return again
}
