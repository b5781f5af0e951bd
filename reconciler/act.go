package reconciler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// errMoving says that a move waits for health: a state of the plan, no failure.
var errMoving = errors.New("the move waits")

// carryOut brings the world to what the record intends: the move under way, or
// where there is none, what was applied, should the data plane have drifted. A
// move waits while the decision is another than to go on with it.
func (w *worker) carryOut(ctx context.Context, in *decide.Input, d decide.Decision) error {
	switch {
	case w.rec.Move == nil:
		if err := w.r.fenced(); err != nil {
			return err
		}
		kept := w.keep(ctx, in)
		return errors.Join(kept, w.keepFlags(ctx, in), w.follow(ctx, in, kept == nil), w.rest(ctx, in))
	case !d.Verb.Moves():
		return nil
	}
	v, err := w.version(ctx, w.rec.Move.Revision)
	if err != nil {
		return err
	}
	for w.rec.Move != nil {
		if ctx.Err() != nil {
			return errMoving // a started effect is finished, the next is not begun
		}
		if err := w.r.fenced(); err != nil {
			return err
		}
		if err := w.step(ctx, in, v); err != nil {
			if errors.Is(err, errMoving) || w.rec.Move == nil {
				return err
			}
			w.save(ctx, w.rec.Failed(err.Error()))
			w.stuck(ctx)
			return err
		}
	}
	return nil
}

// stuckAfter is the failed attempts after which a person is told.
const stuckAfter = 3

// stuck pages, once, when a move fails again and again.
func (w *worker) stuck(ctx context.Context) {
	m := w.rec.Move
	if m.Attempts != stuckAfter {
		return
	}
	w.append(ctx, Entry{
		At: w.r.o.Now(), Verb: m.Verb, Reason: decide.Resuming, From: m.From, To: m.To,
		Message: fmt.Sprintf("the move fails again and again, and is tried on: %s", m.Error),
	}, true)
}

// step does the move's step and writes down that it is done. Every step may be
// done again: a crash between the two repeats it.
func (w *worker) step(ctx context.Context, in *decide.Input, v plan.Version) error {
	m := *w.rec.Move
	switch m.Step {
	case decide.StepPrepare:
		err := guarded(w.log, "prepare what the traffic returns to", func() error { return w.prepare(ctx, in, v) })
		if errors.Is(err, errMoving) {
			return err
		}
		if err != nil {
			w.log.Error("what the traffic returns to could not be prepared: it moves all the same", "err", err.Error())
		}
		return w.stepped(ctx, decide.StepTraffic)
	case decide.StepExpand:
		if err := w.backedUp(ctx, v); err != nil {
			return err
		}
		if err := w.expand(ctx, v, m.To); err != nil {
			return fmt.Errorf("expand the cluster for %s: %w", m.To, err)
		}
		return w.stepped(ctx, decide.StepHealth)
	case decide.StepHealth:
		if err := w.healthy(ctx, v, m.To); err != nil {
			return err
		}
		if err := w.awaits(ctx, v, workTransforms, workEntities); err != nil {
			return err
		}
		return w.stepped(ctx, decide.StepTraffic)
	case decide.StepTraffic:
		if !back(m) {
			// It may have failed and been tried again for hours since.
			if err := w.healthy(ctx, v, m.To); err != nil {
				return err
			}
		}
		if err := w.leave(ctx, in, v); err != nil {
			return err
		}
		// Apply returns when the data plane was seen to serve the stop.
		if err := w.moveTraffic(ctx, v, m.To, in.Now); err != nil {
			return fmt.Errorf("move the traffic to %s: %w", m.To, err)
		}
		if back(m) {
			return w.arrive(ctx, in, v)
		}
		return w.stepped(ctx, decide.StepContract)
	case decide.StepContract:
		if back(m) { // begun by an earlier version of Changeover
			return w.finish(ctx, in, v)
		}
		if err := w.contract(ctx, v, m.To); err != nil {
			return fmt.Errorf("contract the cluster for %s: %w", m.To, err)
		}
		return w.finish(ctx, in, v)
	}
	return fmt.Errorf("go on with the move to %s: unknown step %q in the record", m.To, m.Step)
}

// arrive ends a backward move: the cluster follows. In a plan without a gateway
// the cluster is all there is, and nothing is applied before it was changed.
func (w *worker) arrive(ctx context.Context, in *decide.Input, v plan.Version) error {
	if v.Plan.Spec.Gateway == nil {
		if err := w.expand(ctx, v, w.rec.Move.To); err != nil {
			return fmt.Errorf("bring the cluster back to %s: %w", w.rec.Move.To, err)
		}
	}
	return w.finish(ctx, in, v)
}

func back(m decide.Move) bool { return m.Verb.Backward() }

// stepped writes the step down where a step with effects follows. Without a
// cluster only the traffic has any, and the record need not be written for the
// others.
func (w *worker) stepped(ctx context.Context, next decide.Step) error {
	rec := w.rec.Stepped(next)
	if w.r.o.Cluster == nil || next == decide.StepTraffic && back(*rec.Move) {
		w.rec = rec
		return nil
	}
	w.save(ctx, rec)
	return nil
}

