package reconciler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/render"
)

// prepareDeadline is how long a backward move waits for what must be brought
// back before the traffic can return to it. Then the traffic moves all the
// same, and a person is told.
const prepareDeadline = 2 * time.Minute

// bringBackDeadline bounds one attempt at that, so that an API server that
// hangs neither stretches the whole nor hides a newer commit.
const bringBackDeadline = 20 * time.Second

// fenced says why no effect may be begun, or nil.
func (r *Reconciler) fenced() error {
	if r.o.Fence == nil {
		return nil
	}
	if err := r.o.Fence(); err != nil {
		return fmt.Errorf("nothing is begun: %w", err)
	}
	return nil
}

// clusterAt is the cluster config of a version at a stop; nil where the phase
// has none.
func clusterAt(v plan.Version, stop plan.Position) *plan.Cluster {
	if v.IsZero() {
		return nil
	}
	ph := v.Plan.Phase(stop.Phase)
	if ph == nil {
		return nil
	}
	return ph.Cluster
}

// desired builds what a stop wants in the cluster.
func (w *worker) desired(ctx context.Context, v plan.Version, stop plan.Position) (Desired, error) {
	c := clusterAt(v, stop)
	if w.r.o.Cluster == nil {
		return Desired{}, errors.New("the daemon was started without a cluster, which the plan needs: see `changeover run --help`")
	}
	objects, err := w.r.o.Manifests(ctx, v, stop)
	if err != nil {
		return Desired{}, fmt.Errorf("build %s: %w", c.Path, err)
	}
	d, err := Desire(v, stop, objects)
	if err != nil {
		return Desired{}, err
	}
	d.Mark.Holds = w.rec.Held()
	if a := w.rec.Applied; a != nil {
		d.Mark.Since = a.Since
	}
	return d, nil
}

// Desire is what a stop whose phase has cluster config wants in the cluster, of
// the objects that were built for it. It refuses what is never applied.
func Desire(v plan.Version, stop plan.Position, objects []render.Object) (Desired, error) {
	c := clusterAt(v, stop)
	if len(objects) == 0 {
		return Desired{}, fmt.Errorf("build %s: no objects came of it, and nothing is ever pruned for that", c.Path)
	}
	if err := noRoute(v.Plan, objects); err != nil {
		return Desired{}, fmt.Errorf("build %s: %w", c.Path, err)
	}
	return Desired{
		Mark:    Mark{Key: v.Plan.Key(), Stop: stop, Revision: v.Revision},
		Objects: objects, Prune: *c.Prune, MaxPrune: *c.MaxPrune, Account: v.Plan.Spec.ServiceAccountName,
	}, nil
}

// noRoute refuses a kustomization that holds the HTTPRoute which is the plan's
// own: it would be written in two ways.
func noRoute(p *plan.Plan, objects []render.Object) error {
	g := p.Spec.Gateway
	if g == nil || g.GatewayAPI == nil {
		return nil
	}
	for _, o := range objects {
		id := o.ID()
		if id.Kind == "HTTPRoute" && id.Name == p.Metadata.Name && (id.Namespace == g.GatewayAPI.Namespace || id.Namespace == "") {
			return fmt.Errorf("it holds %s, which is written from the plan's routes: leave it out of the kustomization", id)
		}
	}
	return nil
}

func (w *worker) expand(ctx context.Context, v plan.Version, stop plan.Position) error {
	if clusterAt(v, stop) == nil {
		return nil
	}
	ctx, cancel := effect(ctx, clusterDeadline)
	defer cancel()
	d, err := w.desired(ctx, v, stop)
	if err != nil {
		return err
	}
	begun := w.r.o.Now()
	err = w.r.o.Cluster.Expand(ctx, d)
	w.r.metrics.applied(w.key, "cluster", w.r.o.Now().Sub(begun), err)
	return err
}

func (w *worker) contract(ctx context.Context, v plan.Version, stop plan.Position) error {
	if clusterAt(v, stop) == nil {
		return nil
	}
	ctx, cancel := effect(ctx, clusterDeadline)
	defer cancel()
	d, err := w.desired(ctx, v, stop)
	if err != nil {
		return err
	}
	return w.r.o.Cluster.Contract(ctx, d)
}

