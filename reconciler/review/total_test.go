package review_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/review"
)

// edits are what may be changed in the shop's plan, valid or not.
var edits = [][2]string{
	{"{phase: gradual, percent: 10}", "{phase: setup}"}, {"{phase: gradual, percent: 10}", "{phase: gradual, percent: 50}"},
	{"{phase: gradual, percent: 10}", "{phase: sunset}"}, {"{phase: gradual, percent: 10}", "{phase: gradual, percent: 5}"},
	{"{phase: gradual, percent: 10}", "{}"}, {"[10, 25, 50]", "[5, 10, 25, 50]"}, {"[10, 25, 50]", "[25, 50]"}, {"[10, 25, 50]", "[]"},
	{"name: gradual", "name: slow"}, {"gateway: {bridge: {}}", "gateway: {nginx: {}}"}, {"  gateway: {bridge: {}}\n", ""}, {"bake: 72h", "bake: 1h"},
	{"bake: 72h", "bake: ["}, {"> 3.0", "> 4.0"}, {"signal.errors < 1.0", "signal.gone < 1.0"}, {"name: shop", "name: other"}, {"name: shop", "nam: x"},
	{"  phases:", "  suspend: true\n  phases:"}, {"  phases:", "  dependsOn: [{plan: platform, phase: gradual}]\n  phases:"},
	{"  phases:", "  conflictsWith: [platform]\n  phases:"}, {"manual: true", "manual: false"}, {"  phases:", "  phases: []\n  was:"},
	{"kind: MigrationPlan", "kind: MigrationPlan\nkind: MigrationPlan"}, {"      routes: [{to: split}]\n", "      routes: [{to: split}]\n      cluster: {path: gone}\n"},
}

// TestEveryChangeHasAReview: whatever changed, there is one review, the same each
// time, and its parts agree.
func TestEveryChangeHasAReview(t *testing.T) {
	edited := func(t *rapid.T, label string) map[string]string {
		files := map[string]string{}
		for _, name := range []string{"shop", "platform"} {
			src := strings.Replace(shop, "name: shop", "name: "+name, 1)
			for range rapid.IntRange(0, 2).Draw(t, label) {
				e := rapid.SampledFrom(edits).Draw(t, "edit")
				src = strings.Replace(src, e[0], e[1], 1)
			}
			if rapid.IntRange(0, 6).Draw(t, "there") > 0 {
				files["plans/"+name+".yaml"] = src
			}
		}
		return files
	}
	rapid.Check(t, func(t *rapid.T) {
		base, head := edited(t, "base"), edited(t, "head")
		r := build(base, head)
		a, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := json.Marshal(build(base, head)); string(a) != string(b) {
			t.Fatalf("two reviews of one change:\n%s\n%s", a, b)
		}
		legal := true
		for _, p := range r.Plans {
			legal = legal && len(p.Illegal) == 0
			if problem := inconsistent(p); problem != "" {
				t.Errorf("%s: %s", p.Key, problem)
			}
		}
		if legal != r.Legal {
			t.Errorf("legal is %v", r.Legal)
		}
		if md := review.Markdown(r); len(md) > review.MaxMarkdown {
			t.Errorf("%d bytes", len(md))
		}
		_ = review.Text(r)
	})
}

// inconsistent says which parts of a plan's review do not agree.
func inconsistent(p review.Plan) string {
	last := func() plan.Position { return p.Way[len(p.Way)-1].Position }
	switch p.Kind {
	case review.Invalid:
		if len(p.Illegal) == 0 || !plan.HasErrors(p.Problems) {
			return "invalid without an error"
		}
		return ""
	case review.Raise, review.New, review.Lower:
		if len(p.Way) == 0 || last() != p.To || p.From == p.To {
			return fmt.Sprintf("%s from %s to %s by %v", p.Kind, p.From, p.To, p.Way)
		}
	case review.Content, review.Suspend:
		if p.From != p.To || len(p.Way) > 0 {
			return fmt.Sprintf("%s from %s to %s", p.Kind, p.From, p.To)
		}
	}
	if plan.HasErrors(p.Problems) {
		return "errors in a plan that is not invalid"
	}
	return ""
}
