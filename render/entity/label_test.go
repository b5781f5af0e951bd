package entity_test

import (
	"os"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/entity"
)

// labelled are the entities of plan's own example.
func labelled(t *testing.T) *entity.Objects {
	t.Helper()
	src, err := os.ReadFile("../../plan/testdata/good/entities-label.good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode("good.yaml", src)
	if problems = append(problems, entity.Check(doc)...); len(problems) > 0 {
		t.Fatal(problems)
	}
	o, err := entity.CompileObjects(doc.Plan.Spec.Entities)
	if err != nil {
		t.Fatal(err)
	}
	if !o.Ordered() {
		t.Error("the order is not known")
	}
	if _, err := entity.Compile(doc.Plan.Spec.Entities); err == nil {
		t.Error("Compile takes entities whose owner is a label")
	}
	return o
}

func intent(kind, namespace, created string, status obj) obj {
	o := obj{"metadata": obj{"namespace": namespace, "creationTimestamp": created}, "spec": obj{"intentType": kind}}
	if status != nil {
		o["status"] = status
	}
	return o
}

func TestObjectsAreJudged(t *testing.T) {
	o, ctx := labelled(t), t.Context()
	const at = "2026-01-02T03:04:05Z"
	for name, c := range map[string]struct {
		object   obj
		rule     plan.EntitySide
		inFlight bool
		fails    string
	}{
		"by its type":            {object: intent("deployment", "core", at, nil), rule: plan.SideModern},
		"by its namespace":       {object: intent("scaling", "core", at, nil), rule: plan.SideLegacy},
		"by the last rule":       {object: intent("scaling", "edge", at, nil), rule: plan.SideValidation},
		"by none":                {object: intent("other", "edge", at, nil)},
		"in flight":              {object: intent("other", "edge", at, obj{"phase": "Processing"}), inFlight: true},
		"a rule without a value": {object: obj{"metadata": obj{"namespace": "edge"}}, fails: `rules[0].when: "spec" is not there`},
		"no condition":           {object: intent("deployment", "core", at, obj{}), rule: plan.SideModern, fails: `inFlight: "phase" is not there`},
		"no time":                {object: intent("deployment", "core", "yesterday", nil), rule: plan.SideModern, fails: "order: "},
	} {
		j := o.Judge(ctx, c.object)
		if j.Rule != c.rule || j.InFlight != c.inFlight {
			t.Errorf("%s: %+v", name, j)
		}
		if c.fails == "" && j.Err != nil || c.fails != "" && (j.Err == nil || !strings.HasPrefix(j.Err.Error(), c.fails)) {
			t.Errorf("%s: error %v, want %q", name, j.Err, c.fails)
		}
	}
	older, younger := o.Judge(ctx, intent("a", "b", "2026-01-01T00:00:00Z", nil)), o.Judge(ctx, intent("a", "b", at, nil))
	if older.Rank.Compare(younger.Rank) >= 0 {
		t.Error("the older one is not before the younger")
	}
}

func TestWhatBothSidesWroteIsCompared(t *testing.T) {
	o, ctx := labelled(t), t.Context()
	for want, status := range map[int]obj{
		0: {"legacy": "Done", "modern": "Completed"},
		1: {"legacy": "Done", "modern": "Failed"},
	} {
		if got := o.Compare(ctx, intent("a", "b", "", status)); len(got) != want {
			t.Errorf("%v: %v", status, got)
		}
	}
	if got := o.Compare(ctx, intent("a", "b", "", obj{"legacy": "Odd", "modern": "Completed"})); len(got) != 1 || !strings.Contains(got[0].Why, `"Odd"`) {
		t.Errorf("a word that values do not hold: %v", got)
	}
}
