package kube

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/schemas"
	"github.com/changeover-dev/changeover/test/kubetest"
	"github.com/changeover-dev/changeover/test/stack"
)

// tracks are five plans of which each depends on the one before.
var tracks = []string{"llm", "resource", "manifest", "gitops", "verification"}

const trackPlan = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: %[1]s, namespace: %[3]s}
spec:
  position: {phase: setup}%[2]s
  backends:
    legacy: {service: {name: old, port: 80}}
    modern: {service: {name: new, port: 80}}
  gateway:
    gatewayAPI: {parentRefs: [{name: edge}]}
  signals:
    alarm: {query: 'alarm{track=%[1]q}', maxAge: 30s}
  phases:
    - name: setup
      routes: [{match: {pathPrefix: /%[1]s/}, to: legacy}]
    - name: gradual
      percents: [50, 100]
      routes: [{match: {pathPrefix: /%[1]s/}, to: split}]
      gates:
        rollback: [{name: alarm, expr: signal.alarm > 0.5}]
`

const trackServices = `
apiVersion: v1
kind: Service
metadata: {name: old}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: new}
spec: {ports: [{port: 80}]}
`

// alarms is a target of Prometheus that tells 1 for the track that fails.
type alarms struct{ failing atomic.Value }

func (a *alarms) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	for _, name := range tracks {
		n := 0
		if name == a.failing.Load() {
			n = 1
		}
		fmt.Fprintf(w, "alarm{track=%q} %d\n", name, n)
	}
}

// tracksRig has the five plans at setup, in a namespace with a gateway.
func tracksRig(t *testing.T, a *alarms) (r *rig, url string) {
	t.Helper()
	a.failing.Store("")
	target := httptest.NewServer(a)
	t.Cleanup(target.Close)
	k := kubetest.Shared(t)
	k.Apply(t, "", string(schemas.Definition))
	r = &rig{t: t, k: k, namespace: k.Namespace(t)}
	plans := map[string]string{}
	for i, name := range tracks {
		depends := ""
		if i > 0 {
			depends = fmt.Sprintf("\n  dependsOn: [{plan: %s, phase: gradual}]", tracks[i-1])
		}
		plans[name+".yaml"] = fmt.Sprintf(trackPlan, name, depends, r.namespace)
	}
	first := plans["llm.yaml"]
	delete(plans, "llm.yaml")
	r.Stack = stack.Start(t, stack.Options{
		Bin: bin, Plan: first, Files: plans, Args: []string{"--kubeconfig", k.Kubeconfig}, Targets: []string{strings.TrimPrefix(target.URL, "http://")},
	})
	gw, url := r.withGateway()
	k.Apply(t, r.namespace, trackServices)
	gw.SetBackend(r.namespace+"/old:80", r.Legacy.URL)
	gw.SetBackend(r.namespace+"/new:80", r.Modern.URL)
	r.StartDaemon()
	return r, url
}

// onModern is how many of 100 requests to a track's path modern serves.
func onModern(t *testing.T, url, track string) (n int) {
	t.Helper()
	for range 100 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/"+track+"/jobs", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", req.URL, resp.Status, err)
		}
		if strings.HasPrefix(string(body), "modern:") {
			n++
		}
	}
	return n
}

// TestFiveDependentPlansGoBackInOrder: the second breaches, and the later three
// go back before it, by one push; the first stays.
func TestFiveDependentPlansGoBackInOrder(t *testing.T) {
	var a alarms
	r, url := tracksRig(t, &a)
	at := func(stop string) func(reconciler.Status) bool {
		return func(s reconciler.Status) bool {
			return s.Effective.String() == stop && s.Declared == s.Effective && s.Move == nil && s.Pending == nil && s.Error == ""
		}
	}
	for _, name := range tracks {
		r.AwaitPlan(name, "setup", patience, at("setup"))
		text, err := plan.SetPosition([]byte(r.Read(file(name))), plan.Position{Phase: "gradual", Percent: 50})
		if err != nil {
			t.Fatal(err)
		}
		r.Write(file(name), string(text))
	}
	r.Commit("all tracks: gradual@50")
	for _, name := range tracks {
		r.AwaitPlan(name, "50 %", patience, at("gradual@50"))
		if on := onModern(t, url, name); on < 20 || on > 80 {
			t.Errorf("modern serves %d of 100 requests of %s at 50 %%", on, name)
		}
	}

	before := len(strings.Fields(r.Remote("log", "--format=%h", "main")))
	hook := "#!/bin/sh\nwhile read old new ref; do echo $ref >> pushed; done\n"
	if err := os.WriteFile(filepath.Join(r.Repo, "hooks", "post-receive"), []byte(hook), 0o700); err != nil {
		t.Fatal(err)
	}
	begun, last := time.Now(), time.Time{}
	a.failing.Store("resource")
	for _, name := range slices.Backward(tracks[1:]) {
		s := r.AwaitPlan(name, "the rollback", patience, at("setup"))
		if !s.Since.After(last) {
			t.Errorf("%s went back at %s, and what depends on it at %s", name, s.Since, last)
		}
		last = s.Since
		if on := onModern(t, url, name); on != 0 {
			t.Errorf("modern still serves %d requests of %s", on, name)
		}
	}
	t.Logf("all four were back %s after the alarm was raised, scrape and evaluation included", last.Sub(begun).Round(time.Millisecond))
	if s := r.AwaitPlan("llm", "50 %", patience, at("gradual@50")); len(s.Holds) > 0 {
		t.Errorf("the first has holds: %+v", s.Holds)
	}
	if on := onModern(t, url, "llm"); on < 20 {
		t.Errorf("modern serves %d of 100 requests of llm", on)
	}
	if b, err := os.ReadFile(filepath.Join(r.Repo, "pushed")); err != nil || string(b) != "refs/heads/main\n" {
		t.Errorf("pushes to %q, %v; want one, to main", b, err)
	}
	if n := len(strings.Fields(r.Remote("log", "--format=%h", "main"))) - before; n != 4 {
		t.Errorf("%d commits, want one revert for each of four plans:\n%s", n, r.Remote("log", "--format=%s", "main"))
	}
	r.Remote("fsck", "--strict")
}

// file of a track's plan: the stack has one of its own for the first.
func file(track string) string {
	if track == tracks[0] {
		return "orders.yaml"
	}
	return track + ".yaml"
}
