package simulation

import (
	"maps"
	"slices"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/timeline"
)

// Raiser is who made the raises of a simulation in which consent is taken for
// given: nobody may approve a raise of their own.
const Raiser = "raiser@simulation.invalid"

// Approve has all signers of the roles that a stop asks for approve it, for the raise
// that is declared, and a signer of any role tick its checklist.
func Approve(player *timeline.Player, r *Report, p *plan.Plan) {
	for _, stop := range r.Itinerary {
		ph := p.Phase(stop.Phase)
		for _, rule := range ph.Approvals {
			for _, by := range p.Spec.Roles[rule.Role].Signers {
				player.Approve(r.Start, decide.Approval{File: "the approval by " + by, Stop: stop, Role: rule.Role, Author: by})
			}
		}
		role, by := ticker(p)
		for _, item := range ph.Checklist {
			player.Approve(r.Start, decide.Approval{File: "the tick by " + by, Stop: stop, Role: role, Item: item, Author: by})
		}
	}
}

// ticker is the first signer there is; none where the plan has no roles.
func ticker(p *plan.Plan) (role, by string) {
	for _, role := range slices.Sorted(maps.Keys(p.Spec.Roles)) {
		if s := p.Spec.Roles[role].Signers; len(s) > 0 {
			return role, s[0]
		}
	}
	return "", ""
}
