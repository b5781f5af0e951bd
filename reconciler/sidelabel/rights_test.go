package sidelabel

import (
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func file(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../examples/nephoran/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The example's plan works with the rights of its role, as the plan's account, and
// without them it says which one is missing.
func TestTheExampleNeedsNoMoreThanItsRole(t *testing.T) {
	k := install(t)
	ns := k.Namespace(t)
	k.Apply(t, ns, "{apiVersion: v1, kind: ServiceAccount, metadata: {name: migration}}")
	for _, name := range []string{"core-a", "edge-b"} {
		k.Apply(t, ns, `{apiVersion: nephoran.com/v1, kind: NetworkIntent, metadata: {name: `+name+`}, spec: {intentType: scaling}}`)
	}
	p, err := decoded(strings.ReplaceAll(file(t, "owners.yaml"), "namespace: nephoran", "namespace: "+ns))
	if err != nil {
		t.Fatal(err)
	}
	r := begun(t, k.Kubeconfig)
	task := reconciler.Task{Version: plan.Version{Plan: p}, Stop: plan.Position{Phase: "monolith"}, Since: time.Now()}
	kubetest.WaitFor(t, "the missing right is told", func() bool {
		_, err := r.Ensure(t.Context(), task)
		return err != nil && strings.Contains(err.Error(), "networkintents")
	})
	if _, _, ok := r.Survey(p.Key()); ok {
		t.Error("objects are counted that may not be read")
	}
	k.Apply(t, ns, strings.ReplaceAll(file(t, "owners-role.yaml"), "namespace: nephoran", "namespace: "+ns))
	done := func() bool {
		now, err := r.Ensure(t.Context(), task)
		return err == nil && now.Done && now.Total == 2
	}
	kubetest.WaitFor(t, "all are labelled", done)
	task.Stop, task.Since = plan.Position{Phase: "gradual", Percent: 10}, time.Now().Add(time.Hour)
	kubetest.WaitFor(t, "the oldest is handed over", done)
	if got := mine(t, k, p, ns, "edge-b"); got != mark(plan.SideModern, ownership.Migrated, 10) {
		t.Errorf("%+v", got)
	}
	if got := mine(t, k, p, ns, "core-a"); got != mark(plan.SideLegacy, ownership.BornLegacy, 0) {
		t.Errorf("%+v, and the rule leaves it to legacy", got)
	}

	// A suspended plan labels nothing until it is asked for again.
	r.Pause(p.Key())
	k.Apply(t, ns, `{apiVersion: nephoran.com/v1, kind: NetworkIntent, metadata: {name: late}, spec: {intentType: deployment}}`)
	if _, why, ok := r.Survey(p.Key()); ok || why == "" {
		t.Errorf("the plan is paused, and surveyed: %q", why)
	}
	kubetest.WaitFor(t, "the object is seen", func() bool {
		r.mu.Lock()
		j := r.jobs[p.Key()]
		r.mu.Unlock()
		j.mu.Lock()
		defer j.mu.Unlock()
		_, ok := j.seen[Name{ns, "late"}]
		return ok
	})
	if got := mine(t, k, p, ns, "late"); got != (Mark{}) {
		t.Errorf("%+v, and the plan is paused", got)
	}
	task.Since = time.Now().Add(-time.Hour)
	kubetest.WaitFor(t, "what was born meanwhile has an owner", func() bool {
		now, err := r.Ensure(t.Context(), task)
		return err == nil && now.Done && mine(t, k, p, ns, "late").Side != ""
	})
	if got := mine(t, k, p, ns, "late"); got != mark(plan.SideModern, ownership.BornModern, 0) {
		t.Errorf("%+v, and the rule gives it to modern", got)
	}
}

func mine(t *testing.T, k *kubetest.Kube, p *plan.Plan, namespace, name string) Mark {
	t.Helper()
	u := k.Get(t, "NetworkIntent.nephoran.com", namespace, name)
	return markOf(p.Key(), u.GetLabels(), u.GetAnnotations())
}

// What modern makes differently while both work is found, and what is mended is no
// longer told.
func TestDifferencesOfTheTwoControllersAreFound(t *testing.T) {
	k := install(t)
	w := newWorld(t, k)
	w.create("compared", 20)
	r := begun(t, k.Kubeconfig)
	task := reconciler.Task{Version: plan.Version{Plan: w.p}, Stop: plan.Position{Phase: "compare"}, Since: time.Now().Add(time.Hour)}
	mismatched := func(n int) func() bool {
		return func() bool {
			_, err := r.Ensure(t.Context(), task)
			s, _, ok := r.Survey(w.p.Key())
			return err == nil && ok && s.Validation == 20 && s.Mismatched == n
		}
	}
	kubetest.WaitFor(t, "both work on all", mismatched(0))
	n := w.names[4]
	write := func(modern string) {
		body := []byte(`{"status": {"legacy": "r1", "modern": "` + modern + `"}}`)
		if _, err := k.Dynamic.Resource(intents).Namespace(n.Namespace).Patch(t.Context(), n.Name, types.MergePatchType, body, metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
	}
	write("r2")
	kubetest.WaitFor(t, "the difference is found", mismatched(1))
	write("r1")
	kubetest.WaitFor(t, "it is gone", mismatched(0))
}
