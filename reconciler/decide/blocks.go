package decide

import (
	"fmt"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Block is one thing that keeps a plan from going forward.
type Block struct {
	Reason Reason `json:"reason"`
	// Message is for people, and part of the decision's.
	Message string `json:"message"`
	// Until is when time alone may lift it; zero: never.
	Until time.Time `json:"until,omitzero"`
}

// blockers collects them in the order of the truth table.
type blockers []Block

func (b *blockers) add(r Reason, until time.Time, format string, args ...any) {
	*b = append(*b, Block{r, fmt.Sprintf(format, args...), until})
}

// decision holds with the reason of the first; its message names all.
func (b blockers) decision(s *state) Decision {
	d := s.hold(b[0].Reason, "")
	d.Blocks = b
	var all []string
	for _, x := range b {
		all = append(all, x.Message)
		if !x.Until.IsZero() && (d.RecheckAt.IsZero() || x.Until.Before(d.RecheckAt)) {
			d.RecheckAt = x.Until
		}
	}
	d.Message = strings.Join(all, "; ")
	return d
}

// explained fills in what the rows leave out: that a row which holds is itself
// what blocks, and the stop that comes next.
func (s *state) explained(d Decision) Decision {
	switch d.Reason {
	case Steady, Completed:
	default:
		if (d.Verb == Hold || d.Verb == Halt) && len(d.Blocks) == 0 {
			d.Blocks = []Block{{Reason: d.Reason, Message: d.Message, Until: d.RecheckAt}}
		}
	}
	d.Next = s.next(d)
	return d
}

// next is the stop that is entered next, if things go on as Git says now.
func (s *state) next(d Decision) plan.Position {
	switch {
	case d.Verb == Advance:
		return d.Target
	case d.Verb == Rollback, d.Verb == Retreat, s.Head.IsZero():
		return plan.Position{}
	}
	if d.Reason == Orphaned || d.Reason == Quarantined || d.Reason == OffItinerary {
		return plan.Position{} // only another commit tells
	}
	it := s.itinerary()
	if _, held := s.Record.heldBy(it); held || s.Record.Pending != nil {
		return plan.Position{}
	}
	if next, ok := it.Next(s.effective()); ok && s.ahead(next) {
		return next
	}
	return plan.Position{}
}