// effect detaches a call from the daemon's own end, so that what was started
// is finished, and bounds it.
func effect(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}

// moveTraffic brings the traffic to a stop and returns when it was observed.
func (w *worker) moveTraffic(ctx context.Context, v plan.Version, stop plan.Position, since time.Time) error {
	d := trafficDeadline
	if m := w.rec.Move; w.hurried && m != nil && m.Attempts == 0 {
		d = cascadeDeadline
	}
	return w.moveTrafficWithin(ctx, d, v, stop, since)
}

func (w *worker) moveGateway(ctx context.Context, d time.Duration, v plan.Version, stop plan.Position, since time.Time) error {
	if v.Plan.Spec.Gateway == nil {
		return nil
	}
	t := w.traffic(v.Plan)
	if t == nil {
		return errors.New("the daemon was started without the gateway that the plan names: see `changeover run --help`")
	}
	ctx, cancel := effect(ctx, d)
	defer cancel()
	apply := t.Apply
	if r, ok := t.(Retreater); ok && (w.rec.Move == nil || back(*w.rec.Move)) {
		apply = r.Retreat
	}
	begun := w.r.o.Now()
	err := apply(ctx, v.Plan, Mark{Key: w.key, Stop: stop, Since: since, Revision: v.Revision, Holds: w.rec.Held()})
	w.r.metrics.applied(w.key, "gateway", w.r.o.Now().Sub(begun), err)
	return err
}

// leave brings back the gateway at which the traffic is, where what a backward
// move restores names another.
func (w *worker) leave(ctx context.Context, in *decide.Input, v plan.Version) error {
	m, a := w.rec.Move, in.Applied
	if a.IsZero() || !m.Verb.Backward() || w.traffic(a.Plan) == w.traffic(v.Plan) {
		return nil
	}
	to := m.To
	if it := a.Plan.Itinerary(); it.Index(to) < 0 {
		to = it[0]
	}
	if err := w.moveTraffic(ctx, a, to, in.Now); err != nil {
		return fmt.Errorf("move the traffic to %s at the gateway before: %w", to, err)
	}
	return nil
}

// finish records that the move is done, and lets the data plane carry the time
// from which the bake counts.
func (w *worker) finish(ctx context.Context, in *decide.Input, v plan.Version) error {
	m := *w.rec.Move
	now := w.r.o.Now()
	w.save(ctx, w.leavesBehind(w.rec.Finish(now), in.Applied.Revision, m, now))
	in.Applied = v
	w.observed.Gateway = decide.Part{Known: v.Plan.Spec.Gateway != nil, Healthy: true, Stop: m.To}
	w.observedAt, w.observedStop = now, m.To
	w.observed.Cluster = decide.Part{Known: clusterAt(v, m.To) != nil, Healthy: true}
	if back(m) && w.observed.Cluster.Known {
		w.observedAt, w.observed.Cluster.Drifted = time.Time{}, true // it has yet to follow
	}
	w.r.metrics.moved(w.key, m, now, w.breach)
	w.breach = time.Time{}
	w.log.Info("observed in the data plane", "from", m.From.String(), "to", m.To.String(), "took", now.Sub(m.Started).String())
	err := w.moveTraffic(ctx, v, m.To, w.rec.Applied.Since)
	if !w.observed.Cluster.Drifted {
		err = errors.Join(err, w.markCluster(ctx, v))
	}
	return err
}

// keep corrects drift: the data plane no longer serves what was applied, or its
// config does not carry the record's facts.
func (w *worker) keep(ctx context.Context, in *decide.Input) error {
	a, g := w.rec.Applied, w.observed.Gateway
	if a == nil || !g.Known || in.Git.Gone {
		return nil
	}
	if !g.Stop.IsZero() && g.Stop != a.Stop {
		return nil // no drift: which of the two is right only a person can say
	}
	if g.Healthy && w.marked(*a) {
		return nil
	}
	v, err := w.version(ctx, a.Revision)
	if err != nil {
		return err
	}
	if !g.Healthy {
		if w.failures == 0 {
			w.log.Warn("the data plane does not serve what was applied: it is applied again", "stop", a.Stop.String(), "why", g.Message)
		}
		w.r.metrics.drift(w.key)
	}
	if err := w.moveTrafficWithin(ctx, driftDeadline, v, a.Stop, a.Since); err != nil {
		return fmt.Errorf("apply %s again: %w", a.Stop, err)
	}
	w.observedAt = time.Time{}
	return nil
}

// marked reports whether the config carries what a lost record would be
// rebuilt from.
func (w *worker) marked(a decide.Applied) bool {
	return w.mark == nil || w.mark.same(Mark{Stop: a.Stop, Since: a.Since, Revision: a.Revision, Holds: w.rec.Held()})
}
