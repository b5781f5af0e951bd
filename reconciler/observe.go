package reconciler

import (
	"context"
	"errors"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// observe reads the data plane back: at the drift interval, when a live object
// changed, and at every evaluation while something is under way or wrong.
func (w *worker) observe(ctx context.Context, in decide.Input) {
	w.mu.Lock()
	woken := w.woken
	w.woken = false
	w.mu.Unlock()
	settled := w.rec.Move == nil && !woken && !w.observed.Gateway.Ill() && !w.observed.Cluster.Ill() &&
		in.Record.Applied != nil && w.observedStop == in.Record.Applied.Stop &&
		in.Head.Plan != nil && in.Head.Plan.Spec.Position == w.observedStop
	if settled && in.Now.Sub(w.observedAt) < w.r.o.DriftInterval {
		return
	}
	w.observed, w.observedAt, w.observedStop = decide.Observed{}, in.Now, plan.Position{}
	if in.Applied.IsZero() || in.Record.Applied == nil {
		return
	}
	w.observedStop = in.Record.Applied.Stop
	if in.Applied.Plan.Spec.Gateway != nil {
		w.observed.Gateway = w.observeTraffic(ctx, in)
	}
	if err := guarded(w.log, "observe the cluster", func() error {
		w.observed.Cluster = w.observeCluster(ctx, in)
		return nil
	}); err != nil {
		// It keeps no traffic from going back.
		w.observed.Cluster = decide.Part{Known: true, Message: err.Error()}
	}
}

func (w *worker) observeTraffic(ctx context.Context, in decide.Input) decide.Part {
	t := w.traffic(in.Applied.Plan)
	if t == nil {
		return decide.Part{Known: true, Message: "the daemon was started without the gateway that the plan names"}
	}
	ctx, cancel := context.WithTimeout(ctx, observeDeadline)
	defer cancel()
	st, err := t.Observe(ctx, in.Applied.Plan, in.Record.Applied.Stop)
	if err != nil {
		return decide.Part{Known: true, Message: err.Error()}
	}
	w.mark = st.Mark
	part := decide.Part{Known: true, Healthy: st.Serving, Message: st.Message}
	if st.Mark != nil {
		part.Stop = st.Mark.Stop
	}
	return part
}

// require asks what the cluster does not offer of what the plan requires, as
// long as the plan is at its first stop or has entered none.
func (w *worker) require(ctx context.Context, in *decide.Input) error {
	if in.Head.IsZero() || in.Head.Plan.Spec.Requires == nil {
		return nil
	}
	if a := in.Record.Applied; a != nil && a.Stop != in.Head.Plan.Itinerary()[0] {
		return nil
	}
	if w.r.o.Cluster == nil {
		in.Unmet = []string{"the daemon was started without a cluster"}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, observeDeadline)
	defer cancel()
	unmet, err := w.r.o.Cluster.Unmet(ctx, in.Head.Plan)
	if err != nil {
		unmet = append(unmet, err.Error())
	}
	in.Unmet = unmet
	return nil
}

// objects reads the live objects that the gates of a decision name.
func (w *worker) objects(ctx context.Context, p *plan.Plan, names []string) map[string]gates.Object {
	if len(names) == 0 {
		return nil
	}
	if w.r.o.Cluster == nil {
		out := make(map[string]gates.Object, len(names))
		for _, n := range names {
			out[n] = gates.Object{Err: errors.New("the daemon was started without a cluster")}
		}
		return out
	}
	return w.r.o.Cluster.Read(ctx, p, names)
}
