package kube

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/schemas"
	"github.com/changeover-dev/changeover/test/gatewaytest"
	"github.com/changeover-dev/changeover/test/kubetest"
	"github.com/changeover-dev/changeover/test/load"
	"github.com/changeover-dev/changeover/test/stack"
)

// bridgedPlan asks for what no HTTPRoute can do: callers who stay on their side,
// and an end that is announced.
const bridgedPlan = `
apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: orders, namespace: NAMESPACE}
spec:
  position: {phase: setup}
  identity: {header: X-User}
  backends:
    legacy: {service: {name: legacy, port: 80}, url: "LEGACY"}
    modern: {service: {name: modern, port: 80}, url: "MODERN"}
  gateway:
    gatewayAPI:
      parentRefs: [{name: edge}]
      bridge: {name: bridge, port: 8080}
  phases:
    - name: setup
      routes: [{to: legacy}]
    - name: gradual
      percents: [25, 50]
      routes:
        - {match: {pathPrefix: /static/}, to: modern}
        - {to: split}
    - name: sunset
      routes:
        - match: {pathPrefix: /v1/}
          respond: {status: 410, body: "gone\n", headers: {Sunset: "Sat, 31 Oct 2026 23:59:59 GMT"}}
        - {to: modern}
`

const services = `
apiVersion: v1
kind: Service
metadata: {name: legacy}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: modern}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: bridge}
spec: {ports: [{port: 8080}]}
`

// behind is a Gateway with a bridge behind it.
type behind struct {
	*rig
	gateway *gatewaytest.Gateway
	url     string
}

func newBehind(t *testing.T) *behind {
	t.Helper()
	k := kubetest.Shared(t)
	k.Apply(t, "", string(schemas.Definition))
	ns := k.Namespace(t)
	for _, s := range strings.Split(services, "---\n") {
		k.Apply(t, ns, s)
	}
	b := &behind{rig: &rig{t: t, k: k, namespace: ns, Stack: stack.Start(t, stack.Options{
		Bin: bin, Gateway: "behind", Plan: strings.ReplaceAll(bridgedPlan, "NAMESPACE", ns),
		Args: []string{"--kubeconfig", k.Kubeconfig, "--drift-interval", "5s"},
	})}}
	b.gateway, b.url = b.withGateway()
	b.gateway.SetBackend(ns+"/bridge:8080", b.URL)
	return b
}

// ask sends one request of a caller through the Gateway.
func (b *behind) ask(caller, path string) (status int, side string, header http.Header) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("X-User", caller)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	side, _, _ = strings.Cut(string(body), ":")
	return resp.StatusCode, side, resp.Header
}

// by is how many requests each backend of the HTTPRoute was sent.
func (b *behind) by() map[string]int {
	out := map[string]int{}
	for key, n := range b.gateway.Counts() {
		out[strings.TrimPrefix(key.Backend, b.namespace+"/")] += n
	}
	return out
}

// settled checks that callers are on the side that the plan's bucket says, twice.
func (b *behind) settled(stop string) {
	b.t.Helper()
	b.Await("steady at "+stop, patience, func(s reconciler.Status) bool {
		return (s.State == reconciler.StateSteady || s.State == reconciler.StateComplete) && s.Effective.String() == stop && s.Declared == s.Effective && s.Error == ""
	})
	pos, err := plan.ParsePosition(stop)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range 120 {
		caller := fmt.Sprintf("user-%d", i/2)
		want := "legacy"
		if plan.OnModern(plan.Bucket("orders", caller), pos.Percent) || stop == "sunset" {
			want = "modern"
		}
		if status, side, _ := b.ask(caller, "/orders"); status != http.StatusOK || side != want {
			b.t.Errorf("at %s %s is answered %d by %q, want 200 by %s", stop, caller, status, side, want)
		}
	}
}

// TestABridgeBehindTheGatewayAPI: forward through every stop and back by git
// revert, under load. Callers stay, the end is a real 410, and what goes to one
// side in any case does not go by the bridge.
func TestABridgeBehindTheGatewayAPI(t *testing.T) {
	b := newBehind(t)
	b.StartDaemon()
	b.settled("setup")
	if by := b.by(); by["bridge:8080"] > 0 || by["legacy:80"] == 0 {
		t.Errorf("before anything is split the HTTPRoute sends to %v, want legacy alone", by)
	}
	requests := load.Start(t.Context(), load.Options{Addr: strings.TrimPrefix(b.url, "http://"), Path: "/orders", Header: "X-User", Callers: 40, Rate: 30, Unmarked: true})
	commits := map[string]plan.Revision{}
	stops := []string{"setup", "gradual@25", "gradual@50", "sunset"}
	for _, stop := range stops[1:] {
		commits[stop] = b.Declare(stop)
		b.settled(stop)
		b.past(stop)
	}
	for i := len(stops) - 1; i > 0; i-- {
		b.Pull()
		b.Git("revert", "--no-edit", string(commits[stops[i]]))
		b.Git("push", "-q", "origin", "HEAD:main")
		b.settled(stops[i-1])
		b.past(stops[i-1])
	}
	tally := requests.Stop()
	t.Log(tally, b.by())
	for _, f := range tally.Failed {
		t.Errorf("a request failed on the way: %s", f)
	}
}

// past checks the routes that need no bridge, and the one that only it can serve.
func (b *behind) past(stop string) {
	b.t.Helper()
	status, side, header := b.ask("dana", "/v1/orders")
	switch stop {
	case "sunset":
		if status != http.StatusGone || header.Get("Sunset") == "" {
			b.t.Errorf("at sunset /v1/ is answered %d by %q with %v, want 410 with a Sunset", status, side, header)
		}
	case "setup":
		if status != http.StatusOK || side != "legacy" {
			b.t.Errorf("at setup /v1/ is answered %d by %q", status, side)
		}
	default:
		before := maps.Clone(b.by())
		if status, side, _ = b.ask("dana", "/static/logo"); status != http.StatusOK || side != "modern" {
			b.t.Errorf("at %s /static/ is answered %d by %q, want 200 by modern", stop, status, side)
		}
		if after := b.by(); after["modern:80"] != before["modern:80"]+1 {
			b.t.Errorf("at %s /static/ did not go straight to modern: %v, then %v", stop, before, after)
		}
	}
}
