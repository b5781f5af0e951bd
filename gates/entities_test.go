package gates_test

import (
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

func owning(expr string, e *plan.Entities) *plan.Plan {
	return &plan.Plan{Metadata: plan.Metadata{Name: "so", Namespace: "default"}, Spec: plan.Spec{Entities: e, Phases: []plan.Phase{
		{Name: "gradual", Gates: plan.Gates{Advance: []plan.Gate{{Name: "whole", Expr: expr}}}},
	}}}
}

func TestGatesReadWhatIsKnownOfEntities(t *testing.T) {
	listed := &plan.Entities{Source: &plan.Inventory{HTTP: &plan.HTTPInventory{URL: "http://legacy/"}}}
	reqs := []gates.Request{{Stop: plan.Position{Phase: "gradual"}, Effects: []plan.Effect{plan.Advance}}}
	whole := &gates.Entities{Total: 10, Legacy: 6, Modern: 4, InFlight: 1, SyncLag: time.Minute}
	partly := &gates.Entities{Total: 10, Orphaned: 2, Untold: map[string]string{"doubleClaimed": "the plan names no inventory of modern"}}
	for _, c := range []struct {
		expr    string
		facts   *gates.Entities
		verdict gates.Verdict
		detail  string
	}{
		{"entities.orphaned == 0 && entities.unknown == 0 && entities.doubleClaimed == 0 && entities.mismatched == 0", whole, gates.Pass, "entities.total=10, entities.legacy=6, entities.modern=4, entities.inFlight=1, entities.orphaned=0"},
		{"entities.syncLag < duration('10m')", whole, gates.Pass, ""},
		{"entities.syncLag < duration('10s')", whole, gates.Fail, ""},
		{"entities.orphaned == 0", partly, gates.Fail, "entities.orphaned=2, entities.unknown=0, entities.doubleClaimed unknown: the plan names no inventory of modern"},
		{"entities.doubleClaimed == 0", partly, gates.NoData, "entities.doubleClaimed unknown: the plan names no inventory of modern"},
		{"entities.legacy == 0", nil, gates.NoData, "entities unknown: not read"},
		{"entities.legacy == 0", gates.NoEntities("list source: page 3: answered 500"), gates.NoData, "entities unknown: list source: page 3: answered 500"},
	} {
		prg, err := gates.Compile(owning(c.expr, listed), gates.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r := prg.Eval("r1", reqs, gates.Snapshot{Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Facts: gates.Facts{Entities: c.facts}})[0]
		if r.Verdict != c.verdict || !strings.Contains(r.Detail, c.detail) || strings.Contains(r.Detail, "divides") {
			t.Errorf("%s with %+v: %s (%s), want %s (%s)", c.expr, c.facts, r.Verdict, r.Detail, c.verdict, c.detail)
		}
	}
	for _, e := range []*plan.Entities{nil, {Match: plan.EntityMatch{Path: "/{id}"}}} {
		if _, err := gates.Compile(owning("entities.orphaned == 0", e), gates.Options{}); err == nil || !strings.Contains(err.Error(), "where entities are listed") {
			t.Errorf("a plan without an inventory: %v", err)
		}
	}
}
