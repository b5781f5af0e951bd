package lint_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/gates/lint"
	"github.com/changeover-dev/changeover/plan"
)

// TestWhatACriterionReadsIsUsed although no gate reads it.
func TestWhatACriterionReadsIsUsed(t *testing.T) {
	src, err := os.ReadFile("testdata/unused.bad.yaml")
	if err != nil {
		t.Fatal(err)
	}
	unused := func(src string) bool {
		doc, problems := plan.Decode("so.yaml", []byte(src))
		if plan.HasErrors(problems) {
			t.Fatal(problems[0].Render())
		}
		return slices.ContainsFunc(lint.Check(doc), func(p plan.Problem) bool { return strings.Contains(p.Message, "signal.p95") })
	}
	if !unused(string(src)) {
		t.Error("nothing reads p95, and that is not said")
	}
	if unused(string(src) + "  success: [{name: fast, expr: signal.p95 < 0.5}]\n") {
		t.Error("a criterion reads p95, and it is said to be unused")
	}
}
