package decide

import (
	"errors"
	"fmt"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// Request answers a person who asks for a rollback: to the position before the
// raise that reached the effective stop where `to` is none, else to one from which a raise on the branch
// started, as only these can be reached by reverting commits.
func Request(in Input, to plan.Position, reason string) (Decision, error) {
	s := &state{Input: in}
	if s.Head.IsZero() || s.Record.Applied == nil {
		return Decision{}, errors.New("nothing was applied yet")
	}
	if s.Head.Plan.Spec.Suspend {
		return Decision{}, errors.New("the plan is suspended: set spec.suspend to false first")
	}
	it, eff := s.itinerary(), s.effective()
	up := standing(s.Record.Changes, it)
	var raises []Change
	for _, c := range up {
		if revertible(c) {
			raises = append(raises, c)
		}
	}
	if len(raises) == 0 {
		return Decision{}, errors.New("no commit on the branch raised the position: lower spec.position by a commit")
	}
	if to.IsZero() {
		c, ok := reached(up, it, eff)
		if !ok || !revertible(c) {
			return Decision{}, fmt.Errorf("no commit on the branch raised the position to %s: lower spec.position by a commit", eff)
		}
		to = c.From
	}
	if after(it, to, eff) {
		return Decision{}, fmt.Errorf("the plan is at %s, which is before %s", eff, to)
	}
	take := map[plan.Revision]bool{}
	found := false
	var from []string
	for _, c := range raises {
		from = append(from, c.From.String())
		if c.From == to {
			found = true
		}
		if found {
			take[c.Commit] = true
		}
	}
	if !found {
		return Decision{}, fmt.Errorf("no raise started from %s: choose one of %s, or lower spec.position by a commit", to, strings.Join(from, ", "))
	}
	u := s.Record.undoOf(it, take)
	return Decision{
		Verb: Rollback, Target: u.target, Revision: u.revision, Undo: u.commits, Reason: Requested,
		Message: "asked for by hand: " + reason,
	}, nil
}
