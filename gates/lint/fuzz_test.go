package lint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/gates/lint"
	"github.com/changeover-dev/changeover/plan"
)

// FuzzCheck judges any file: nothing panics, every warning has a place in the
// file and a code that is listed, and the same file gives the same warnings.
func FuzzCheck(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "../testdata/*.yaml", "../../plan/testdata/*/*.yaml", "../../examples/*/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(src))
		}
	}
	known := map[string]bool{}
	for _, c := range lint.Codes() {
		known[c.Code] = true
	}
	f.Fuzz(func(t *testing.T, src string) {
		doc, _ := plan.Decode("p.yaml", []byte(src))
		found := lint.Check(doc)
		lines := strings.Split(src, "\n")
		for _, p := range found {
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > utf8.RuneCountInString(lines[p.Line-1])+1 {
				t.Errorf("%s is outside the file", p)
			}
			if !known[p.Code] || p.Severity != plan.SeverityWarning || p.Message == "" {
				t.Errorf("%s is no warning that is listed", p)
			}
		}
		again, _ := plan.Decode("p.yaml", []byte(src))
		if diff := cmp.Diff(found, lint.Check(again)); diff != "" {
			t.Errorf("the second time differs:\n%s", diff)
		}
	})
}

// FuzzExpression judges any expressions and query in a plan that is else good.
func FuzzExpression(f *testing.F) {
	f.Add("signal.errors < 0.01", "signal.errors > 0.03", `sum(rate(a{b="c"}[5m])) / sum(rate(a[5m]))`)
	f.Add("!(signal.errors < 0.01 || 1 > 2) ? true : signal.errors != -3", "signal.errors / 2.0 > 1e300", `(sum(rate(a{b="c"}[5m])) or vector(0)) / sum(rate(a[5m])) * 100`)
	f.Add("[1, 2].all(x, x > 1) && has(object.a.b)", "object.a.b == 'x'", "1 - -NaN")
	f.Add("signal.errors == 0.0 || signal.errors != 0.0", "0 < 1", "100 * (1 - sum(irate(a[1m])) / sum(irate(a[1m])))")
	f.Fuzz(func(t *testing.T, advance, alarm, query string) {
		g := func(name, expr string) []plan.Gate {
			return []plan.Gate{{Name: name, Expr: expr}, {Name: name + "2", Expr: advance, For: 1}}
		}
		p := &plan.Plan{Spec: plan.Spec{
			Signals: map[string]plan.Signal{"errors": {Query: query, Samples: &plan.Samples{Query: query, Min: 1}}},
			Phases:  []plan.Phase{{Name: "a"}, {Name: "b", Gates: plan.Gates{Enter: g("e", alarm), Advance: g("a", advance), Pause: g("p", alarm), Rollback: g("r", alarm)}}},
		}}
		doc, _ := plan.Decode("p.yaml", nil)
		doc.Plan = p
		lint.Check(doc)
	})
}
