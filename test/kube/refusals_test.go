package kube

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// What another manager owns is reported with its name, and nothing is forced.
func TestAnotherManagersFieldsAreNotTaken(t *testing.T) {
	k := kubetest.Shared(t)
	r := newRig(t, k, "kubernetes", nil)
	theirs := strings.Replace(files(t, "kubernetes")["overlays/base/legacy.yaml"], "image: orders-legacy", "image: platforms-own", 1)
	k.ApplyAs(t, "platform-team", r.namespace, theirs)
	r.withGateway()
	r.StartDaemon()
	r.tells("Deployment "+r.namespace+"/legacy", `"platform-team"`, "image")
	image := func() string {
		return k.Kubectl(t, "get", "deployment", "legacy", "-n", r.namespace, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	}
	if got := image(); got != "platforms-own" {
		t.Errorf("the image is %q: it was forced", got)
	}
	// Who owns the field may hand it over.
	edit(r, "overlays/base/legacy.yaml", "metadata: {name: legacy}", `metadata: {name: legacy, annotations: {changeover.dev/force-conflicts: "true"}}`)
	r.awaitAt("setup")
	if got := image(); got != "orders-legacy" {
		t.Errorf("the image is %q though the manifest says to take it", got)
	}
}

// A field that cannot be changed is reported, and the object stays as it is.
func TestWhatCannotBeChangedIsReported(t *testing.T) {
	k := kubetest.Shared(t)
	r := newRig(t, k, "kubernetes", nil)
	r.withGateway()
	r.StartDaemon()
	r.awaitAt("setup")
	before := k.Get(t, "Deployment.apps", r.namespace, "legacy")
	edit(r, "overlays/base/legacy.yaml", "selector: {matchLabels: {app: legacy}}", "selector: {matchLabels: {app: legacy, tier: web}}")
	edit(r, "overlays/base/legacy.yaml", "labels: {app: legacy}", "labels: {app: legacy, tier: web}")
	r.tells("Deployment "+r.namespace+"/legacy", "cannot be changed once the object exists", "spec.selector")
	after := k.Get(t, "Deployment.apps", r.namespace, "legacy")
	if after.GetUID() != before.GetUID() || after.GetGeneration() != before.GetGeneration() {
		t.Error("the object was touched")
	}
}

// Nothing is pruned for a kustomization that is empty, broken or gone.
func TestNothingIsPrunedForWhatIsMissing(t *testing.T) {
	k := kubetest.Shared(t)
	r := newRig(t, k, "kubernetes", nil)
	_, url := r.withGateway()
	r.StartDaemon()
	r.awaitAt("setup")
	r.load(url)
	r.travel("shadow", "gradual@10")
	all := func() string {
		return k.Kubectl(t, "get", "deployments,services,ledgers,configmaps", "-n", r.namespace, "-o", "name")
	}
	before := all()
	const overlay = "overlays/gradual/kustomization.yaml"
	good := r.Read(overlay)
	for _, c := range []struct{ name, text, tells string }{
		{"empty", "namespace: " + r.namespace + "\n", "no objects came of it"},
		{"broken", "resources: [\n", overlay},
		{"without a file", strings.Replace(good, "../base", "../bass", 1), "bass"},
	} {
		r.Pull()
		r.Write(overlay, c.text)
		r.Commit("orders: " + c.name)
		st := r.Await(c.name+" is refused", patience, func(s reconciler.Status) bool {
			text := says(s)
			for _, p := range s.Problems {
				text += "\n" + p.String()
			}
			return strings.Contains(text, c.tells)
		})
		t.Logf("%s: state %s, %s %v", c.name, st.State, st.Error, st.Problems)
		time.Sleep(time.Second)
		if now := all(); now != before {
			t.Errorf("%s: there was\n%s\nthere is\n%s", c.name, before, now)
		}
	}
	r.Pull()
	r.Write(overlay, good)
	r.Commit("orders: mended")
	r.awaitAt("gradual@10")
	before = all()
	r.Edit("orders: no cluster config any more", func(text string) string {
		return strings.Replace(text, "      cluster: {path: overlays/gradual}\n", "", 1)
	})
	r.Await("the phase has no cluster config", patience, func(s reconciler.Status) bool {
		return s.State == reconciler.StateSteady && !s.Observed.Cluster.Known
	})
	time.Sleep(time.Second)
	if now := all(); now != before {
		t.Errorf("without cluster config: there was\n%s\nthere is\n%s", before, now)
	}
}

// A stop that would delete more than it may deletes nothing.
func TestAMassDeleteIsStopped(t *testing.T) {
	k := kubetest.Shared(t)
	r := newRig(t, k, "kubernetes", func(files map[string]string) {
		var many strings.Builder
		for i := range 20 { // the Job is the 21st
			fmt.Fprintf(&many, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: copy-%02d}\n", i)
		}
		files["overlays/shadow/many.yaml"] = many.String()
		files["overlays/shadow/kustomization.yaml"] = strings.Replace(files["overlays/shadow/kustomization.yaml"], "job.yaml]", "job.yaml, many.yaml]", 1)
	})
	r.withGateway()
	r.StartDaemon()
	r.awaitAt("setup")
	r.travel("shadow")
	r.Declare("gradual@10")
	r.tells("nothing is deleted: 21 objects", "maxPrune")
	for _, name := range []string{"copy-00", "copy-19"} {
		k.Get(t, "ConfigMap", r.namespace, name)
	}
	k.Get(t, "Job.batch", r.namespace, "copy-orders")
	r.Edit("orders: this many are meant", func(text string) string {
		return strings.Replace(text, "cluster: {path: overlays/gradual}", "cluster: {path: overlays/gradual, maxPrune: 21}", 1)
	})
	r.awaitEqual("gradual@10")
	r.gone("ConfigMap", "copy-00")
	r.gone("Job.batch", "copy-orders")
}
