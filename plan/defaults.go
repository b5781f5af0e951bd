package plan

import "time"

// The defaults of a plan. Those of a phase's rollback are Revert and
// DepthPromotion.
const (
	DefaultNamespace = "default"
	DefaultMaxAge    = Duration(5 * time.Minute)
	DefaultMaxPrune  = 20
	DefaultTimeout   = Duration(5 * time.Minute)
	DefaultMonitor   = Duration(28 * 24 * time.Hour)
	DefaultVerifyFor = Duration(10 * time.Minute)
	DefaultTimezone  = "UTC"
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
	for name, o := range p.Spec.Objects {
		if o.Namespace == "" {
			o.Namespace = p.Metadata.Namespace
			p.Spec.Objects[name] = o
		}
	}
	if p.Spec.Gateway != nil && p.Spec.Gateway.GatewayAPI != nil {
		gatewayDefaults(p)
	}
	for i := range p.Spec.Phases {
		if c := p.Spec.Phases[i].Cluster; c != nil {
			clusterDefaults(c)
		}
		for j := range p.Spec.Phases[i].Transforms {
			transformDefaults(&p.Spec.Phases[i].Transforms[j])
		}
		r := &p.Spec.Phases[i].Rollback
		if r.OnBreach == "" {
			r.OnBreach = Revert
		}
		if r.Depth == "" {
			r.Depth = DepthPromotion
		}
	}
	if p.Spec.Entities != nil {
		entityDefaults(p.Spec.Entities)
	}
	flagDefaults(p)
	backupDefaults(p)
	travelDefaults(p)
}

func travelDefaults(p *Plan) {
	if p.Spec.Promotion == "" {
		p.Spec.Promotion = PromotionManual
	}
	if p.Spec.MonitorFor == 0 {
		p.Spec.MonitorFor = DefaultMonitor
	}
	for i := range p.Spec.Windows {
		if w := &p.Spec.Windows[i]; w.Timezone == "" {
			w.Timezone = DefaultTimezone
		}
	}
	for i := range p.Spec.Phases {
		ph := &p.Spec.Phases[i]
		if len(ph.Rollback.Verify) > 0 && ph.Rollback.VerifyFor == 0 {
			ph.Rollback.VerifyFor = DefaultVerifyFor
		}
		for j := range ph.Approvals {
			if ph.Approvals[j].Count == nil {
				ph.Approvals[j].Count = new(1)
			}
		}
	}
}

func gatewayDefaults(p *Plan) {
	g := p.Spec.Gateway.GatewayAPI
	if g.Namespace == "" {
		g.Namespace = p.Metadata.Namespace
	}
	for i := range g.ParentRefs {
		if g.ParentRefs[i].Namespace == "" {
			g.ParentRefs[i].Namespace = g.Namespace
		}
	}
	for _, s := range []*Service{p.Spec.Backends.Legacy.Service, p.Spec.Backends.Modern.Service} {
		if s != nil && s.Namespace == "" {
			s.Namespace = g.Namespace
		}
	}
}

func clusterDefaults(c *Cluster) {
	if c.Prune == nil {
		c.Prune = new(true)
	}
	if c.MaxPrune == nil {
		c.MaxPrune = new(DefaultMaxPrune)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
}
