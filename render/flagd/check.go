package flagd

import (
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Check finds the stops at which the flags of a plan cannot be rendered.
func Check(doc *plan.Document) []plan.Problem {
	if len(doc.Plan.Spec.Flags) == 0 {
		return nil
	}
	for _, stop := range doc.Plan.Itinerary() {
		if _, err := Compile(doc.Plan, stop, time.Time{}); err != nil {
			return []plan.Problem{doc.Problem("spec.flags", 0, "flags", err.Error(), "")} // the others are much the same
		}
	}
	return nil
}
