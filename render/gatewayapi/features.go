package gatewayapi

import (
	"maps"
	"slices"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

// The extended features that a render can need, by their names in
// GatewayClass.status.supportedFeatures. Weights, exact paths, prefixes, headers
// and setting headers are core: every implementation has them.
const (
	methodMatching   = "HTTPRouteMethodMatching"
	requestMirror    = "HTTPRouteRequestMirror"
	percentageMirror = "HTTPRouteRequestPercentageMirror"
	pathRewrite      = "HTTPRoutePathRewrite"
	hostRewrite      = "HTTPRouteHostRewrite"
	parentRefPort    = "HTTPRouteParentRefPort"
)

// Features are the names of the extended features, as a GatewayClass lists them
// in its status.supportedFeatures, that any stop of the plan needs; sorted. Stops
// that cannot be rendered need none.
func Features(p *plan.Plan) []string {
	found := make(map[string]bool)
	for _, stop := range p.Itinerary() {
		o, err := Render(p, stop)
		if err != nil {
			continue
		}
		features(o, found)
	}
	return slices.Sorted(maps.Keys(found))
}

func features(o render.Object, found map[string]bool) {
	spec := o["spec"].(map[string]any)
	each(spec, "parentRefs", func(ref map[string]any) { need(found, parentRefPort, ref["port"]) })
	each(spec, "rules", func(rule map[string]any) {
		each(rule, "matches", func(m map[string]any) { need(found, methodMatching, m["method"]) })
		each(rule, "filters", func(f map[string]any) {
			if mirror, ok := f["requestMirror"].(map[string]any); ok {
				found[requestMirror] = true
				need(found, percentageMirror, mirror["percent"])
				need(found, percentageMirror, mirror["fraction"])
			}
			if rewrite, ok := f["urlRewrite"].(map[string]any); ok {
				need(found, pathRewrite, rewrite["path"])
				need(found, hostRewrite, rewrite["hostname"])
			}
		})
	})
}

// need notes a feature where the field that it is for is there.
func need(found map[string]bool, feature string, field any) {
	if field != nil {
		found[feature] = true
	}
}

func each(of map[string]any, field string, do func(map[string]any)) {
	list, _ := of[field].([]any)
	for _, item := range list {
		do(item.(map[string]any))
	}
}
