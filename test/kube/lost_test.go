package kube

import (
	"os"
	"testing"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/kubetest"
)

const mplan = "MigrationPlan.changeover.dev"

// The object in the cluster, the daemon's folder, or both are lost: position,
// since and holds are the same afterwards.
func TestStateThatIsLostIsRebuilt(t *testing.T) {
	k := kubetest.Shared(t)
	r := newRig(t, k, "kubernetes", nil)
	_, url := r.withGateway()
	r.StartDaemon()
	r.awaitAt("setup")
	r.load(url)
	r.travel("shadow", "gradual@10", "gradual@25")
	r.Modern.Break(100)
	r.Await("rolled back", patience, func(s reconciler.Status) bool { return s.Effective.String() == "gradual@10" && len(s.Holds) > 0 })
	r.Modern.Break(0)
	want := r.awaitAt("gradual@10")
	if len(want.Holds) != 1 {
		t.Fatalf("holds are %+v, want one", want.Holds)
	}
	same := func(what string) {
		t.Helper()
		got := r.awaitAt("gradual@10")
		kubetest.WaitFor(t, "the object is there", func() bool {
			o := k.Lookup(t, mplan, r.namespace, "orders")
			return o != nil && kubetest.Condition(o, "Ready") != ""
		})
		if !got.Since.Equal(want.Since) || len(got.Holds) != 1 || got.Holds[0].Commit != want.Holds[0].Commit || got.Applied != want.Applied {
			t.Errorf("%s: it is at %s since %s, revision %s, holds %+v; before %s, %s, %+v", what, got.Effective, got.Since, got.Applied,
				got.Holds, want.Since, want.Applied, want.Holds)
		}
		if w := r.weights(); w["modern"] != 10 {
			t.Errorf("%s: the weights are %v", what, w)
		}
	}
	k.Kubectl(t, "delete", "migrationplan", "orders", "-n", r.namespace)
	same("the object was deleted while the daemon ran")

	r.KillDaemon()
	k.Kubectl(t, "delete", "migrationplan", "orders", "-n", r.namespace)
	r.StartDaemon()
	same("the object was deleted while no daemon ran")

	r.KillDaemon()
	remove(t, r.State)
	r.StartDaemon()
	same("the daemon's folder was lost")

	r.KillDaemon()
	remove(t, r.State)
	k.Kubectl(t, "delete", "migrationplan", "orders", "-n", r.namespace)
	r.StartDaemon()
	same("both were lost")

	r.KillDaemon()
	remove(t, r.State)
	k.Kubectl(t, "delete", "migrationplan", "orders", "-n", r.namespace)
	k.Kubectl(t, "delete", "configmap", "changeover-inventory-orders", "-n", r.namespace)
	r.StartDaemon()
	same("and the inventory")
	r.awaitEqual("gradual@10")
}

func remove(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}
