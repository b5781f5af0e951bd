package reconciler

import (
	"context"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// owningDeadline is how long a plan waits for who owns its entities.
const owningDeadline = 3 * time.Second

// keepEntities takes a head without entities for one that is not valid while
// modern owns some, or while nobody can tell: without spec.entities their requests
// would go by the routes, which know of no owner. What is applied stays, and is
// rolled back as ever.
func (w *worker) keepEntities(ctx context.Context, in *decide.Input) {
	a := in.Applied
	if a.IsZero() || in.Git.Invalid != "" || !a.Plan.Spec.Entities.Routed() || in.Head.Plan.Spec.Entities != nil {
		return
	}
	const mend = "; put spec.entities back"
	ctx, cancel := context.WithTimeout(ctx, owningDeadline)
	defer cancel()
	g, ok := w.traffic(a.Plan).(Owning)
	if !ok {
		in.Git.Invalid = "it removes spec.entities, and the daemon was started without the bridge that knows whether modern owns any" + mend
		in.Head = a
		return
	}
	owns := false
	err := guarded(w.log, "ask who owns entities", func() (err error) {
		owns, err = g.ModernOwns(ctx, a.Plan)
		return err
	})
	switch {
	case err != nil:
		in.Git.Invalid = "it removes spec.entities, and whether modern owns any cannot be told: " + err.Error() + mend
	case owns:
		in.Git.Invalid = "it removes spec.entities while modern owns some, whose requests would go to legacy by the routes" + mend + " until they are handed back or deleted"
	default:
		return
	}
	in.Head = a
}

// owing says why nothing is taken away of what the stops after the one that is
// applied had: the plan went back, and modern still serves entities that were born
// there, or nobody can tell. Empty: it may be taken away.
func (w *worker) owing(ctx context.Context, v plan.Version, a decide.Applied) string {
	if !a.Backward || !v.Plan.Spec.Entities.Routed() {
		return ""
	}
	g, ok := w.traffic(v.Plan).(Owning)
	if !ok {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, owningDeadline)
	defer cancel()
	owns, err := g.ModernOwns(ctx, v.Plan)
	switch {
	case err != nil:
		return "nothing is taken away while it cannot be told whether modern owns entities: " + err.Error()
	case owns:
		return "nothing is taken away while modern owns entities"
	}
	return ""
}
