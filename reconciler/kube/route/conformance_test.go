package route_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/conformance"
	"github.com/changeover-dev/changeover/test/gatewaytest"
	"github.com/changeover-dev/changeover/test/kubetest"
)

var classes atomic.Int64

// served is a gateway whose data plane is a fixture.
func served(t *testing.T, k *kubetest.Kube) conformance.Gateway {
	t.Helper()
	ns, class := k.Namespace(t), fmt.Sprintf("served-%d", classes.Add(1))
	gatewaytest.Start(t, gatewaytest.Options{Kubeconfig: k.Kubeconfig, ClassName: class, Backends: map[string]string{
		ns + "/legacy:80": "http://127.0.0.1:1", ns + "/modern:80": "http://127.0.0.1:1",
	}})
	k.Apply(t, ns, fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge}, spec: {gatewayClassName: %s, listeners: [{name: http, port: 80, protocol: HTTP}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: legacy}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: modern}, spec: {ports: [{port: 80}]}}`, class))
	return conformance.Gateway{Traffic: open(t, k.Kubeconfig, nil), Plan: newPlan(t, ns, "", "edge")}
}

func TestConformance(t *testing.T) {
	k := kubetest.Shared(t)
	conformance.Traffic(t, func(t *testing.T) conformance.Gateway { return served(t, k) })
}

// What Apply takes beyond the controller, which answers at once here.
func TestAcceptedRoutesAreSeenSoon(t *testing.T) {
	k := kubetest.Shared(t)
	g := served(t, k)
	audit := k.Audit(t)
	var took []time.Duration
	for i := range 20 {
		stop := at10
		if i%2 == 1 {
			stop = at25
		}
		begun := time.Now()
		must(t, g.Traffic.Apply(t.Context(), g.Plan, markAt(g.Plan, stop)))
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	t.Logf("20 stops entered: median %s, slowest %s", took[10].Round(time.Millisecond), took[19].Round(time.Millisecond))
	requests := audit.Requests(t).By("route/")
	t.Logf("requests for them:\n%s", requests)
	if took[10] > time.Second {
		t.Errorf("half of all took more than %s", took[10])
	}
	if n := len(requests.Writes()); n != 20 {
		t.Errorf("%d writes, want one for each stop", n)
	}
}
