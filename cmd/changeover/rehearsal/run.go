package rehearsal

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/nginx"
)

// Cluster tries things on a cluster without writing to it. Its errors say that
// it cannot be asked.
type Cluster interface {
	// Unmet is what the plan requires and the cluster has not.
	Unmet(ctx context.Context, p *plan.Plan) ([]string, error)
	// Live is what was applied for the plan, and the mark of it, or nil.
	Live(ctx context.Context, key plan.Key) ([]render.ID, *reconciler.Mark, error)
	// Place puts objects into their namespaces.
	Place(ctx context.Context, d reconciler.Desired) (reconciler.Desired, error)
	// Try applies all objects; Leave deletes these.
	Try(ctx context.Context, d reconciler.Desired) ([]kube.Trial, error)
	Leave(ctx context.Context, d reconciler.Desired, ids []render.ID) ([]kube.Leaving, error)
	// Route applies the plan's HTTPRoute.
	Route(ctx context.Context, p *plan.Plan, stop plan.Position) (kube.Trial, error)
}

// Options of a rehearsal. Plan and Build are required.
type Options struct {
	Plan plan.Version
	// Build makes the objects of a stop whose phase has cluster config.
	Build func(stop plan.Position) ([]render.Object, error)
	// To is the stop at which the way back begins; none: the last.
	To plan.Position
	// Cluster, and URL of its API server; nil: nothing is tried on one.
	Cluster Cluster
	URL     string
	// NGINX tests a config; nil: none does.
	NGINX func(context.Context, nginx.Files) error
}

// stage is one stop as it is rendered.
type stage struct {
	stop plan.Position
	// desired is nil where the phase has no cluster config, or it cannot be
	// rendered.
	desired *reconciler.Desired
	rules   []string // likewise
}

// walk is one rehearsal.
type walk struct {
	Options
	report *Report
	stages []stage
}

// Run rehearses a plan. The error says that the cluster cannot be asked, or
// that ctx has ended.
func Run(ctx context.Context, o Options) (*Report, error) {
	w := &walk{Options: o, report: &Report{Plan: o.Plan.Plan.Key(), Stops: []Stop{}, Back: []Stop{}, Findings: []Finding{}}}
	live, err := w.open(ctx)
	if err != nil {
		return nil, err
	}
	it := o.Plan.Plan.Itinerary()
	if i := it.Index(o.To); i >= 0 {
		it = it[:i+1]
	}
	for _, stop := range it {
		s, err := w.render(ctx, stop)
		if err != nil {
			return nil, err
		}
		w.stages = append(w.stages, s)
	}
	there, err := w.forward(ctx, w.strangers(live))
	if err != nil {
		return nil, err
	}
	return w.report, w.back(ctx, there)
}

// open asks the cluster what the plan hangs on.
func (w *walk) open(ctx context.Context) ([]render.ID, error) {
	if w.Cluster == nil {
		return nil, nil
	}
	w.report.Cluster = &Server{URL: w.URL}
	unmet, err := w.Cluster.Unmet(ctx, w.Plan.Plan)
	if err != nil {
		return nil, err
	}
	for _, u := range unmet {
		w.report.find(plan.Position{}, false, "requires", u)
	}
	ids, mark, err := w.Cluster.Live(ctx, w.Plan.Plan.Key())
	if apierrors.IsForbidden(err) {
		return nil, nil // it is found again when a stop is tried
	}
	if mark != nil {
		w.report.Cluster.Live = mark.Stop
	}
	return ids, err
}

