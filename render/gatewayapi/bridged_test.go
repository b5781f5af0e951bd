package gatewayapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/gatewayapi"
)

// behind puts a bridge behind the plan's Gateway.
func behind(p *plan.Plan) *plan.Plan {
	p.Spec.Gateway.GatewayAPI.Bridge = &plan.Service{Name: "bridge", Namespace: "edge", Port: 8080}
	return p
}

const bridgeAlone = "edge/bridge:8080 100.00"

// anyBridged draws plans that may ask for what no HTTPRoute can say.
func anyBridged(t *rapid.T) *plan.Plan {
	p := behind(anyPlan(t))
	for i := range p.Spec.Phases[0].Routes {
		r := &p.Spec.Phases[0].Routes[i]
		switch rapid.IntRange(0, 9).Draw(t, "more") {
		case 0:
			*r = plan.Route{Match: r.Match, Respond: &plan.Respond{Status: 410}}
		case 1:
			r.Translate = "create"
		case 2:
			if r.Mirror != nil {
				r.Mirror.Compare = &plan.Comparison{}
			}
		case 3:
			if r.Rewrite == nil {
				r.Match = &plan.Match{PathRegex: "/a.*"}
			}
		case 4:
			if r.Rewrite == nil {
				r.Match = &plan.Match{PathPrefix: "/a"} // text, which no HTTPRoute compares
			}
		}
	}
	return p
}

// TestABridgeGetsWhatItAloneCanDo: of every plan each request either reaches the
// bridge as the client sent it, or is treated as the plan says by a route that
// needs no bridge.
func TestABridgeGetsWhatItAloneCanDo(t *testing.T) {
	requests := everyRequest()
	past, whole := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		p := anyBridged(t)
		o, err := gatewayapi.Render(p, plan.Position{Phase: "a"})
		if err != nil {
			t.Fatal(err)
		}
		spec, err := readSpec(o)
		if err != nil {
			t.Fatal(err)
		}
		rules, err := render.Resolve(p, plan.Position{Phase: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if err := limits(spec); err != nil {
			t.Fatal(err)
		}
		direct := false
		for _, req := range requests {
			got, err := spec.route(req)
			if err != nil {
				t.Fatalf("request %v: %v", req, err)
			}
			if got == (outcome{Backends: bridgeAlone, Path: req.path}) {
				continue
			}
			direct = true
			i := slices.IndexFunc(rules, func(r render.Rule) bool { return takes(r.Match, req) })
			if rules[i].Bridged(p) {
				t.Fatalf("request %v does not reach the bridge, but %v", req, got)
			}
			if want := wanted(p, rules, req); want != got {
				t.Fatalf("request %v: by the plan %v, by the HTTPRoute %v", req, want, got)
			}
		}
		if direct {
			past++
		} else {
			whole++
		}
	})
	t.Logf("%d plans with routes past the bridge, %d with none", past, whole)
	if past < 10 || whole < 10 {
		t.Errorf("%d plans with routes past the bridge, %d with none: too few to say anything", past, whole)
	}
}

// TestWhatGoesToTheBridge: each thing that an HTTPRoute cannot do, beside a route
// that it can; and what leaves everything to the bridge.
func TestWhatGoesToTheBridge(t *testing.T) {
	static := plan.Route{Match: &plan.Match{PathPrefix: "/static/"}, To: plan.ToModern}
	rest := plan.Route{To: plan.ToLegacy}
	for name, c := range map[string]struct {
		route  plan.Route
		whole  bool
		change func(*plan.Plan)
	}{
		"a split":         {route: toSplit(10, plan.Match{PathPrefix: "/x/"})},
		"an answer":       {route: plan.Route{Match: &plan.Match{PathPrefix: "/x/"}, Respond: &plan.Respond{Status: 410}}},
		"a translation":   {route: plan.Route{Match: &plan.Match{PathPrefix: "/x/"}, To: plan.ToModern, Translate: "create"}},
		"a comparison":    {route: plan.Route{Match: &plan.Match{PathPrefix: "/x/"}, To: plan.ToLegacy, Mirror: &plan.Mirror{Compare: &plan.Comparison{}}}},
		"an expression":   {route: plan.Route{Match: &plan.Match{PathRegex: "/x/.*"}, To: plan.ToModern}, whole: true},
		"half a segment":  {route: plan.Route{Match: &plan.Match{PathPrefix: "/x"}, To: plan.ToModern}, whole: true},
		"an owner":        {route: plan.Route{Match: &plan.Match{PathPrefix: "/x/"}, To: plan.ToOwner}, whole: true, change: withEntities},
		"entities at all": {route: plan.Route{Match: &plan.Match{PathPrefix: "/x/"}, To: plan.ToLegacy}, whole: true, change: withEntities},
	} {
		t.Run(name, func(t *testing.T) {
			p := behind(base(static, c.route, rest))
			if c.change != nil {
				c.change(p)
			}
			o, err := gatewayapi.Render(p, plan.Position{Phase: "a"})
			if err != nil {
				t.Fatal(err)
			}
			spec, err := readSpec(o)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"/static/a": "new/modern:8000 100.00", "/x/1": bridgeAlone, "/other": "so/legacy:8080 100.00"}
			for path, to := range want {
				if c.whole {
					to = bridgeAlone
				}
				got, err := spec.route(request{method: "GET", path: path})
				if err != nil || got.Backends != to {
					t.Errorf("%s goes to %v (%v), want %s", path, got, err, to)
				}
			}
		})
	}
}

func withEntities(p *plan.Plan) {
	p.Spec.Entities = &plan.Entities{Match: plan.EntityMatch{Path: "/x/{id}"}}
}

// TestCheckIsSilentWithABridge: what is refused without one is served with it.
func TestCheckIsSilentWithABridge(t *testing.T) {
	const text = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: orders, namespace: shop}
spec:
  position: {phase: setup}
  backends: {legacy: {service: {name: old, port: 80}}, modern: {service: {name: new, port: 80}}}
  gateway: {gatewayAPI: {parentRefs: [{name: edge}]BRIDGE}}
  phases: [{name: setup, routes: [{match: {pathPrefix: /a}, to: modern}]}]
`
	for bridge, want := range map[string]int{"": 1, ", bridge: {name: bridge, port: 80}": 0} {
		doc, problems := plan.Decode("p.yaml", []byte(strings.Replace(text, "BRIDGE", bridge, 1)))
		if plan.HasErrors(problems) {
			t.Fatal(problems)
		}
		if got := gatewayapi.Check(doc); len(got) != want {
			t.Errorf("with %q: %s, want %d problems", bridge, fmt.Sprint(got), want)
		}
	}
}
