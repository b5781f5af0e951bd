package plan_test

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

func TestProblemsPrintInOneLine(t *testing.T) {
	p := plan.Problem{File: "plans/a.yaml", Line: 31, Column: 14, Code: "position", Message: "not a stop"}
	if got, want := p.String(), "plans/a.yaml:31:14: position: not a stop"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	warning := p
	warning.Severity = plan.SeverityWarning
	if got, want := warning.String(), "plans/a.yaml:31:14: warning: position: not a stop"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p.Line, p.Column = 0, 0
	if got, want := p.String(), "plans/a.yaml: position: not a stop"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheCaretStandsBelowItsColumn(t *testing.T) {
	long := strings.Repeat("x", 300)
	for name, c := range map[string]struct {
		source string
		column int
		want   string
	}{
		"plain":                  {"a: b", 4, " | a: b\n |    ^\n"},
		"behind the end":         {"a:", 9, " | a:\n |   ^\n"},
		"tabs stay tabs":         {"\ta:\tb", 5, " | \ta:\tb\n | \t  \t^\n"},
		"wide runes":             {"日本: x", 5, " | 日本: x\n |       ^\n"},
		"combining runes":        {"e\u0301: x", 5, " | e\u0301: x\n |    ^\n"},
		"control characters":     {"a\x07b", 3, " | a?b\n |   ^\n"},
		"bytes that are no rune": {"a\xffb", 3, " | a?b\n |   ^\n"},
		"long, at the start":     {long, 1, " | " + strings.Repeat("x", 120) + "...\n | ^\n"},
		"long, at the end":       {long, 300, " | ..." + strings.Repeat("x", 81) + "\n | " + strings.Repeat(" ", 83) + "^\n"},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan.Problem{File: "f", Line: 1, Column: c.column, Code: "c", Message: "m", Source: c.source, Hint: "h"}
			if got, want := p.Render(), p.String()+"\n"+c.want+" hint: h\n"; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestProblemsAreSortedByPlace(t *testing.T) {
	ps := []plan.Problem{
		{File: "b", Line: 1}, {File: "a", Line: 10}, {File: "a", Line: 9, Column: 2}, {File: "a", Line: 9, Column: 1, Code: "z"},
		{File: "a", Line: 9, Column: 1, Code: "a", Message: "y"}, {File: "a", Line: 9, Column: 1, Code: "a", Message: "x"},
	}
	plan.Sort(ps)
	var got []string
	for _, p := range ps {
		got = append(got, p.String())
	}
	want := "a:9:1: a: x, a:9:1: a: y, a:9:1: z: , a:9:2: : , a:10:0: : , b:1:0: : "
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func TestOnlyErrorsAreErrors(t *testing.T) {
	if plan.HasErrors(nil) || plan.HasErrors([]plan.Problem{{Severity: plan.SeverityWarning}}) {
		t.Error("a warning is no error")
	}
	if !plan.HasErrors([]plan.Problem{{Severity: plan.SeverityWarning}, {Severity: plan.SeverityError}}) {
		t.Error("an error behind a warning was not seen")
	}
}
