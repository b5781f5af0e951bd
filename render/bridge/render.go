package bridge

import (
	"fmt"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// Render is the config of one stop of a plan, without a mark. It fails where
// the stop is not on the itinerary and where a bridge could not serve the
// result, so what it returns always passes ParseConfig.
//
// The config shares memory with the plan: read it only.
func Render(p *plan.Plan, stop plan.Position) (Config, error) {
	rules, err := render.Resolve(p, stop)
	if err != nil {
		return Config{}, fmt.Errorf("render bridge config: %w", err)
	}
	c := Config{
		Version:  Version,
		Plan:     p.Key(),
		Stop:     stop,
		Salt:     p.Salt(),
		Backends: p.BridgeBackends(),
		Override: p.Spec.Override,
		Rules:    make([]Rule, len(rules)),
	}
	switch g := p.Spec.Gateway; {
	case !g.Bridged():
	case g.NGINX != nil:
		c.Behind = "nginx"
	default:
		c.Behind = "Gateway"
	}
	if id := p.Spec.Identity; id != nil {
		c.Identity = &Identity{Header: id.Header, Cookie: id.Cookie, Query: id.Query, ClientIP: id.ClientIP}
		if *c.Identity == (Identity{}) {
			// A cohort alone salts the buckets but names no key.
			c.Identity = nil
		}
	}
	if e := p.Spec.Entities; e.Routed() {
		c.Entities = &Entities{Paths: e.Match.All(), Bodies: e.Match.Bodies, Born: e.Born, Probe: e.Probe}
	}
	for i, r := range rules {
		c.Rules[i] = ruleOf(r)
		if t, ok := p.Spec.Translations[r.Translate]; ok {
			if c.Translations == nil {
				c.Translations = map[string]plan.Translation{}
			}
			c.Translations[r.Translate] = t
		}
	}
	if c.Hash, err = c.Sum(); err == nil {
		err = c.Check()
	}
	if err != nil {
		return Config{}, fmt.Errorf("render bridge config of plan %q at %s: %w", p.Key(), stop, err)
	}
	return c, nil
}

func ruleOf(r render.Rule) Rule {
	out := Rule{Respond: r.Respond, Rewrite: r.Rewrite, Translate: r.Translate}
	if !r.MatchesAll() {
		out.Match = &r.Match
	}
	if m := r.Mirror; m != nil {
		out.Mirror = &Mirror{Percent: 100, Unsafe: m.AllowUnsafe != "", Compare: m.Compare}
		if m.Percent != nil {
			out.Mirror.Percent = *m.Percent
		}
	}
	switch {
	case r.Respond != nil:
	case r.Split:
		out.To, out.Percent = plan.ToSplit, &r.Percent
	case r.Owner:
		out.To = plan.ToOwner
	default:
		out.To = plan.Dest(r.Side)
	}
	return out
}
