package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/cmd/changeover/plantest"
	"github.com/changeover-dev/changeover/plan"
)

// passes runs all tests of a test file.
func passes(t *testing.T, name, src string, planOf func(string) string) {
	t.Helper()
	f, problems := plantest.Decode(name, []byte(src))
	if len(problems) > 0 {
		t.Fatal(problems[0].Render())
	}
	doc, problems := plan.Decode(f.Plan, []byte(planOf(f.Plan)))
	if plan.HasErrors(problems) {
		t.Fatal(problems[0].Render())
	}
	others := map[string]*plan.Plan{}
	for _, file := range f.Files() {
		other, problems := plan.Decode(file, []byte(planOf(file)))
		if plan.HasErrors(problems) {
			t.Fatal(problems[0].Render())
		}
		others[file] = other.Plan
	}
	if problems := f.Resolve(doc.Plan, []byte(src), others); len(problems) > 0 {
		t.Fatal(problems[0].Render())
	}
	v := plan.Version{Plan: doc.Plan, Path: f.Plan, Content: plan.ContentDigest(doc.Plan), Live: plan.LiveDigest(doc.Plan)}
	for _, test := range f.Tests {
		failures, err := f.Run(t.Context(), v, test)
		if err != nil {
			t.Fatal(err)
		}
		for _, failure := range failures {
			t.Errorf("%s:%d: %s: %s", name, failure.Line, test.Name, failure)
		}
	}
}

func TestTheTestOfTheReadmePasses(t *testing.T) {
	text := read(t, "README.md")
	_, section, ok := strings.Cut(text, "\n### Test it before production\n")
	if !ok {
		t.Fatal("found no section about tests")
	}
	passes(t, "README.md", block(t, section, "yaml"), func(string) string { return block(t, text, "yaml") })
}

func TestTheTestsInExamplesPass(t *testing.T) {
	found := 0
	err := filepath.WalkDir("../../examples", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.yaml") {
			return err
		}
		found++
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		passes(t, name, string(b), func(planFile string) string {
			p, err := os.ReadFile(filepath.Join(filepath.Dir(name), planFile))
			if err != nil {
				t.Fatal(err)
			}
			return string(p)
		})
		return nil
	})
	if err != nil || found == 0 {
		t.Errorf("found %d test files: %v", found, err)
	}
}
