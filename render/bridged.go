package render

import (
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// Bridged reports whether a rule's requests go to the bridge behind the plan's
// gateway, as plan.Gateway.Bridged says. Those at the paths of spec.entities go
// there too, whatever rule governs them.
func (r Rule) Bridged(p *plan.Plan) bool {
	switch {
	case !p.Spec.Gateway.Bridged():
		return false
	case r.Respond != nil:
		return p.Spec.Gateway.NGINX == nil
	case r.Split, r.Owner, r.Translate != "", r.Mirror != nil && r.Mirror.Compare != nil:
		return true
	}
	return r.Side == plan.Modern && r.mayCreate(p.Spec.Entities)
}

// mayCreate reports whether a rewrite may lead to where modern creates entities.
func (r Rule) mayCreate(e *plan.Entities) bool {
	if e == nil || e.Born == nil || r.Rewrite == nil || r.Rewrite.Path == "" {
		return false
	}
	to, born := strings.TrimSuffix(r.Rewrite.Path, "/"), strings.TrimSuffix(e.Born.Path, "/")
	if r.Match.PathPrefix != "" {
		return strings.HasPrefix(born, to)
	}
	return to == born
}
