package docs

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

func TestTheFlagsOfTheReadmeAreGood(t *testing.T) {
	_, section, ok := strings.Cut(read(t, "README.md"), "### Feature flags")
	if !ok {
		t.Fatal("found nothing about flags")
	}
	doc, problems := plan.Decode("README.md", []byte(`apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: gradual, percent: 10}
  phases:
    - {name: gradual, percents: [10, 100], flags: {search: 25, checkout: position}}
`+block(t, section, "yaml")))
	for _, p := range problems {
		t.Errorf("the flags of the README have a problem:\n%s", p.Render())
	}
	if n := len(doc.Plan.Spec.Flags); n != 3 {
		t.Errorf("got %d flags, want three", n)
	}
}
