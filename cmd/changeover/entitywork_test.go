package main

import (
	"context"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/sidelabel"
)

// told is work that notes what it is asked.
type told struct {
	name  string
	asked []string
}

func (w *told) Ensure(_ context.Context, t reconciler.Task) (reconciler.Progress, error) {
	w.asked = append(w.asked, "ensure "+t.Version.Plan.Metadata.Name)
	return reconciler.Progress{Message: w.name}, nil
}

func (w *told) Undo(_ context.Context, t reconciler.Task) (reconciler.Progress, error) {
	w.asked = append(w.asked, "undo "+t.Version.Plan.Metadata.Name)
	return reconciler.Progress{Message: w.name}, nil
}

func (w *told) Pause(plan.Key) { w.asked = append(w.asked, "pause") }

func (w *told) Survey(plan.Key) (sidelabel.Survey, string, bool) {
	return sidelabel.Survey{Total: 3, Modern: 1, Legacy: 2}, "", true
}

func (w *told) Tell(*plan.Plan, bool) *gates.Entities { return gates.NoEntities(w.name) }

func entityPlans() (label, routed *plan.Plan) {
	source := &plan.Inventory{Kubernetes: &plan.KubernetesInventory{APIVersion: "v1", Kind: "ConfigMap"}}
	label = &plan.Plan{Spec: plan.Spec{Entities: &plan.Entities{Owner: plan.OwnerLabel, Source: source}}}
	routed = &plan.Plan{Spec: plan.Spec{Entities: &plan.Entities{Source: source}}}
	return label, routed
}

// TestEntitiesGoToWhoWorksOnTheirKind: and who works on the other kind is asked too,
// so that it lets go of what it had of the plan.
func TestEntitiesGoToWhoWorksOnTheirKind(t *testing.T) {
	label, routed := entityPlans()
	for want, p := range map[string]*plan.Plan{"labels": label, "engine": routed} {
		labels, engine := &told{name: "labels"}, &told{name: "engine"}
		e := entityWork{labels: labels, engine: engine, watcher: engine}
		got, err := e.Ensure(t.Context(), reconciler.Task{Version: plan.Version{Plan: p}})
		if err != nil || got.Message != want || len(labels.asked) != 1 || len(engine.asked) != 1 {
			t.Errorf("the answer is %+v, %v, want that of %s; asked were %q and %q", got, err, want, labels.asked, engine.asked)
		}
		if got, err := e.Undo(t.Context(), reconciler.Task{Version: plan.Version{Plan: p}}); err != nil || got.Message != want {
			t.Errorf("the answer is %+v, %v, want that of %s", got, err, want)
		}
		e.Pause(p.Key())
		if labels.asked[len(labels.asked)-1] != "pause" || engine.asked[len(engine.asked)-1] != "pause" {
			t.Errorf("one goes on: %q, %q", labels.asked, engine.asked)
		}
	}
	e := entityWork{labels: &told{}, watcher: &told{name: "watcher"}}
	if got := e.Tell(label, true); got.Total != 3 || got.Modern != 1 || got.Untold["mismatched"] == "" {
		t.Errorf("of labelled ones gates are told %+v", got)
	}
	if got := e.Tell(routed, true); got.Why != "watcher" {
		t.Errorf("of the others gates are told %+v", got)
	}
}

// TestWithoutToolsNothingIsKnown: and nothing is done.
func TestWithoutToolsNothingIsKnown(t *testing.T) {
	label, routed := entityPlans()
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
