package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/gates/lint"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/review"
)

// validateReport is what `validate -o json` prints.
type validateReport struct {
	Plans    int            `json:"plans"`
	Problems []plan.Problem `json:"problems"`
}

func (a *app) validateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate [PATH...]",
		Short: "Check plans: syntax, fields, gates and queries",
		Long: `Check every MigrationPlan in the files and folders named (default: this folder).

Folders are searched for *.yaml and *.yml files; those that are not plans are ignored, and folders whose
name begins with a dot are left out. "-" is standard input. All problems are reported at once.

Plans without errors are also looked at for what is valid and still wrong: gates that contradict each other
or can never be true, samples that prove nothing, phases that nothing would roll back, and, where folders are
checked, plans that a gate reads and no file has. Such warnings stop nothing: the daemon takes the plan, and the
exit code is 0 unless --strict is given. A comment "# changeover:ignore CODE REASON" drops one, at its line, above
it, or above everything for the whole file.`,
		Example: `  changeover validate
  changeover validate --strict plans/shop.yaml
  changeover validate --codes
  changeover validate -o github plans/
  changeover validate -o markdown plans/ >> "$GITHUB_STEP_SUMMARY"
  git show HEAD:plans/shop.yaml | changeover validate -`,
	}
	out := addOutput(cmd, formatText, formatJSON, formatYAML, formatMarkdown, formatGitHub)
	strict := cmd.Flags().Bool("strict", false, "end with 1 for warnings too")
	codes := cmd.Flags().Bool("codes", false, "list the codes of the warnings and do nothing else")
	cmd.RunE = a.does(func(_ context.Context, args []string) error {
		if *codes {
			if len(args) > 0 || *strict {
				return usageError("--codes looks at no plan: give it alone")
			}
			if out.value == formatMarkdown || out.value == formatGitHub {
				return usageError("--codes is printed as text, json or yaml")
			}
			return a.listCodes(out)
		}
		if len(args) == 0 {
			args = []string{"."}
		}
		f := a.readPlans(args)
		f.lint(a.now())
		// Where nothing could be read there is nothing to sum up.
		if len(f.docs) > 0 || len(f.problems) > 0 || out.value != formatText {
			if err := a.reportValidation(f, out); err != nil {
				return err
			}
		}
		for _, err := range f.failed {
			a.note("changeover: %s", printableLines(err.Error()))
		}
		switch {
		case len(f.failed) > 0:
			return &exitError{code: exitFailed}
		case plan.HasErrors(f.problems), *strict && len(f.problems) > 0:
			return errFindings
		}
		return nil
	})
	return cmd
}

// lint adds the warnings of the plans that have no errors: those of a plan that
// was read by halves would be about what is missing.
func (f *planFiles) lint(now time.Time) {
	var known []plan.Key
	if f.folders {
		known = f.keys()
	}
	for _, d := range f.docs {
		if !plan.HasErrors(f.of(d.File)) {
			f.problems = append(f.problems, lint.CheckAt(d, known, now)...)
		}
	}
	plan.Sort(f.problems)
}

// listCodes prints what warnings there are.
func (a *app) listCodes(out *outputFlag) error {
	if out.structured() {
		return out.write(a.stdout, lint.Codes())
	}
	for _, c := range lint.Codes() {
		a.printf("%-20s %s\n", c.Code, c.Meaning)
	}
	return nil
}

func (a *app) reportValidation(f planFiles, out *outputFlag) error {
	switch out.value {
	case formatMarkdown:
		a.printf("%s", review.ProblemsMarkdown(len(f.docs), f.problems))
		return nil
	case formatGitHub:
		a.printf("%s", annotations(f.problems, a.getenv("GITHUB_WORKSPACE")))
		return nil
	}
	if out.structured() {
		r := validateReport{Plans: len(f.docs), Problems: f.problems}
		if r.Problems == nil {
			r.Problems = []plan.Problem{}
		}
		return out.write(a.stdout, r)
	}
	for _, p := range f.problems {
		a.printf("%s", a.renderProblem(p))
	}
	errors, warnings := 0, 0
	for _, p := range f.problems {
		if p.Severity == plan.SeverityWarning {
			warnings++
		} else {
			errors++
		}
	}
	summary := count(len(f.docs), "plan") + " checked: "
	switch {
	case errors == 0 && warnings == 0:
		summary += a.paint(green, "no problems")
	case warnings == 0:
		summary += a.paint(red, count(errors, "error"))
	case errors == 0:
		summary += a.paint(yellow, count(warnings, "warning"))
	default:
		summary += a.paint(red, count(errors, "error")) + ", " + a.paint(yellow, count(warnings, "warning"))
	}
	a.printf("%s\n", summary)
	return nil
}

// renderProblem is the problem with its source line and caret; the first line
// is bold where colour is wanted.
func (a *app) renderProblem(p plan.Problem) string {
	head, rest, _ := strings.Cut(printableLines(p.Render()), "\n")
	return a.paint(bold, head) + "\n" + rest
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
