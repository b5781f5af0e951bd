package runbook_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/cmd/changeover/runbook"
	"github.com/changeover-dev/changeover/plan"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// TestTheRunbookOfAFullPlan compares it with testdata/full.md.
func TestTheRunbookOfAFullPlan(t *testing.T) {
	src, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode("plans/so.yaml", src)
	if plan.HasErrors(problems) {
		t.Fatal(problems[0].Render())
	}
	got := runbook.Write(doc.Plan, doc.File)
	if *update {
		if err := os.WriteFile("testdata/full.md", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/full.md")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("runbook (-want +got; -update rewrites it):\n%s", d)
	}
	for range 20 {
		if again := runbook.Write(doc.Plan, doc.File); again != got {
			t.Fatal("the same plan gives another text")
		}
	}
	for _, stop := range doc.Plan.Itinerary() {
		if !strings.Contains(got, "\n## "+stop.String()+"\n") {
			t.Errorf("it has no chapter on %s", stop)
		}
	}
}
