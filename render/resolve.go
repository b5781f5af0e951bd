package render

import (
	"errors"
	"fmt"

	"github.com/changeover-dev/changeover/plan"
)

// Rule is one routing rule in neutral form. Exactly one of Side, Split,
// Owner and Respond is set.
//
// A Rule shares memory with the plan that it was resolved from: read it only.
type Rule struct {
	// Match selects requests; the zero Match selects every request.
	Match plan.Match
	// Side is where all of the rule's requests go; "" for Split, Owner and Respond.
	Side plan.Side
	// Split sends Percent of the callers to modern and the others to legacy.
	Split   bool
	Percent plan.Percent
	// Owner sends each request to the side that owns the entity which it names.
	Owner bool
	// Respond answers at the gateway itself.
	Respond *plan.Respond
	// Mirror copies requests to modern, and Rewrite changes them on their way.
	Mirror  *plan.Mirror
	Rewrite *plan.Rewrite
	// Translate names the translation of what goes to modern; "": none.
	Translate string
}

// MatchesAll reports whether the rule selects every request.
func (r Rule) MatchesAll() bool {
	m := r.Match
	return len(m.Methods) == 0 && m.Path == "" && m.PathPrefix == "" && m.PathRegex == "" && len(m.Headers) == 0
}

// Resolve returns the routes of a stop in order; the first match wins. The
// last rule always matches everything: the plan's own, after which nothing
// can match any more, or else an added one to legacy. A phase without routes
// sends everything to legacy.
//
// It fails where the stop is not on the plan's itinerary, and for a route
// that validation refuses, so that nothing is ever guessed about traffic.
func Resolve(p *plan.Plan, stop plan.Position) ([]Rule, error) {
	if p.Itinerary().Index(stop) < 0 {
		return nil, fmt.Errorf("resolve routes of plan %q: stop %q is not on its itinerary %v", p.Metadata.Name, stop, p.Itinerary())
	}
	phase := p.Phase(stop.Phase)
	rules := make([]Rule, 0, len(phase.Routes)+1)
	for i, route := range phase.Routes {
		rule, err := resolveRoute(phase, route, stop)
		if err == nil && rule.Owner && !p.Spec.Entities.Routed() {
			err = errors.New("`to: owner` needs spec.entities, which say where a request has the id")
		}
		if err != nil {
			return nil, fmt.Errorf("resolve route %d of phase %q of plan %q: %w", i, stop.Phase, p.Metadata.Name, err)
		}
		rules = append(rules, rule)
		if rule.MatchesAll() {
			return rules, nil
		}
	}
	return append(rules, Rule{Side: plan.Legacy}), nil
}

func resolveRoute(phase *plan.Phase, route plan.Route, stop plan.Position) (Rule, error) {
	rule := Rule{Mirror: route.Mirror, Rewrite: route.Rewrite, Translate: route.Translate}
	if route.Match != nil {
		rule.Match = *route.Match
	}
	if route.Respond != nil {
		if route.To != "" {
			return Rule{}, fmt.Errorf("want one of `to` and `respond`, it has both")
		}
		rule.Respond = route.Respond
		return rule, nil
	}
	switch route.To {
	case plan.ToLegacy:
		rule.Side = plan.Legacy
	case plan.ToModern:
		rule.Side = plan.Modern
	case plan.ToSplit:
		rule.Split = true
		switch {
		case route.Percent != nil:
			rule.Percent = *route.Percent
		case len(phase.Percents) > 0:
			rule.Percent = stop.Percent
		default:
			return Rule{}, fmt.Errorf("`to: split` needs a percentage: give the phase percents or the route its own percent")
		}
		if !(rule.Percent >= 0 && rule.Percent <= 100) {
			return Rule{}, fmt.Errorf("percent %v must be from 0 to 100", rule.Percent)
		}
	case plan.ToOwner:
		rule.Owner = true
	default:
		return Rule{}, fmt.Errorf("`to` is %q, want legacy, modern, split or owner", route.To)
	}
	return rule, nil
}
