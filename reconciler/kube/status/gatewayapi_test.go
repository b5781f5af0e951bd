package status

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

const route = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: so, generation: 3}
spec: {parentRefs: [{name: edge}, {name: inner, namespace: net, sectionName: https, port: 443}]}
status:
  parents:
    - parentRef: {group: gateway.networking.k8s.io, kind: Gateway, name: edge}
      conditions: [{type: Accepted, status: "True", observedGeneration: 3}, {type: ResolvedRefs, status: "True", observedGeneration: 3}]
    - parentRef: {name: inner, namespace: net, sectionName: https, port: 443}
      conditions: [{type: Accepted, status: "True", observedGeneration: 3}, {type: ResolvedRefs, status: "True", observedGeneration: 3}]
    - parentRef: {name: former}
      conditions: [{type: Accepted, status: "False", observedGeneration: 1}]
`

func TestARouteIsReadyWhenEveryParentItNamesTookItsCurrentGeneration(t *testing.T) {
	if ok, why := Route(object(t, route)); !ok || why != "" {
		t.Fatalf("a route that all took: %v %q", ok, why)
	}
	const accepted = `{type: Accepted, status: "True", observedGeneration: 3}`
	for name, c := range map[string]struct{ old, new, want string }{
		"no parents":           {"parentRefs: [", "formerRefs: [", "names no parent"},
		"a parent is silent":   {"sectionName: https, port: 443}\n", "sectionName: http, port: 443}\n", "Gateway net/inner listener https port 443: no controller has taken"},
		"nobody says anything": {"status:", "stale:", "Gateway so/edge: no controller has taken the route"},
		"not accepted":         {accepted, `{type: Accepted, status: "False", reason: NoMatchingParent, message: "no such listener.", observedGeneration: 3}`, "Gateway so/edge: Accepted is False: NoMatchingParent, no such listener"},
		"refs not resolved":    {`{type: ResolvedRefs, status: "True"`, `{type: ResolvedRefs, status: "False", reason: BackendNotFound`, "ResolvedRefs is False: BackendNotFound"},
		"refs not said":        {`, {type: ResolvedRefs, status: "True", observedGeneration: 3}`, "", "has not said ResolvedRefs"},
		"an old generation":    {"generation: 3}", "generation: 4}", "said Accepted of generation 3, not yet of the current 4"},
		"no generation":        {accepted, `{type: Accepted, status: "True"}`, "of generation 0, not yet"},
		"a rule was dropped":   {accepted, accepted + `, {type: PartiallyInvalid, status: "True", reason: UnsupportedValue, observedGeneration: 3}`, "a part of the route is not served: UnsupportedValue"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(route, c.old, c.new, 1)
			if text == route {
				t.Fatal("the case changes nothing")
			}
			if ok, why := Route(object(t, text)); ok || !strings.Contains(why, c.want) {
				t.Errorf("got %v %q, want it not ready with %q", ok, why, c.want)
			}
		})
	}
}

func TestARouteOfAServiceIsNotOneOfAGateway(t *testing.T) {
	mesh := strings.Replace(route, "{name: edge},", `{group: "", kind: Service, name: edge},`, 1)
	if ok, why := Route(object(t, mesh)); ok || !strings.Contains(why, "Service so/edge: no controller") {
		t.Errorf("got %v %q", ok, why)
	}
}

func TestAGatewayIsReadyWhenItIsProgrammed(t *testing.T) {
	const text = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: so, generation: 2}
status:
  conditions: [{type: Accepted, status: "True", observedGeneration: 2}, {type: Programmed, status: "True", observedGeneration: 2}]
  listeners: [{name: https, conditions: [{type: ResolvedRefs, status: "True", observedGeneration: 2}]}]
`
	if ok, why := gateway(object(t, text)); !ok {
		t.Fatalf("a programmed gateway: %q", why)
	}
	for _, c := range []struct{ old, new, want string }{
		{`{type: Programmed, status: "True"`, `{type: Programmed, status: "False", reason: AddressNotAssigned`, "Programmed is False: AddressNotAssigned"},
		{`{type: ResolvedRefs, status: "True"`, `{type: ResolvedRefs, status: "False", reason: InvalidCertificateRef`, "listener https: ResolvedRefs is False: InvalidCertificateRef"},
		{"generation: 2}", "generation: 3}", "not yet of the current 3"},
	} {
		if ok, why := gateway(object(t, strings.Replace(text, c.old, c.new, 1))); ok || !strings.Contains(why, c.want) {
			t.Errorf("got %v %q, want %q", ok, why, c.want)
		}
	}
}
