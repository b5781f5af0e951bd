package main

import (
	"context"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/sidelabel"
)

// entityWork gives the entities of a plan to who works on their kind: objects with
// a label, or what requests name.
type entityWork struct {
	labels  labeller                // nil: the daemon has no cluster
	engine  reconciler.Work         // nil: it has no table of owners
	watcher reconciler.EntityTeller // nil as well
}

// labeller works on objects with a label.
type labeller interface {
	reconciler.Work
	// Survey is how a plan's objects stand; ok is false, with why, where that is
	// not known.
	Survey(key plan.Key) (s sidelabel.Survey, why string, ok bool)
}

// each is who works on a plan's kind, and who on the other: nil where nobody does.
func (e entityWork) each(p *plan.Plan) (mine, other reconciler.Work) {
	if e.labels != nil {
		mine = e.labels
	}
	other = e.engine
	if !sidelabel.Wants(p) {
		mine, other = other, mine
	}
	return mine, other
}

// Ensure implements reconciler.Work. The other kind is asked too: a plan that was of
// that kind before is let go of. A plan whose kind nobody works on was refused by
// its check, or has nothing to do.
func (e entityWork) Ensure(ctx context.Context, t reconciler.Task) (reconciler.Progress, error) {
	mine, other := e.each(t.Version.Plan)
	if other != nil {
		if _, err := other.Ensure(ctx, t); err != nil {
			return reconciler.Progress{}, err
		}
	}
	if mine == nil {
		return reconciler.Progress{Done: true}, nil
	}
	return mine.Ensure(ctx, t)
}

// Undo implements reconciler.Work.
func (e entityWork) Undo(ctx context.Context, t reconciler.Task) (reconciler.Progress, error) {
	mine, _ := e.each(t.Version.Plan)
	if mine == nil {
		return reconciler.Progress{Done: true}, nil
	}
	return mine.Undo(ctx, t)
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
