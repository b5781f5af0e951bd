package main

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// TestEntitiesGoToWhoWorksOnTheirKind: without the tools of a kind nothing of it is
// known, and nothing is done.
func TestEntitiesGoToWhoWorksOnTheirKind(t *testing.T) {
	source := &plan.Inventory{Kubernetes: &plan.KubernetesInventory{APIVersion: "v1", Kind: "ConfigMap"}}
	label := &plan.Plan{Spec: plan.Spec{Entities: &plan.Entities{Owner: plan.OwnerLabel, Source: source}}}
	routed := &plan.Plan{Spec: plan.Spec{Entities: &plan.Entities{Source: source}}}
	none := entityWork{}
	for want, p := range map[string]*plan.Plan{"without a cluster": label, "without --ownership": routed} {
		if got := none.Tell(p, true); !strings.Contains(got.Why, want) {
			t.Errorf("gates are told %q, want %q", got.Why, want)
		}
		if done, err := none.Ensure(t.Context(), reconciler.Task{Version: plan.Version{Plan: p}}); err != nil || !done.Done {
			t.Errorf("nobody works, and the answer is %+v, %v", done, err)
		}
	}
	none.Pause(label.Key())
}
