package gates

import (
	"fmt"

	"github.com/changeover-dev/changeover/plan"
)

// Check compiles every gate and parses every query of a document and returns
// all that is wrong, each at the character where it is, sorted. The plan of
// the document may be incomplete. What plan.Decode reports itself, a field
// that is missing, empty or no text, is not reported again.
func Check(doc *plan.Document) []plan.Problem {
	_, faults, err := build(doc.Plan, Options{})
	if err != nil {
		return []plan.Problem{doc.Problem("spec", 0, "gate-environment", fmt.Sprintf("check gates: %v", err), "")}
	}
	var ps []plan.Problem
	for _, f := range faults {
		if !f.empty {
			ps = append(ps, doc.Problem(f.path, f.offset, f.code, f.message, f.hint))
		}
	}
	plan.Sort(ps)
	return ps
}
