package plan

import "time"

// The defaults of a plan. Those of a phase's rollback are Revert and
// DepthPromotion.
const (
	DefaultNamespace = "default"
	DefaultMaxAge    = Duration(5 * time.Minute)
)

// setDefaults fills in what the file leaves out.
func setDefaults(p *Plan) {
	if p.Metadata.Namespace == "" {
		p.Metadata.Namespace = DefaultNamespace
	}
	for name, s := range p.Spec.Signals {
		if s.MaxAge == 0 {
			s.MaxAge = DefaultMaxAge
			p.Spec.Signals[name] = s
		}
	}
	for i := range p.Spec.Phases {
		r := &p.Spec.Phases[i].Rollback
		if r.OnBreach == "" {
			r.OnBreach = Revert
		}
		if r.Depth == "" {
			r.Depth = DepthPromotion
		}
	}
}
