package kube

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// nowhere is a patch of the kustomization that no node can serve.
const nowhere = `
  - target: {kind: Deployment, name: modern}
    patch: |-
      - op: add
        path: /spec/template/spec/nodeSelector
        value: {changeover.dev/nowhere: "true"}
`

func edit(r *rig, file, old, new string) {
	r.t.Helper()
	r.Pull()
	text := r.Read(file)
	if !strings.Contains(text, old) {
		r.t.Fatalf("%s has no %q:\n%s", file, old, text)
	}
	r.Write(file, strings.Replace(text, old, new, 1))
	r.Commit("orders: " + file)
}

// While the cluster of a stop is not healthy its weights wait; the reason is in
// the status; the commit that mends it is taken up.
func TestWeightsWaitForAHealthyCluster(t *testing.T) {
	k := kubetest.Shared(t)
	r := newRig(t, k, "kubernetes", func(files map[string]string) {
		const name = "overlays/gradual/kustomization.yaml"
		files[name] = strings.Replace(files[name], "patches:\n", "patches:"+nowhere, 1)
		files["orders.yaml"] = strings.ReplaceAll(files["orders.yaml"], "cluster: {path: overlays/gradual}", "cluster: {path: overlays/gradual, timeout: 3s}")
	})
	r.withGateway()
	r.StartDaemon()
	r.awaitAt("setup")
	r.travel("shadow")
	r.Declare("gradual@10")
	st := r.Await("the move waits for the Deployment", patience, func(s reconciler.Status) bool {
		return s.Move != nil && s.Move.Step == decide.StepHealth && strings.Contains(s.Waiting, "Deployment "+r.namespace+"/modern")
	})
	t.Logf("it waits for: %s", st.Waiting)
	for range 20 {
		if w := r.weights(); w["modern"] != 0 {
			t.Fatalf("the weights are %v while the cluster is not healthy", w)
		}
		time.Sleep(100 * time.Millisecond)
	}
	st = r.Await("a person is told", patience, func(s reconciler.Status) bool { return s.State == reconciler.StateDegraded })
	if st.Effective.String() != "shadow" {
		t.Errorf("effective is %s while the cluster of the next stop is not healthy", st.Effective)
	}
	edit(r, "overlays/gradual/kustomization.yaml", nowhere, "\n")
	r.awaitEqual("gradual@10")
	r.inForce("gradual@10")
}

// A plan lowered while its move waits goes back without asking for health.
func TestAMoveThatWaitsIsGivenUp(t *testing.T) {
	k := kubetest.Shared(t)
	r := newRig(t, k, "kubernetes", func(files map[string]string) {
		const name = "overlays/gradual/kustomization.yaml"
		files[name] = strings.Replace(files[name], "patches:\n", "patches:"+nowhere, 1)
	})
	r.withGateway()
	r.StartDaemon()
	r.awaitAt("setup")
	r.travel("shadow")
	raise := r.Declare("gradual@10")
	r.Await("the move waits", patience, func(s reconciler.Status) bool { return s.Waiting != "" })
	r.Git("revert", "--no-edit", string(raise))
	r.Git("push", "-q", "origin", "HEAD:main")
	r.awaitEqual("shadow")
	r.inForce("shadow")
}

// In a rollback the HTTPRoute is written before any object of the overlays.
func TestARollbackChangesWeightsFirst(t *testing.T) {
	k := kubetest.Shared(t)
	r := newRig(t, k, "kubernetes", nil)
	_, url := r.withGateway()
	r.StartDaemon()
	r.awaitAt("setup")
	r.load(url)
	r.travel("shadow", "gradual@10", "gradual@25")
	audit := k.Audit(t)
	r.Modern.Break(100)
	r.Await("rolled back", patience, func(s reconciler.Status) bool { return s.Effective.String() == "gradual@10" && len(s.Holds) > 0 })
	r.Modern.Break(0)
	st := r.awaitAt("gradual@10")
	r.awaitEqual("gradual@10")
	r.inForce("gradual@10")
	if len(st.Holds) == 0 {
		t.Error("the raise is not held")
	}
	writes := audit.Requests(t).By("changeover/").Writes().Where(func(q kubetest.Request) bool {
		own := q.Resource == "migrationplans" || q.Resource == "events" || strings.HasPrefix(q.Name, "changeover-inventory-")
		return q.Namespace == r.namespace && !own
	})
	if len(writes) == 0 || writes[0].Resource != "httproutes" {
		t.Errorf("the first write of the rollback is not the HTTPRoute's:\n%s", join(writes))
	}
	if !slices.ContainsFunc(writes, func(q kubetest.Request) bool { return q.Resource == "services" }) {
		t.Errorf("the cluster did not follow:\n%s", join(writes))
	}
	if s := r.Remote("log", "-1", "--format=%s", "main"); !strings.HasPrefix(s, `Revert "orders: gradual@25"`) {
		t.Errorf("the branch's newest commit is %q", s)
	}
}

func join(requests kubetest.Requests) string {
	lines := make([]string, len(requests))
	for i, q := range requests {
		lines[i] = q.At.Format("15:04:05.000 ") + q.String()
	}
	return strings.Join(lines, "\n")
}

// From a stop at which legacy was scaled to nothing, it is brought back and is
// ready before the traffic returns to it.
func TestLegacyIsBroughtBackBeforeTheTraffic(t *testing.T) {
	k := kubetest.Shared(t)
	r := newRig(t, k, "kubernetes", nil)
	_, url := r.withGateway()
	r.StartDaemon()
	r.awaitAt("setup")
	r.load(url)
	r.travel("shadow", "gradual@10", "gradual@25", "gradual@50", "gradual@100", "sunset")
	kubetest.WaitFor(t, "legacy is scaled to nothing", func() bool { return r.replicas("legacy") == 0 })
	audit := k.Audit(t)
	r.Declare("gradual@50")
	r.awaitEqual("gradual@50")
	r.inForce("gradual@50")
	writes := audit.Requests(t).By("changeover/").Writes()
	scaled := slices.IndexFunc(writes, func(q kubetest.Request) bool { return q.Resource == "deployments" && q.Name == "legacy" })
	moved := slices.IndexFunc(writes, func(q kubetest.Request) bool { return q.Resource == "httproutes" })
	if scaled < 0 || moved < 0 || moved < scaled {
		t.Errorf("legacy was scaled by write %d, the traffic moved by write %d:\n%s", scaled, moved, join(writes))
	}
}
