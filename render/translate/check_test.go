package translate_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/translate"
)

var update = flag.Bool("update", false, "write the golden file anew")

func TestEveryFaultIsToldWithItsPlace(t *testing.T) {
	src, err := os.ReadFile("testdata/bad.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode("bad.yaml", src)
	if len(problems) > 0 {
		t.Fatalf("the file must be bad in its expressions alone: %v", problems)
	}
	found := translate.Check(doc)
	var b strings.Builder
	for _, p := range found {
		b.WriteString(p.Render())
	}
	const golden = "testdata/bad.txt"
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
	for name, tr := range doc.Plan.Spec.Translations {
		if _, err := translate.Compile(name, tr); err == nil {
			t.Errorf("Compile takes %s, which Check refuses", name)
		}
	}
}
