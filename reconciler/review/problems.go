package review

import (
	"fmt"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// ProblemsMarkdown is a table of the problems that were found in some plans, for
// the summary of a CI job. It is escaped and bounded as Markdown is.
func ProblemsMarkdown(plans int, ps []plan.Problem) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### Changeover: %s checked, %s\n", count(plans, "plan"), tally(ps))
	if len(ps) == 0 {
		return b.String()
	}
	b.WriteString("\n| | Code | Place | Message | What to do |\n|---|---|---|---|---|\n")
	for i, p := range ps {
		line := fmt.Sprintf("| %s | %s | %s | %s | %s |\n", severity(p), code(p.Code), code(placeOf(p)), prose(p.Message), prose(p.Hint))
		if b.Len()+len(line) > MaxMarkdown-200 {
			fmt.Fprintf(&b, "\n%s more did not fit into this summary: `changeover validate` prints all.\n", count(len(ps)-i, "problem"))
			break
		}
		b.WriteString(line)
	}
	return b.String()
}

func severity(p plan.Problem) string {
	if p.Severity == plan.SeverityWarning {
		return "warning"
	}
	return "**error**"
}

func placeOf(p plan.Problem) string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

func tally(ps []plan.Problem) string {
	warnings := 0
	for _, p := range ps {
		if p.Severity == plan.SeverityWarning {
			warnings++
		}
	}
	switch errors := len(ps) - warnings; {
	case len(ps) == 0:
		return "no problems"
	case warnings == 0:
		return count(errors, "error")
	case errors == 0:
		return count(warnings, "warning")
	default:
		return count(errors, "error") + ", " + count(warnings, "warning")
	}
}
