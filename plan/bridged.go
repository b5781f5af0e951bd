package plan

import (
	"cmp"
	"fmt"
)

// Bridged reports whether a bridge stands behind the gateway. The gateway sends
// it every request whose side must be decided: those of routes that split, go to
// the owner, are compared or translated, and those that name an entity or may
// create one. The bridge has all routes of the plan, and decides as if it stood
// alone; what goes to one side in any case the gateway does itself. So one
// function puts callers on a side. What nginx can answer by a rule it does; an
// HTTPRoute cannot, and leaves that to the bridge too.
func (g *Gateway) Bridged() bool {
	return g != nil && (g.NGINX != nil && g.NGINX.Bridge != "" || g.GatewayAPI != nil && g.GatewayAPI.Bridge != nil)
}

// BridgeBackends are the two sides as a bridge reaches them: by their URLs. A
// Service without one is called by its name in the cluster's DNS.
func (p *Plan) BridgeBackends() Backends {
	g := p.Spec.Gateway
	if g == nil || g.GatewayAPI == nil {
		return p.Spec.Backends
	}
	reached := func(b Backend) Backend {
		if b.URL == "" && b.Service != nil {
			namespace := cmp.Or(b.Service.Namespace, g.GatewayAPI.Namespace, p.Metadata.Namespace, DefaultNamespace)
			b.URL = fmt.Sprintf("http://%s.%s.svc:%d", b.Service.Name, namespace, b.Service.Port)
		}
		return Backend{URL: b.URL}
	}
	return Backends{Legacy: reached(p.Spec.Backends.Legacy), Modern: reached(p.Spec.Backends.Modern)}
}
