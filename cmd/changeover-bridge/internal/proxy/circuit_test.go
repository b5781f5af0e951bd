package proxy_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/proxy"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
	"github.com/changeover-dev/changeover/test/child"
)

// A side that does not answer is reported after five requests, gets all the others
// as well, and is reported no more with its first answer.
func TestACircuitReportsAndMovesNothing(t *testing.T) {
	gone := child.FreeAddr(t)
	legacy := backend(t, func(http.ResponseWriter, *http.Request) {})
	f := newFixture(t, legacy.URL, "http://"+gone, proxy.Options{}, matching("/legacy", bridge.Rule{To: plan.ToLegacy}), bridge.Rule{To: plan.ToModern})
	labels := []string{"plan=so", "side=modern"}
	for i := 1; i <= 8; i++ {
		if res, _ := get(t, f.url+"/x"); res.StatusCode != http.StatusBadGateway || res.Header.Get(bridge.HeaderSide) != "modern" {
			t.Fatalf("request %d: %d by %s", i, res.StatusCode, res.Header.Get(bridge.HeaderSide))
		}
		get(t, f.url+"/legacy") // another side's answers change nothing
		open := 0.0
		if i >= 5 {
			open = 1
		}
		f.metric(open, "changeover_bridge_circuit_open", labels...)
	}
	if got := f.Failing(); !slices.Equal(got, []plan.Side{plan.Modern}) {
		t.Errorf("failing: %v", got)
	}
	// A new config for the same backend knows it still.
	c := configOf(t, legacy.URL, "http://"+gone, bridge.Rule{To: plan.ToModern})
	f.serve(c)
	f.metric(1, "changeover_bridge_circuit_open", labels...)

	l, err := net.Listen("tcp", gone)
	if err != nil {
		t.Fatal(err)
	}
	back := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })}}
	back.Start()
	t.Cleanup(back.Close)
	if res, _ := get(t, f.url+"/x"); res.StatusCode != 500 {
		t.Fatalf("it answers %d", res.StatusCode)
	}
	f.metric(0, "changeover_bridge_circuit_open", labels...)
	if got := f.Failing(); len(got) > 0 {
		t.Errorf("failing: %v", got)
	}
}
