package nginx

import (
	"errors"
	"fmt"

	"github.com/changeover-dev/changeover/plan"
)

// Check reports what nginx cannot do of a plan, at every stop, located in its
// file. It is silent for plans with another gateway, and about stops that
// validation refuses anyway.
func Check(doc *plan.Document) []plan.Problem {
	p := doc.Plan
	if p.Spec.Gateway == nil || p.Spec.Gateway.NGINX == nil {
		return nil
	}
	var problems []plan.Problem
	seen := make(map[string]bool)
	for _, stop := range p.Itinerary() {
		_, err := Render(p, stop)
		var refusal *Refusal
		if !errors.As(err, &refusal) {
			continue
		}
		path := refusal.Path
		for i, phase := range p.Spec.Phases {
			if path == "" && phase.Name == stop.Phase {
				path = fmt.Sprintf("spec.phases[%d].routes[%d]", i, refusal.Rule)
			}
		}
		if !seen[path] {
			seen[path] = true
			problems = append(problems, doc.Problem(path, 0, "capability", "nginx: "+refusal.Err.Error(), "mend it, or use gateway: {bridge: {}}"))
		}
	}
	plan.Sort(problems)
	return problems
}
