package lint

import (
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// ahead is how long before a rule expires there is a warning.
const ahead = 30 * 24 * time.Hour

// expiring finds the rules of comparisons that apply no more, or not for long.
func expiring(p *plan.Plan, now time.Time) (found []finding) {
	if now.IsZero() {
		return nil
	}
	for i := range p.Spec.Phases {
		for j, r := range p.Spec.Phases[i].Routes {
			if r.Mirror == nil || r.Mirror.Compare == nil {
				continue
			}
			for k := range r.Mirror.Compare.Rules {
				path := fmt.Sprintf("spec.phases[%d].routes[%d].mirror.compare.rules[%d].expires", i, j, k)
				if f, ok := expires(&r.Mirror.Compare.Rules[k], now); ok {
					f.path = path
					found = append(found, f)
				}
			}
		}
	}
	return found
}

func expires(r *plan.CompareRule, now time.Time) (f finding, ok bool) {
	end, dated := r.Expires.End()
	f = finding{code: RuleExpires, hint: "renew the date, if the reason still holds; else mend what differs and remove the rule"}
	if r.Owner != "" {
		f.hint = fmt.Sprintf("%s answers for it: %s", r.Owner, f.hint)
	}
	switch {
	case !dated || now.Before(end.Add(-ahead)):
		return f, false
	case now.Before(end):
		f.message = fmt.Sprintf("the rule for %s applies until the end of %s: then what it excuses counts as a mismatch", r.Path, r.Expires)
	default:
		f.message = fmt.Sprintf("the rule for %s has expired on %s: what it excused counts as a mismatch", r.Path, r.Expires)
	}
	return f, true
}
