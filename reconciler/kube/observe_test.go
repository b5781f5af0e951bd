package kube

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestAMessageNamesTheFirstFew(t *testing.T) {
	r := setup(t)
	d := r.want(many(9))
	r.bring(d)
	for _, n := range []string{"6", "2", "4", "8", "5"} {
		r.kubectl("delete", "configmap/many-0"+n)
	}
	want := "ConfigMap NS/many-02: it is not there; ConfigMap NS/many-04: it is not there; ConfigMap NS/many-05: it is not there; and 2 more"
	for range 3 {
		if st := r.observe(d); st.InSync || st.Message != strings.ReplaceAll(want, "NS", r.ns) {
			t.Errorf("%+v", st)
		}
	}
}

func TestAnErrorNamesTheFirstTen(t *testing.T) {
	r := setup(t)
	d := r.want(strings.ReplaceAll(many(30), "metadata: {", "dta: {a: b}, metadata: {"))
	err := r.c.Expand(r.ctx(), d)
	says(t, err, "ConfigMap "+r.ns+"/many-00: ", "ConfigMap "+r.ns+"/many-09: ", "\nand 20 more")
	if strings.Contains(err.Error(), "many-10") {
		t.Errorf("%v", err)
	}
}

func TestARouteIsReadyWhenItsParentTookIt(t *testing.T) {
	k := kubetest.Start(t, cluster.Options{GatewayAPI: cluster.Standard})
	r := setupOn(t, k, k.Kubeconfig)
	d := r.want(`
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: web, port: 80}]}]}
`)
	r.expand(d)
	if ok, why, err := r.c.Healthy(r.ctx(), d); ok || err != nil || !strings.Contains(why, "HTTPRoute "+r.ns+"/web: Gateway "+r.ns+"/edge: no controller has taken the route") {
		t.Errorf("%v %q %v", ok, why, err)
	}
	status := `{"status":{"parents":[{"parentRef":{"name":"edge"},"controllerName":"example.com/c","conditions":[
		{"type":"Accepted","status":"True","reason":"Accepted","message":"","lastTransitionTime":"2026-03-01T12:00:00Z","observedGeneration":1},
		{"type":"ResolvedRefs","status":"True","reason":"ResolvedRefs","message":"","lastTransitionTime":"2026-03-01T12:00:00Z","observedGeneration":1}]}]}}`
	r.kubectl("patch", "httproute/web", "--subresource=status", "--type=merge", "--patch="+status)
	if st := r.observe(d); !st.InSync || !st.Healthy {
		t.Errorf("%+v", st)
	}
	// A new generation is yet to be taken.
	next := r.want(`
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: web, port: 81}]}]}
`)
	r.expand(next)
	if ok, why, _ := r.c.Healthy(r.ctx(), next); ok || !strings.Contains(why, "said Accepted of generation 1, not yet of the current 2") {
		t.Errorf("%v %q", ok, why)
	}
}
