package gatewayapi

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// What the render is.
const (
	Group   = "gateway.networking.k8s.io"
	Version = "v1"
	Kind    = "HTTPRoute"
)

// Render is the HTTPRoute of one stop of a plan, with every default spelled out
// and without marks. It fails where the stop is not on the plan's itinerary, for
// a plan that validation refuses, and where an HTTPRoute cannot do what the plan
// asks for: Check tells that beforehand.
//
// The result shares no memory with the plan or with other results.
func Render(p *plan.Plan, stop plan.Position) (render.Object, error) {
	o, err := renderStop(p, stop)
	if err != nil {
		return nil, fmt.Errorf("render HTTPRoute of plan %q at %s: %w", p.Key(), stop, err)
	}
	return o, nil
}

func renderStop(p *plan.Plan, stop plan.Position) (render.Object, error) {
	if p.Spec.Gateway == nil || p.Spec.Gateway.GatewayAPI == nil {
		return nil, errors.New("the plan has no gateway: {gatewayAPI: ...}")
	}
	gateway := *p.Spec.Gateway.GatewayAPI
	gateway.Namespace = cmp.Or(gateway.Namespace, p.Metadata.Namespace, plan.DefaultNamespace)
	parents, err := parentRefs(gateway)
	if err != nil {
		return nil, err
	}
	rules, err := routes(p, stop, gateway.Namespace)
	if err != nil {
		return nil, err
	}
	spec := map[string]any{"parentRefs": parents, "rules": rules}
	if len(gateway.Hostnames) > 0 {
		hostnames := make([]any, len(gateway.Hostnames))
		for i, h := range gateway.Hostnames {
			hostnames[i] = h
		}
		spec["hostnames"] = hostnames
	}
	return render.Object{
		"apiVersion": Group + "/" + Version,
		"kind":       Kind,
		"metadata":   map[string]any{"name": p.Metadata.Name, "namespace": gateway.Namespace},
		"spec":       spec,
	}, nil
}

func parentRefs(g plan.GatewayAPIGateway) ([]any, error) {
	if len(g.ParentRefs) == 0 {
		return nil, errors.New("gatewayAPI names no parentRefs, so no Gateway would serve it")
	}
	out := make([]any, len(g.ParentRefs))
	for i, ref := range g.ParentRefs {
		if err := comparePorts(g, i); err != nil {
			return nil, err
		}
		parent := map[string]any{"group": Group, "kind": "Gateway", "namespace": cmp.Or(ref.Namespace, g.Namespace), "name": ref.Name}
		if ref.SectionName != "" {
			parent["sectionName"] = ref.SectionName
		}
		if ref.Port != 0 {
			parent["port"] = int64(ref.Port)
		}
		out[i] = parent
	}
	return out, nil
}

// comparePorts refuses references to one Gateway of which only some have a port:
// the definition of the experimental channel does.
func comparePorts(g plan.GatewayAPIGateway, i int) error {
	ref := g.ParentRefs[i]
	for j, other := range g.ParentRefs[:i] {
		if other.Name == ref.Name && cmp.Or(other.Namespace, g.Namespace) == cmp.Or(ref.Namespace, g.Namespace) && (other.Port == 0) != (ref.Port == 0) {
			return &refusal{
				path:    fmt.Sprintf("spec.gateway.gatewayAPI.parentRefs[%d]", i),
				message: fmt.Sprintf("an HTTPRoute cannot name Gateway %q with a port and without one: parentRefs[%d] and this one differ", ref.Name, j),
				hint:    "give all references to one Gateway a port, or none",
			}
		}
	}
	return nil
}

// routes are the rules of the HTTPRoute in a namespace.
func routes(p *plan.Plan, stop plan.Position, namespace string) ([]any, error) {
	rules, err := render.Resolve(p, stop)
	if err != nil {
		return nil, err
	}
	b, err := backendsOf(p, namespace)
	if err != nil {
		return nil, err
	}
	at := func(i int) string {
		phase := slices.IndexFunc(p.Spec.Phases, func(ph plan.Phase) bool { return ph.Name == stop.Phase })
		return fmt.Sprintf("spec.phases[%d].routes[%d]", phase, i)
	}
	if !p.Spec.Gateway.Bridged() {
		return routed(rules, b, at)
	}
	// The bridge knows all rules, so it takes whole what an HTTPRoute cannot say.
	if out, err := routed(leaveToBridge(p, rules), b, at); err == nil {
		return out, nil
	}
	return routed([]render.Rule{{Side: toBridge}}, b, at)
}

// routed are rules as those of an HTTPRoute.
func routed(rules []render.Rule, b backends, at func(route int) string) ([]any, error) {
	var found []error
	for i, r := range rules {
		found = append(found, checkRule(at(i), r)...)
	}
	if err := errors.Join(found...); err != nil {
		return nil, err
	}
	t, route, ok := compile(armsOf(rules))
	if !ok {
		return nil, tooManyMatches(at(route))
	}
	return t.objects(b, at)
}

// backendsOf are the Services of both sides, and that of the bridge where there is
// one. Namespace is that of those which name none.
func backendsOf(p *plan.Plan, namespace string) (backends, error) {
	services := map[plan.Side]*plan.Service{plan.Legacy: p.Spec.Backends.Legacy.Service, plan.Modern: p.Spec.Backends.Modern.Service}
	if bridge := p.Spec.Gateway.GatewayAPI.Bridge; bridge != nil {
		services[toBridge] = bridge
	}
	b := backends{}
	for _, side := range slices.Sorted(maps.Keys(services)) {
		service := services[side]
		if service == nil || service.Name == "" || service.Port == 0 {
			return nil, fmt.Errorf("backend %s has no service: want its name and port", side)
		}
		s := *service
		s.Namespace = cmp.Or(s.Namespace, namespace)
		b[side] = s
	}
	return b, nil
}

// objects are the rules of the table: one for each arm, but one for each match
// where a prefix is replaced, as the definition wants it.
func (t *table) objects(b backends, at func(route int) string) ([]any, error) {
	var out []any
	total, most := 0, 0 // most is the arm with the most matches
	for i, matches := range t.matches {
		slices.SortFunc(matches, order)
		total += len(matches)
		if len(matches) > len(t.matches[most]) {
			most = i
		}
		a := t.arms[i]
		for _, m := range matches {
			if len(m.headers) > maxHeaders {
				return nil, tooManyHeaders(at(a.route), len(m.headers))
			}
		}
		var rules []any
		for _, group := range a.action.path.group(matches) {
			replaced, err := a.action.path.checked(at(a.route), group[0])
			if err != nil {
				return nil, err
			}
			rules = append(rules, rule(b, a.action, group, replaced))
		}
		if out = append(out, rules...); len(out) > maxRules {
			return nil, tooManyRules(at(a.route))
		}
	}
	if total > maxMatches || len(t.matches[most]) > maxRuleMatches {
		return nil, tooManyMatches(at(t.arms[most].route))
	}
	return out, nil
}

// group parts the matches of an arm into those that can share a rule.
func (r replacement) group(matches []match) [][]match {
	if len(matches) == 0 {
		return nil
	}
	if !r.prefix {
		return [][]match{matches}
	}
	return slices.Collect(slices.Chunk(matches, 1))
}

func rule(b backends, a action, matches []match, replaced string) map[string]any {
	list := make([]any, len(matches))
	for i, m := range matches {
		list[i] = m.object()
	}
	out := map[string]any{"matches": list, "backendRefs": b.refs(a)}
	if filters := b.filters(a, replaced, a.path.prefix && !matches[0].exact); len(filters) > 0 {
		out["filters"] = filters
	}
	return out
}
