package plan

import "testing"

// TestABridgeReachesServicesByTheirNames: where a plan routes to Services, and
// gives no URL for the bridge behind.
func TestABridgeReachesServicesByTheirNames(t *testing.T) {
	p := &Plan{Metadata: Metadata{Name: "orders", Namespace: "shop"}, Spec: Spec{
		Gateway: &Gateway{GatewayAPI: &GatewayAPIGateway{Namespace: "edge", Bridge: &Service{Name: "bridge", Port: 8080}}},
		Backends: Backends{
			Legacy: Backend{Service: &Service{Name: "old", Port: 80}},
			Modern: Backend{Service: &Service{Name: "new", Namespace: "modern", Port: 8443}},
		},
	}}
	want := Backends{Legacy: Backend{URL: "http://old.edge.svc:80"}, Modern: Backend{URL: "http://new.modern.svc:8443"}}
	if got := p.BridgeBackends(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	p.Spec.Backends.Modern.URL = "https://new.example.com"
	if got := p.BridgeBackends().Modern; got != (Backend{URL: "https://new.example.com"}) {
		t.Errorf("the URL is not taken: %+v", got)
	}
	p.Spec.Gateway = &Gateway{Bridge: &BridgeGateway{}}
	if got := p.BridgeBackends(); got != p.Spec.Backends {
		t.Errorf("a bridge alone reaches %+v, want what the plan says", got)
	}
}
