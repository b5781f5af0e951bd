package reconciler

import (
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// TransformTeller knows what gates ask of transforms.
type TransformTeller interface {
	// TellTransforms is how far the transforms of a plan are, by name. It makes no
	// call: it is what the work itself knows, and what it has kept.
	TellTransforms(p *plan.Plan) map[string]gates.Transform
}

// askTransforms is what is known of a plan's transforms, for gates.
func (w *worker) askTransforms(p *plan.Plan) (out map[string]gates.Transform) {
	unknown := func(why string) map[string]gates.Transform {
		all := map[string]gates.Transform{}
		for _, ph := range p.Spec.Phases {
			for _, t := range ph.Transforms {
				all[t.Name] = gates.Transform{Why: why}
			}
		}
		return all
	}
	if w.r.o.TransformFacts == nil {
		return unknown("the daemon was started without a cluster")
	}
	if err := guarded(w.log, "ask about transforms", func() error { out = w.r.o.TransformFacts.TellTransforms(p); return nil }); err != nil {
		return unknown(err.Error())
	}
	return out
}
