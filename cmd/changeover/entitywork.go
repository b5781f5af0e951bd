package main

import (
	"context"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/entities"
	"github.com/changeover-dev/changeover/reconciler/handover"
	"github.com/changeover-dev/changeover/reconciler/sidelabel"
)

// entityWork gives the entities of a plan to who works on their kind: objects with
// a label, or what requests name.
type entityWork struct {
	labels  *sidelabel.Runner // nil: the daemon has no cluster
	engine  *handover.Engine  // nil: it has no table of owners
	watcher *entities.Watcher // nil as well
}

func (e entityWork) of(p *plan.Plan) reconciler.Work {
	switch {
	case sidelabel.Wants(p):
		if e.labels != nil {
			return e.labels
		}
	case e.engine != nil:
		return e.engine
	}
	return nil
}

// Ensure implements reconciler.Work. A plan whose kind nobody works on was refused
// by its check, or has nothing to do.
func (e entityWork) Ensure(ctx context.Context, t reconciler.Task) (reconciler.Progress, error) {
	if w := e.of(t.Version.Plan); w != nil {
		return w.Ensure(ctx, t)
	}
	return reconciler.Progress{Done: true}, nil
}

// Undo implements reconciler.Work.
func (e entityWork) Undo(ctx context.Context, t reconciler.Task) (reconciler.Progress, error) {
	if w := e.of(t.Version.Plan); w != nil {
		return w.Undo(ctx, t)
	}
	return reconciler.Progress{Done: true}, nil
}

// Pause implements reconciler.Work.
func (e entityWork) Pause(key plan.Key) {
	if e.labels != nil {
		e.labels.Pause(key)
	}
	if e.engine != nil {
		e.engine.Pause(key)
	}
}

// Tell implements reconciler.EntityTeller.
func (e entityWork) Tell(p *plan.Plan, writes bool) *gates.Entities {
	switch {
	case !sidelabel.Wants(p) && e.watcher == nil:
		return gates.NoEntities("the daemon was started without --ownership")
	case !sidelabel.Wants(p):
		return e.watcher.Tell(p, writes)
	case e.labels == nil:
		return gates.NoEntities("the daemon was started without a cluster")
	}
	s, why, ok := e.labels.Survey(p.Key())
	if !ok {
		return gates.NoEntities(why)
	}
	// One label names one owner, so that none is claimed twice or orphaned.
	out := &gates.Entities{
		Total: int64(s.Total), Legacy: int64(s.Legacy), Modern: int64(s.Modern), InFlight: int64(s.InFlight), Unknown: int64(s.Nobody),
		Mismatched: int64(s.Mismatched), Untold: map[string]string{"syncLag": "the owner of the entities is a label: nothing is synced"},
	}
	if p.Spec.Entities.Verify == nil {
		out.Untold["mismatched"] = "the plan does not say what must be equal: spec.entities.verify"
	}
	return out
}