// health reports whether what a stop wants is ready.
func (w *worker) health(ctx context.Context, v plan.Version, stop plan.Position) (bool, string, error) {
	ctx, cancel := context.WithTimeout(ctx, observeDeadline)
	defer cancel()
	d, err := w.desired(ctx, v, stop)
	if err != nil {
		return false, "", err
	}
	ok, why, err := w.r.o.Cluster.Healthy(ctx, d)
	if err != nil {
		return false, "", fmt.Errorf("read the health of %s: %w", stop, err)
	}
	return ok, why, nil
}

// healthy returns errMoving while what the stop wants is not ready: a state of
// the plan. A person is told when that lasts.
func (w *worker) healthy(ctx context.Context, v plan.Version, stop plan.Position) error {
	c := clusterAt(v, stop)
	if c == nil {
		return nil
	}
	ok, why, err := w.health(ctx, v, stop)
	switch {
	case err != nil:
		return err
	case ok:
		return nil
	}
	w.waits(why)
	w.overdue(ctx, time.Duration(c.Timeout), why)
	return errMoving
}

// waits notes what the move under way waits for.
func (w *worker) waits(why string) {
	if w.waited != why {
		w.log.Info("the move waits", "stop", w.rec.Move.To.String(), "why", why)
	}
	w.waiting = why
}

// overdue tells a person, once a move, that it has waited for too long.
func (w *worker) overdue(ctx context.Context, limit time.Duration, why string) {
	m, now := w.rec.Move, w.r.o.Now()
	if now.Sub(m.Started) <= limit || w.told.Equal(m.Started) {
		return
	}
	w.told = m.Started
	w.append(ctx, Entry{
		At: now, Verb: m.Verb, Reason: decide.NotHealthy, From: m.From, To: m.To,
		Message: fmt.Sprintf("the move waits for more than %s: %s", plan.Duration(limit), why),
	}, true)
}

// late reports whether a person was told that the move under way is overdue.
func (w *worker) late() bool { return w.rec.Move != nil && w.told.Equal(w.rec.Move.Started) }

// prepare brings back, before the traffic returns, what the stops between took
// away from it: workloads with fewer replicas, or that are gone. It asks the
// cluster nothing where by what was rendered nothing is lacking, and gives up
// waiting at the deadline: then what can be moved is moved.
func (w *worker) prepare(ctx context.Context, in *decide.Input, v plan.Version) error {
	m := w.rec.Move
	if clusterAt(v, m.To) == nil || w.r.o.Cluster == nil {
		return nil
	}
	rctx, cancel := effect(ctx, observeDeadline)
	defer cancel()
	want, err := w.desired(rctx, v, m.To)
	if err != nil {
		w.log.Error("what the traffic returns to could not be built: it moves all the same", "err", err.Error())
		return nil
	}
	lacks := w.lacking(rctx, in, want)
	if len(lacks) == 0 {
		return nil
	}
	if now := w.r.o.Now(); now.Sub(m.Started) > prepareDeadline {
		w.overdue(ctx, prepareDeadline, w.waited)
		w.log.Error("what the traffic returns to is not ready: it moves all the same", "why", w.waited)
		return nil
	}
	return w.bringBack(ctx, want, lacks)
}

// lacking compares what the traffic returns to with what may be there now: what
// was applied, and what a move that was under way would have left.
func (w *worker) lacking(ctx context.Context, in *decide.Input, want Desired) []render.Object {
	var out []render.Object
	seen := map[render.ID]bool{}
	add := func(v plan.Version, stop plan.Position) {
		if clusterAt(v, stop) == nil {
			return
		}
		d, err := w.desired(ctx, v, stop)
		if err != nil {
			return
		}
		for _, o := range render.Lacking(d.Objects, want.Objects) {
			if id := o.ID(); !seen[id] {
				seen[id] = true
				out = append(out, o)
			}
		}
	}
	if a := in.Record.Applied; a != nil {
		add(in.Applied, a.Stop)
	}
	add(in.Applied, w.rec.Move.From)
	add(in.Head, w.rec.Move.From)
	return out
}

func (w *worker) bringBack(ctx context.Context, want Desired, lacks []render.Object) error {
	ectx, cancel := effect(ctx, bringBackDeadline)
	defer cancel()
	if err := w.r.o.Cluster.Expand(ectx, want); err != nil {
		w.waits(fmt.Sprintf("bring back what the traffic returns to: %v", err))
		return errMoving
	}
	want.Objects = lacks
	ok, why, err := w.r.o.Cluster.Healthy(ectx, want)
	switch {
	case err != nil:
		why = err.Error()
	case ok:
		return nil
	}
	w.waits(why)
	return errMoving
}

