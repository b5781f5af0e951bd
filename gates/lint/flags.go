package lint

import (
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// flags finds those that have expired, or do so soon, and those that nobody ever
// has on modern.
func flags(p *plan.Plan, now time.Time) (found []finding) {
	on := map[string]bool{}
	why := map[string]plan.FlagState{}
	for _, stop := range p.Itinerary() {
		for _, s := range p.FlagsAt(stop, time.Time{}) { // before any has expired
			on[s.Flag.Name] = on[s.Flag.Name] || s.Off == ""
			why[s.Flag.Name] = s // at the last stop
		}
	}
	for i := range p.Spec.Flags {
		f := &p.Spec.Flags[i]
		path := fmt.Sprintf("spec.flags[%d]", i)
		if s := why[f.Name]; !on[f.Name] && s.Off != plan.FlagKilled {
			found = append(found, finding{code: FlagNeverOn, path: path + ".name", message: fmt.Sprintf("nobody has flag %q at any stop%s", f.Name, because(s)),
				hint: "give it a percent, a rule to modern, or a phase that says how many have it; or remove it"})
		}
		if end := f.ExpiresAt.Time; !now.IsZero() && !end.IsZero() && now.After(end.Add(-ahead)) {
			word := "expires"
			if !now.Before(end) {
				word = "has expired"
			}
			hint := "remove the flag from the applications and from here, or give it another date"
			if f.Owner != "" {
				hint = f.Owner + " answers for it: " + hint
			}
			found = append(found, finding{code: FlagExpires, path: path + ".expiresAt", message: fmt.Sprintf("flag %q %s on %s: everybody is on legacy then", f.Name, word, end.Format(time.RFC3339)), hint: hint})
		}
	}
	return found
}

func because(s plan.FlagState) string {
	if s.Off == plan.FlagPrerequisite || s.Off == plan.FlagConflict {
		return ", as " + s.Off.Says(s.By)
	}
	return "" // the hint says it all
}