// render makes what a stop wants, and tests what can be without a cluster.
func (w *walk) render(ctx context.Context, stop plan.Position) (stage, error) {
	s := stage{stop: stop}
	p := w.Plan.Plan
	if p.Spec.Gateway != nil {
		rules, err := w.traffic(ctx, stop)
		if err != nil {
			w.report.find(stop, false, "traffic", err.Error())
		}
		s.rules = rules
	}
	if p.Phase(stop.Phase).Cluster == nil {
		return s, ctx.Err()
	}
	objects, err := w.Build(stop)
	var d reconciler.Desired
	if err == nil {
		d, err = reconciler.Desire(w.Plan, stop, objects)
	}
	if err != nil {
		w.report.find(stop, false, "cluster", err.Error())
		return s, ctx.Err()
	}
	if w.Cluster != nil {
		if d, err = w.Cluster.Place(ctx, d); err != nil {
			return s, err
		}
	}
	s.desired = &d
	return s, ctx.Err()
}

// forward goes from the first stop to the last. It returns what there would be
// at each.
func (w *walk) forward(ctx context.Context, have inventory) ([]inventory, error) {
	var there []inventory
	var before *stage
	for i := range w.stages {
		s := &w.stages[i]
		out := w.compare(before, s, i == 0)
		var err error
		if have, err = w.contract(ctx, s, have, out.Cluster, moving{}); err != nil {
			return nil, err
		}
		if out.DryRun, err = w.try(ctx, s); err != nil {
			return nil, err
		}
		w.stuck(before, out)
		b, err := breachAt(w.Plan, s.stop)
		if err != nil {
			return nil, err
		}
		out.Breach = &b
		w.report.Stops = append(w.report.Stops, out)
		there = append(there, have)
		before = w.known(i)
	}
	return there, nil
}

// back goes from the last stop to the first, and looks at where breaches lead
// over several stops at once.
func (w *walk) back(ctx context.Context, there []inventory) error {
	have := there[len(there)-1]
	for i := len(w.stages) - 2; i >= 0; i-- {
		s := &w.stages[i]
		out := w.compare(w.known(i+1), s, false)
		out.From = w.stages[i+1].stop
		if from := w.known(i + 1); from.desired != nil && s.desired != nil {
			for _, o := range render.Lacking(from.desired.Objects, s.desired.Objects) {
				out.Cluster.First = append(out.Cluster.First, o.ID())
			}
		}
		var err error
		if have, err = w.contract(ctx, s, have, out.Cluster, moving{back: true}); err != nil {
			return err
		}
		w.report.Back = append(w.report.Back, out)
	}
	for i, s := range w.report.Stops {
		to := w.Plan.Plan.Itinerary().Index(s.Breach.Target)
		if s.Breach.Verb.Backward() && to >= 0 && to < i-1 {
			m := moving{back: true, straight: s.Stop}
			if _, err := w.contract(ctx, &w.stages[to], there[i], &Objects{}, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// known is the stage with what there is in the cluster at it: that of the last
// stop up to it which has cluster config.
func (w *walk) known(i int) *stage {
	s := w.stages[i]
	for ; s.desired == nil && i > 0; i-- {
		s.desired = w.stages[i-1].desired
	}
	return &s
}

// try asks the API server about all that a stop applies.
func (w *walk) try(ctx context.Context, s *stage) (*DryRun, error) {
	if w.Cluster == nil {
		return nil, nil
	}
	var all []kube.Trial
	if s.desired != nil {
		trials, err := w.Cluster.Try(ctx, *s.desired)
		if err != nil {
			return nil, err
		}
		all = trials
	}
	if g := w.Plan.Plan.Spec.Gateway; g != nil && g.GatewayAPI != nil && s.rules != nil {
		t, err := w.Cluster.Route(ctx, w.Plan.Plan, s.stop)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	if len(all) == 0 {
		return nil, nil
	}
	out := &DryRun{}
	for _, t := range all {
		switch t.Outcome {
		case kube.Accepted:
			out.Accepted++
		case kube.NotTried:
			out.NotTried = append(out.NotTried, Reason{t.ID, t.Why})
		default:
			out.Refused = append(out.Refused, Reason{t.ID, t.Why})
			w.report.find(s.stop, false, title(t.ID), t.Why)
		}
	}
	return out, nil
}