// follow brings the cluster to what was applied: after a backward move, in
// which the traffic went first, and where it has drifted.
// Nothing is taken away while the traffic is not seen where it was applied.
func (w *worker) follow(ctx context.Context, in *decide.Input, kept bool) error {
	a, part := w.rec.Applied, w.observed.Cluster
	if a == nil || !part.Known || !part.Drifted || in.Git.Gone {
		return nil
	}
	v, err := w.version(ctx, a.Revision)
	if err != nil {
		return err
	}
	if !w.behind {
		if w.failures == 0 {
			w.log.Warn("the cluster is not as it was applied: it is applied again", "stop", a.Stop.String(), "why", part.Message)
		}
		w.r.metrics.drift(w.key)
	}
	w.observedAt = time.Time{}
	if err := w.expand(ctx, v, a.Stop); err != nil {
		return fmt.Errorf("apply %s to the cluster: %w", a.Stop, err)
	}
	ok, why, err := w.health(ctx, v, a.Stop)
	switch {
	case err != nil:
		return err
	case !ok:
		w.waiting = why
		return nil
	}
	if g := w.observed.Gateway; !kept || g.Known && (!g.Healthy || g.Stop != a.Stop) {
		w.waiting = "the traffic is not seen at " + a.Stop.String()
		return nil
	}
	if why := w.owing(ctx, v, *a); why != "" {
		w.waiting = why
		return nil
	}
	if err := w.contract(ctx, v, a.Stop); err != nil {
		return fmt.Errorf("contract the cluster for %s: %w", a.Stop, err)
	}
	return w.markCluster(ctx, v)
}

// markCluster lets the cluster carry what it was brought to: from that a lost
// record is rebuilt, and a cluster that has yet to follow is told from one that
// has drifted.
func (w *worker) markCluster(ctx context.Context, v plan.Version) error {
	a := w.rec.Applied
	if clusterAt(v, a.Stop) == nil {
		return nil
	}
	ctx, cancel := effect(ctx, driftDeadline)
	defer cancel()
	d, err := w.desired(ctx, v, a.Stop)
	if err != nil {
		return err
	}
	if err := w.r.o.Cluster.SetMark(ctx, d); err != nil {
		return fmt.Errorf("mark the inventory: %w", err)
	}
	return nil
}

// observeCluster reads the live objects of what was applied, and while a move
// forward is under way those of what it moves to.
func (w *worker) observeCluster(ctx context.Context, in decide.Input) decide.Part {
	v, stop := in.Applied, in.Record.Applied.Stop
	m := w.rec.Move
	if m != nil && m.To != stop && !back(*m) && in.Head.Revision == m.Revision {
		v, stop = in.Head, m.To
	}
	if clusterAt(v, stop) == nil {
		return decide.Part{}
	}
	unknown := func(err error) decide.Part { return decide.Part{Known: true, Message: err.Error()} }
	if m != nil {
		// It is between two stops, which is no drift.
		ok, why, err := w.health(ctx, v, stop)
		if err != nil {
			return unknown(err)
		}
		return decide.Part{Known: true, Healthy: ok, Message: why}
	}
	ctx, cancel := context.WithTimeout(ctx, observeDeadline)
	defer cancel()
	d, err := w.desired(ctx, v, stop)
	if err != nil {
		return unknown(err)
	}
	st, err := w.r.o.Cluster.Observe(ctx, d)
	if err != nil {
		return unknown(err)
	}
	unmarked := !st.Mark.same(d.Mark)
	w.behind = unmarked
	if unmarked && st.InSync {
		st.Message = cmp.Or(st.Message, "its inventory has yet to name the stop")
	}
	return decide.Part{Known: true, Healthy: st.Healthy, Drifted: !st.InSync || unmarked, Message: st.Message}
}

// Wake has a plan evaluated at once, and what is observed of it read anew: a
// live object of its changed. It may be called from any goroutine.
func (r *Reconciler) Wake(key plan.Key) {
	r.mu.Lock()
	w, ok := r.plans[key]
	r.mu.Unlock()
	if !ok || r.queue == nil {
		return
	}
	w.mu.Lock()
	w.woken = true
	w.mu.Unlock()
	r.enqueue(key)
}
