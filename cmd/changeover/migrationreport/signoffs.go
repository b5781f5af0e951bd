package migrationreport

import (
	"fmt"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/reconciler/decide"
)

// signOffs are all approvals and ticks in the order of the way, and what a stop
// that was declared lacks. The daily report has those of the stop that is
// entered next, and of those behind it.
func signOffs(in Input) []SignOff {
	p := in.Head.Plan
	out := []SignOff{}
	next, _ := p.Itinerary().Next(p.Spec.Position)
	for _, stop := range p.Itinerary() {
		ph := p.Phase(stop.Phase)
		if ph == nil {
			continue
		}
		given, ticked := map[string][]string{}, map[string]bool{}
		for _, a := range in.Approvals {
			if a.Stop != stop {
				continue
			}
			s := SignOff{Stop: stop, Role: a.Role, Item: a.Item, By: a.Author, At: a.At.UTC(), Commit: a.Commit, Note: a.Note, Why: refused(in, a)}
			if s.Why == "" && a.Item != "" {
				ticked[a.Item] = true
			} else if s.Why == "" && !slices.ContainsFunc(given[a.Role], func(by string) bool { return strings.EqualFold(by, a.Author) }) {
				given[a.Role] = append(given[a.Role], a.Author)
			}
			if in.Final || a.At.After(in.Since) {
				out = append(out, s)
			}
		}
		if !in.Final && stop != p.Spec.Position && stop != next {
			continue
		}
		for _, rule := range ph.Approvals {
			for range rule.Needed() - len(given[rule.Role]) {
				out = append(out, SignOff{Stop: stop, Role: rule.Role})
			}
		}
		for _, item := range ph.Checklist {
			if !ticked[item] {
				out = append(out, SignOff{Stop: stop, Item: item})
			}
		}
	}
	return out
}

// refused says why an approval does not count, as the daemon judges it by the
// raise that it names.
func refused(in Input, a decide.Approval) string {
	for _, c := range in.Changes {
		if !c.Raise || a.Raise == "" || !strings.HasPrefix(string(c.Commit), string(a.Raise)) {
			continue
		}
		for _, back := range in.Changes {
			if back.RollbackOf == c.Commit {
				c.RolledBackAt = back.At
			}
		}
		return decide.Refused(in.Head, c, a)
	}
	return fmt.Sprintf("no raise %s is on the branch", a.Raise.Short())
}

func (s SignOff) what() string {
	if s.Item != "" {
		return fmt.Sprintf("%q is not ticked", s.Item)
	}
	return "approval by " + s.Role
}
