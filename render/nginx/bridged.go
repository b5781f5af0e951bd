package nginx

import (
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// toBridge stands for a side that the bridge chooses, and entityRule for the
// rule that governs a request for an entity, which only the bridge knows.
const (
	toBridge plan.Side = "bridge"

	entityRule string = "entity"
)

// leaveToBridge leaves of the rules that are the bridge's what nginx needs: what they
// match.
func leaveToBridge(p *plan.Plan, rules []render.Rule) []render.Rule {
	out := slices.Clone(rules)
	for i, r := range out {
		if r.Bridged(p) {
			out[i] = render.Rule{Match: r.Match, Side: toBridge}
		}
	}
	return out
}

// entityPatterns are regular expressions for the paths that are the bridge's
// whatever the rules say: those that name an entity, and the one at which modern
// creates them.
func entityPatterns(p *plan.Plan) (out []string, err error) {
	e := p.Spec.Entities
	if e == nil || !p.Spec.Gateway.Bridged() {
		return nil, nil
	}
	for _, s := range e.Match.All() {
		path, err := plan.ParseEntityPath(s)
		if err != nil {
			return nil, refuse("spec.entities.match", "%w", err)
		}
		before, after := path.Around()
		out = append(out, literalPattern(before)+`[^/]+`+literalPattern(after)+`(?:/|\z)`)
	}
	for _, b := range e.Match.Bodies {
		out = append(out, literalPattern(strings.TrimSuffix(b.Path, "/"))+`/?\z`)
	}
	if e.Born != nil {
		out = append(out, literalPattern(strings.TrimSuffix(e.Born.Path, "/"))+`/?\z`)
	}
	return out, nil
}

// bridged reports whether requests can go to the bridge.
func (c *config) bridged() bool {
	return slices.ContainsFunc(c.backends, func(b backend) bool { return b.side == toBridge })
}

// told is the side that a backend is told; a bridge tells its own.
func (c *config) told() string {
	if c.bridged() {
		return c.names.variable("told")
	}
	return c.names.variable("side")
}

// chosenSide is the side of a request once it is answered: what the bridge says,
// of one that went there.
func (c *config) chosenSide() string {
	if c.bridged() {
		return c.names.variable("answered")
	}
	return c.names.variable("side")
}

func (c *config) writeEntitySide(w *writer) {
	if c.bridged() && c.plan.Spec.Entities.Routed() {
		w.directive(entityRule, string(toBridge))
	}
}

// writeBridged writes what is different for the bridge: it gets no side, and the
// header by which some callers choose theirs.
func (c *config) writeBridged(w *writer) {
	if !c.bridged() {
		return
	}
	side := c.names.variable("side")
	w.comment("The bridge chooses the side of what it gets, and says it in its answer.")
	w.open("map %s %s", side, c.names.variable("told"))
	w.directive(string(toBridge), `""`)
	w.directive("default", side)
	w.close()
	inSide := "$" + c.names.capture(logSide)
	w.open("map %s %s", quote(inSide+":$upstream_http_x_changeover_side"), c.names.variable("answered"))
	for _, s := range []plan.Side{plan.Legacy, plan.Modern} {
		w.directive(quote(`~\A`+string(toBridge)+":"+string(s)+`\z`), string(s))
	}
	w.directive(quote(`~\A`+string(toBridge)+":"), `""`)
	w.directive("default", inSide)
	w.close()
	if o := c.plan.Spec.Override; o != nil {
		w.open("map %s %s", side, c.names.variable("forced"))
		w.directive(string(toBridge), variableOf(o.Header))
		w.directive("default", `""`)
		w.close()
	}
}
