package lint_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/lint"
	"github.com/changeover-dev/changeover/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestBadPlansGiveTheirWarnings checks the place, the words and the hint of
// every warning of testdata/*.bad.yaml.
func TestBadPlansGiveTheirWarnings(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("found %d bad plans (%v), want at least 30", len(files), err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			found := lint.CheckAt(valid(t, file), []plan.Key{
				{Namespace: "default", Name: "shop"}, {Namespace: "default", Name: "platform"}, {Namespace: "other", Name: "onap-so"},
			}, time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC))
			if len(found) == 0 {
				t.Error("found nothing")
			}
			for _, p := range found {
				seen[p.Code] = true
				if p.Severity != plan.SeverityWarning || p.Message == "" || p.Hint == "" {
					t.Errorf("%s is no warning with a hint", p)
				}
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", render(found))
		})
	}
	for _, c := range lint.Codes() {
		if !seen[c.Code] {
			t.Errorf("no bad plan has the warning %s", c.Code)
		}
	}
}

func TestGoodPlansHaveNoWarnings(t *testing.T) {
	files, err := filepath.Glob("testdata/*.good.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d good plans (%v)", len(files), err)
	}
	for _, file := range files {
		if got := render(lint.Check(valid(t, file))); got != "" {
			t.Errorf("%s has warnings:\n%s", file, got)
		}
	}
}

// TestTheNumbersOfTheONAPDocument: of what it asks for, two things cannot be
// meant. "Go below 2 %" and "pause from 1 %" overlap from 1 to 2 %. "Roll back
// above 5 % for an hour" never matters beside "roll back above 3 %". That a pause
// ends at 3 %, where the rollback begins, is in order.
func TestTheNumbersOfTheONAPDocument(t *testing.T) {
	var got []string
	for _, p := range lint.Check(valid(t, "testdata/onap-so.bad.yaml")) {
		got = append(got, p.Code+": "+p.Source[strings.Index(p.Source, "{")+1:strings.Index(p.Source, ",")])
	}
	want := []string{lint.ContradictoryBands + ": name: investigate", lint.Shadowed + ": name: over-five"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTheExamplesHaveNoWarnings: what people copy is in order, or says why not.
func TestTheExamplesHaveNoWarnings(t *testing.T) {
	n := 0
	err := filepath.WalkDir("../../examples", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		if src, err := os.ReadFile(path); err != nil || !plan.IsPlan(src) {
			return err
		}
		n++
		if got := render(lint.Check(valid(t, path))); got != "" {
			t.Errorf("%s has warnings:\n%s", path, got)
		}
		return nil
	})
	if err != nil || n < 3 {
		t.Errorf("looked at %d examples (%v), want at least 3", n, err)
	}
}

// TestTheTableOfTheDocsIsThatOfTheCode compares the package comment with Codes.
func TestTheTableOfTheDocsIsThatOfTheCode(t *testing.T) {
	src, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, m := range regexp.MustCompile(`(?m)^//\t(\S+) +(.*)$`).FindAllStringSubmatch(string(src), -1) {
		got = append(got, m[1]+" "+m[2])
	}
	form := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for _, c := range lint.Codes() {
		want = append(want, c.Code+" "+c.Meaning)
		if !form.MatchString(c.Code) {
			t.Errorf("code %q is not kebab-case", c.Code)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("doc.go and Codes differ (-code +doc):\n%s", diff)
	}
}

// TestErrorsCannotBeIgnored: the comment is told off, and the error stays.
func TestErrorsCannotBeIgnored(t *testing.T) {
	src := "# changeover:ignore percents we like it so\napiVersion: changeover.dev/v1alpha1\nkind: MigrationPlan\nmetadata: {name: a}\n" +
		"spec: {position: {phase: a, percent: 5}, phases: [{name: a, percents: [5, 5]}]}\n"
	doc, problems := plan.Decode("a.yaml", []byte(src))
	if len(problems) != 1 || problems[0].Code != "percents" || problems[0].Severity != plan.SeverityError {
		t.Errorf("percents that do not rise are no error:\n%s", render(problems))
	}
	if got := lint.Check(doc); len(got) != 1 || got[0].Code != lint.BadIgnore {
		t.Errorf("got:\n%s", render(got))
	}
}

func TestCommentsSpeakOfTheirLines(t *testing.T) {
	const reason = " said so"
	good, err := os.ReadFile("testdata/never-percent.bad.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const line = "          - {name: five-percent, expr: signal.errors > 5.0}"
	comment := "# changeover:ignore " + lint.NeverTrue + reason
	other := "# changeover:ignore " + lint.LongFor + reason
	for name, c := range map[string]struct {
		src  string
		want []string
	}{
		"at its line":          {strings.Replace(string(good), line, line+" "+comment, 1), nil},
		"above it":             {strings.Replace(string(good), line, comment+"\n"+line, 1), nil},
		"above, with others":   {strings.Replace(string(good), line, "  "+comment+"\n  # and more\n\n"+line, 1), nil},
		"above everything":     {"---\n# A plan.\n" + comment + "\n" + string(good), nil},
		"with Windows' breaks": {strings.ReplaceAll(strings.Replace(string(good), line, line+" "+comment, 1), "\n", "\r\n"), nil},
		"two lines above":      {strings.Replace(string(good), "        rollback:", comment+"\n        rollback:", 1), []string{lint.UnusedIgnore, lint.NeverTrue}},
		"below":                {string(good) + comment + "\n", []string{lint.NeverTrue, lint.UnusedIgnore}},
		"another code":         {strings.Replace(string(good), line, line+" "+other, 1), []string{lint.NeverTrue, lint.UnusedIgnore}},
		"without a reason":     {strings.Replace(string(good), line, line+" "+strings.TrimSuffix(comment, reason), 1), []string{lint.NeverTrue, lint.BadIgnore}},
	} {
		doc, problems := plan.Decode("a.yaml", []byte(c.src))
		if len(problems) > 0 || c.src == string(good) {
			t.Fatalf("%s: %s", name, render(problems))
		}
		var got []string
		for _, p := range lint.Check(doc) {
			got = append(got, p.Code)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
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
		for cut := 0; cut < len(src); cut += 97 {
			doc, _ := plan.Decode(file, src[:cut])
			lint.Check(doc)
		}
	}
}

// valid reads a plan that has no errors.
func valid(t *testing.T, file string) *plan.Document {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode(filepath.Base(file), src)
	if problems = append(problems, gates.Check(doc)...); len(problems) > 0 {
		t.Fatalf("%s must have no errors:\n%s", file, render(problems))
	}
	return doc
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

// TestAPlanOfAnotherFileIsNotJudgedAlone: who checks one file alone is told
// nothing of the others, nor of what is ignored of them.
func TestAPlanOfAnotherFileIsNotJudgedAlone(t *testing.T) {
	if got := render(lint.Check(valid(t, "testdata/unknown-plan.bad.yaml"))); got != "" {
		t.Errorf("there are warnings:\n%s", got)
	}
}
