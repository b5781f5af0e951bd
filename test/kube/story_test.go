package kube

import (
	"maps"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/gatewaytest"
	"github.com/changeover-dev/changeover/test/kubetest"
	"github.com/changeover-dev/changeover/test/load"
)

// edge is the Gateway of the plan's namespace.
const edge = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: fixture
  listeners: [{name: http, port: 80, protocol: HTTP}]
`

// withGateway starts the fixture's data plane in front of the backends.
func (r *rig) withGateway() (gw *gatewaytest.Gateway, url string) {
	r.t.Helper()
	gw = gatewaytest.Start(r.t, gatewaytest.Options{Kubeconfig: r.k.Kubeconfig, ClassName: r.namespace, ControllerName: "changeover.dev/" + r.namespace})
	gw.SetBackend(r.namespace+"/legacy:80", r.Legacy.URL)
	gw.SetBackend(r.namespace+"/modern:80", r.Modern.URL)
	r.k.Apply(r.t, r.namespace, strings.ReplaceAll(edge, "gatewayClassName: fixture", "gatewayClassName: "+r.namespace))
	return gw, gw.URL(r.t, r.namespace, "edge")
}

// The story of a whole migration: each stop there, and each stop back by one
// git revert. At every stop the live objects equal the render.
func TestAMigrationGoesThereAndBack(t *testing.T) {
	k := kubetest.Shared(t)
	r := newRig(t, k, "kubernetes", nil)
	gw, url := r.withGateway()
	r.StartDaemon()
	r.awaitEqual("setup")
	requests := load.Start(t.Context(), load.Options{Addr: strings.TrimPrefix(url, "http://"), Path: "/orders", Header: "X-User", Callers: 50, Rate: 40, Unmarked: true})
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(requests.Stop(), gw.Counts())
		}
	})

	stops := []string{"shadow", "gradual@10", "gradual@25", "gradual@50", "gradual@100", "sunset"}
	commits := map[string]plan.Revision{}
	for _, stop := range stops {
		begun := time.Now()
		commits[stop] = r.Declare(stop)
		r.awaitEqual(stop)
		t.Logf("%-12s %s from push to equal", stop, time.Since(begun).Round(time.Millisecond))
		r.inForce(stop)
	}
	if n := gw.Mirrored(r.namespace + "/orders")["modern"]; n == 0 {
		t.Error("nothing was mirrored in the shadow phase")
	}
	r.gone("Job.batch", "copy-orders")

	back := append([]string{"setup"}, stops...)
	for i := len(stops) - 1; i >= 0; i-- {
		r.Pull()
		r.Git("revert", "--no-edit", string(commits[stops[i]]))
		r.Git("push", "-q", "origin", "HEAD:main")
		begun := time.Now()
		r.awaitEqual(back[i])
		t.Logf("%-12s %s from revert to equal", back[i], time.Since(begun).Round(time.Millisecond))
		r.inForce(back[i])
	}
	r.gone("Deployment.apps", "modern")
	r.gone("Ledger."+r.namespace+".example.com", "main")
	kubetest.WaitFor(t, "the definition is gone", func() bool {
		return k.Lookup(t, "CustomResourceDefinition.apiextensions.k8s.io", "", "ledgers."+r.namespace+".example.com") == nil
	})
	tally := requests.Stop()
	t.Log(tally)
	for _, f := range tally.Failed {
		t.Errorf("a request failed on the way: %s", f)
	}
	t.Log(k.Kubectl(t, "get", "migrationplans", "-n", r.namespace))
}

// inForce checks what a stop is about: weights, replicas, the annotation.
func (r *rig) inForce(stop string) {
	r.t.Helper()
	weights := map[string]map[string]int64{
		"setup": {"legacy": 1}, "shadow": {"legacy": 1}, "gradual@10": {"legacy": 90, "modern": 10}, "gradual@25": {"legacy": 75, "modern": 25},
		"gradual@50": {"legacy": 50, "modern": 50}, "gradual@100": {"legacy": 0, "modern": 100}, "sunset": {"modern": 1},
	}
	if got := r.weights(); !maps.Equal(got, weights[stop]) {
		r.t.Errorf("at %s the weights are %v, want %v", stop, got, weights[stop])
	}
	legacy := map[string]int64{"sunset": 0}
	modern := map[string]int64{"setup": -1, "shadow": 1, "sunset": 3}
	for _, c := range []struct {
		name  string
		want  map[string]int64
		usual int64
	}{{"legacy", legacy, 2}, {"modern", modern, 2}} {
		want, ok := c.want[stop]
		if !ok {
			want = c.usual
		}
		if got := r.replicas(c.name); got != want {
			r.t.Errorf("at %s Deployment %s has %d replicas, want %d", stop, c.name, got, want)
		}
	}
	percent := ""
	if _, p, ok := strings.Cut(stop, "@"); ok {
		percent = p
	}
	if got := r.k.Get(r.t, "Service", r.namespace, "modern").GetAnnotations()["orders.example.com/percent"]; got != percent {
		r.t.Errorf("at %s the Service is annotated %q, want %q", stop, got, percent)
	}
}

// weights of the backends in the last rule of the HTTPRoute.
func (r *rig) weights() map[string]int64 {
	r.t.Helper()
	route := r.k.Get(r.t, "HTTPRoute.gateway.networking.k8s.io", r.namespace, "orders")
	rules, _, err := unstructured.NestedSlice(route.Object, "spec", "rules")
	if err != nil || len(rules) == 0 {
		r.t.Fatalf("the HTTPRoute has no rules: %v", err)
	}
	last, _ := rules[len(rules)-1].(map[string]any)
	refs, _, _ := unstructured.NestedSlice(last, "backendRefs")
	out := map[string]int64{}
	for _, ref := range refs {
		m, _ := ref.(map[string]any)
		name, _ := m["name"].(string)
		out[name], _ = m["weight"].(int64)
	}
	return out
}

// replicas that a Deployment asks for; -1 where it is not there.
func (r *rig) replicas(name string) int64 {
	r.t.Helper()
	o := r.k.Lookup(r.t, "Deployment.apps", r.namespace, name)
	if o == nil {
		return -1
	}
	n, _, err := unstructured.NestedInt64(o.Object, "spec", "replicas")
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}
