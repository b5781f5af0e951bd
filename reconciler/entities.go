package reconciler

import (
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// EntityTeller knows what gates ask of entities. It looks after those of a plan for
// as long as it is asked about them.
type EntityTeller interface {
	// Tell is what is known now; nil where the plan names no inventory. Writes: the
	// ownership table and modern's copies may be kept current.
	Tell(p *plan.Plan, writes bool) *gates.Entities
}

// askEntities is what is known of the entities of the plan as it is applied; of the
// head's, where that is the first to name an inventory.
func (w *worker) askEntities(in *decide.Input) *gates.Entities {
	p := in.Applied.Plan
	if p == nil || !listsEntities(p) {
		p = in.Head.Plan
	}
	switch {
	case p == nil || !listsEntities(p):
		return nil
	case w.r.o.EntityFacts == nil:
		return gates.NoEntities("the daemon was started without --ownership")
	}
	writes := !in.Head.Plan.Spec.Suspend && (w.r.o.Fence == nil || w.r.o.Fence() == nil)
	out := gates.NoEntities("not read")
	if err := guarded(w.log, "ask about entities", func() error { out = w.r.o.EntityFacts.Tell(p, writes); return nil }); err != nil {
		return gates.NoEntities(err.Error())
	}
	return out
}

func listsEntities(p *plan.Plan) bool { return p.Spec.Entities != nil && p.Spec.Entities.Source != nil }
