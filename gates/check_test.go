package gates_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/counts"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestBadPlansGiveTheirProblems checks the place, the words and the hint of
// every problem of testdata/*.bad.yaml.
func TestBadPlansGiveTheirProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d bad plans (%v), want at least 20", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			doc, problems := decode(t, file)
			if plan.HasErrors(problems) {
				t.Fatalf("the file must be bad in its expressions alone:\n%s", render(problems))
			}
			found := gates.Check(doc)
			if !plan.HasErrors(found) {
				t.Error("Check found nothing")
			}
			if _, err := gates.Compile(doc.Plan, gates.Options{}); err == nil {
				t.Error("Compile took what Check refuses")
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", render(found))
		})
	}
}

func TestGoodPlansHaveNoProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/*.good.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no good plans (%v)", err)
	}
	for _, file := range files {
		doc, problems := decode(t, file)
		if got := render(append(problems, gates.Check(doc)...)); got != "" {
			t.Errorf("%s has problems:\n%s", file, got)
		}
		if _, err := gates.Compile(doc.Plan, gates.Options{}); err != nil {
			t.Errorf("%s does not compile: %v", file, err)
		}
	}
}

func TestCheckIsSilentWhereDecodeSpeaks(t *testing.T) {
	good := onePlan("signal.errors < 0.01", "")
	for name, edit := range map[string][2]string{
		"a list as expression":   {`expr: "signal.errors < 0.01"`, "expr: [1]"},
		"an empty expression":    {`expr: "signal.errors < 0.01"`, `expr: ""`},
		"a blank expression":     {`expr: "signal.errors < 0.01"`, `expr: "  "`},
		"no expression":          {`, expr: "signal.errors < 0.01"`, ""},
		"an empty query":         {"{query: errors}", `{query: ""}`},
		"a number as query":      {"{query: errors}", `{query: 1}`},
		"no query":               {"{query: errors}", `{maxAge: 2m}`},
		"an empty samples":       {"{query: errors}", `{query: errors, samples: {}}`},
		"an empty list of gates": {`[{name: gate, expr: "signal.errors < 0.01"}]`, "[{}]"},
	} {
		src := strings.Replace(good, edit[0], edit[1], 1)
		doc, problems := plan.Decode("p.yaml", []byte(src))
		if src == good || !plan.HasErrors(problems) {
			t.Errorf("%s was decoded", name)
		}
		if got := gates.Check(doc); len(got) > 0 {
			t.Errorf("%s is reported twice:\n%s", name, render(got))
		}
		if _, err := gates.Compile(doc.Plan, gates.Options{}); err == nil {
			t.Errorf("%s compiles", name)
		}
	}
}

func TestCheckNeverPanicsOnAPlanCutOff(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for cut := 0; cut < len(src); cut += counts.Of(7, 41) {
			doc, _ := plan.Decode(file, src[:cut])
			gates.Check(doc)
		}
	}
}

func decode(t *testing.T, file string) (*plan.Document, []plan.Problem) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Decode(filepath.Base(file), src)
}

func render(ps []plan.Problem) string {
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.Render())
	}
	return b.String()
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); -update writes it anew:\n%s", file, diff)
	}
}
