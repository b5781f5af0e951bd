package onap

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

// document is the written plan. It is not part of the repository: its headings are,
// in testdata/headings.md, and they are compared where the document lies beside it.
const document = "../../../shared/reference/onap-so-migration-plan.md"

// headings are those of a Markdown text, without what stands in code.
func headings(text string) (out []string) {
	code := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
		}
		if !code && strings.HasPrefix(line, "#") {
			out = append(out, strings.TrimSpace(strings.TrimLeft(line, "#")))
		}
	}
	return out
}

// requirement is a row of REQUIREMENTS.md.
type requirement struct{ section, asks, met string }

func requirements(t *testing.T) (out []requirement) {
	t.Helper()
	for line := range strings.Lines(read(t, example+"/REQUIREMENTS.md")) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 2 || cells[0] != "" {
			continue
		}
		if len(cells) != 5 {
			t.Errorf("%q has %d cells, want 3", line, len(cells)-2)
			continue
		}
		out = append(out, requirement{strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])})
	}
	return out[2:] // the head and the line below it
}

// tests are the names of all tests of the repository.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	names, form := map[string]bool{}, regexp.MustCompile(`(?m)^func (Test\w+)\(\w+ \*testing\.T\)`)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range form.FindAllSubmatch(b, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestEveryHeadingIsMet(t *testing.T) {
	want := headings(read(t, "testdata/headings.md"))
	b, err := os.ReadFile(document)
	switch {
	case err == nil && !slices.Equal(headings(string(b)), want):
		t.Errorf("testdata/headings.md does not have the headings of %s", document)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		t.Error(err)
	}
	if len(want) < 49 {
		t.Errorf("there are %d headings, want 49", len(want))
	}
	rows := map[string]bool{}
	for _, r := range requirements(t) {
		rows[r.section] = true
		if !slices.Contains(want, r.section) {
			t.Errorf("the document has no section %q", r.section)
		}
		if r.asks == "" || r.met == "" {
			t.Errorf("the row %q says nothing", r.section)
		}
	}
	for _, h := range want {
		if !rows[h] {
			t.Errorf("no row has the section %q", h)
		}
	}
}

func TestWhatTheRowsNameIsThere(t *testing.T) {
	p, all, n := decoded(t), tests(t), 0
	named := map[string][]string{"signal": slices.Collect(maps.Keys(p.Spec.Signals)), "translation": slices.Collect(maps.Keys(p.Spec.Translations))}
	for i := range p.Spec.Phases {
		named["phase"] = append(named["phase"], p.Spec.Phases[i].Name)
		for _, e := range plan.Effects {
			for _, g := range p.Spec.Phases[i].GatesOf(e) {
				named["gate"] = append(named["gate"], g.Name)
			}
		}
	}
	for _, c := range p.Spec.Success {
		named["success"] = append(named["success"], c.Name)
	}
	commands := changeover(t, 0, "--help")
	test, command := regexp.MustCompile("`(Test\\w+)`"), regexp.MustCompile("`changeover (\\w+)")
	name := regexp.MustCompile("(gate|signal|phase|success|translation) `([^`]+)`")
	path := regexp.MustCompile("`((?:overlays|templates|tests|incidents)/[\\w./-]*|[\\w-]+\\.(?:yaml|txt))`")
	for _, r := range requirements(t) {
		for _, m := range test.FindAllStringSubmatch(r.met, -1) {
			if n++; !all[m[1]] {
				t.Errorf("%q names %s, which is no test", r.section, m[1])
			}
		}
		for _, m := range command.FindAllStringSubmatch(r.met, -1) {
			if n++; !strings.Contains(commands, "\n  "+m[1]+" ") {
				t.Errorf("%q names changeover %s, which is no command", r.section, m[1])
			}
		}
		for _, m := range name.FindAllStringSubmatch(r.met, -1) {
			if n++; !slices.Contains(named[m[1]], m[2]) {
				t.Errorf("%q names the %s %q, which the plan does not have", r.section, m[1], m[2])
			}
		}
		for _, m := range path.FindAllStringSubmatch(r.met, -1) {
			n++
			if _, err := os.Stat(filepath.Join(example, m[1])); err != nil {
				t.Errorf("%q names %s: %v", r.section, m[1], err)
			}
		}
	}
	if n < 80 {
		t.Errorf("the rows name %d things, want more than 80: how they are read is broken", n)
	}
}
