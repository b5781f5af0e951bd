package entity_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/entity"
)

var update = flag.Bool("update", false, "write the golden file anew")

func TestEveryFaultIsToldWithItsPlace(t *testing.T) {
	for _, name := range []string{"bad", "bad-label"} {
		t.Run(name, func(t *testing.T) { faults(t, name) })
	}
}

func faults(t *testing.T, name string) {
	src, err := os.ReadFile("testdata/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode("bad.yaml", src)
	if len(problems) > 0 {
		t.Fatalf("the file must be bad in its expressions alone: %v", problems)
	}
	var b strings.Builder
	for _, p := range entity.Check(doc) {
		b.WriteString(p.Render())
	}
	golden := "testdata/" + name + ".txt"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("problems (-want +got), -update writes them anew:\n%s", d)
	}
	if _, err := entity.Compile(doc.Plan.Spec.Entities); err == nil {
		t.Error("Compile takes what Check refuses")
	}
	if _, err := entity.CompileObjects(doc.Plan.Spec.Entities); err == nil {
		t.Error("CompileObjects takes what Check refuses")
	}
}

func TestGoodPlansHaveNoFaults(t *testing.T) {
	src, err := os.ReadFile("../../plan/testdata/good/entities-inventory.good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode("good.yaml", src)
	if problems = append(problems, entity.Check(doc)...); len(problems) > 0 {
		t.Fatal(problems)
	}
	if _, err := entity.Compile(doc.Plan.Spec.Entities); err != nil {
		t.Fatal(err)
	}
}
