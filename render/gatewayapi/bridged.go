package gatewayapi

import (
	"slices"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// toBridge stands for a side that the bridge chooses.
const toBridge plan.Side = "bridge"

// leaveToBridge leaves of the rules that are the bridge's what the HTTPRoute needs:
// what they match. Where requests name entities it leaves all to the bridge: an
// id may be anywhere in a path, and no match of an HTTPRoute finds it there.
func leaveToBridge(p *plan.Plan, rules []render.Rule) []render.Rule {
	if p.Spec.Entities.Routed() {
		return []render.Rule{{Side: toBridge}}
	}
	out := slices.Clone(rules)
	for i, r := range out {
		if r.Bridged(p) {
			out[i] = render.Rule{Match: r.Match, Side: toBridge}
		}
	}
	return out
}
