package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Approval is one approval as it stands on the branch.
type Approval struct {
	File string `json:"file"`
	// Commit brought the file as it is, and Author is the e-mail address of
	// its author, in lower case.
	Commit plan.Revision `json:"commit"`
	Author string        `json:"author"`
	At     time.Time     `json:"at"`
	// Stop may be entered, by the raise of that commit, says Role. With an
	// Item it ticks that item of the stop's checklist and nothing else.
	Stop  plan.Position `json:"stop"`
	Raise plan.Revision `json:"raise"`
	Role  string        `json:"role"`
	Item  string        `json:"item,omitempty"`
	By    string        `json:"by,omitempty"`
	Note  string        `json:"note,omitempty"`
}

// consent is what the approvals on the branch say about one stop.
type consent struct {
	given  map[string][]string // authors who approved, by role
	ticked map[string]bool     // items
	// refused says why approvals of this stop do not count.
	refused []string
}

// consent counts the approvals of a stop by the raise that declares the head's
// position. One counts where its author is a signer of its role and did not
// make the raise. Each person counts once for a role.
func (s *state) consent(stop plan.Position) consent {
	c := consent{given: map[string][]string{}, ticked: map[string]bool{}}
	raise, ok := RaiseAt(s.itinerary(), s.Record.Changes)
	if !ok {
		return c
	}
	for _, a := range s.Approvals {
		if a.Stop != stop {
			continue
		}
		if why := s.refuses(raise, a); why != "" {
			c.refused = append(c.refused, a.File+" does not count: "+why)
			continue
		}
		switch {
		case a.Item != "":
			c.ticked[a.Item] = true
		case !slices.ContainsFunc(c.given[a.Role], func(by string) bool { return strings.EqualFold(by, a.Author) }):
			c.given[a.Role] = append(c.given[a.Role], a.Author)
		}
	}
	return c
}

// refuses says why an approval does not count; empty where it does.
func (s *state) refuses(raise Change, a Approval) string {
	role, ok := s.Head.Plan.Spec.Roles[a.Role]
	signs := slices.ContainsFunc(role.Signers, func(m string) bool { return strings.EqualFold(m, a.Author) })
	switch {
	case !matches(raise.Commit, a.Raise):
		return fmt.Sprintf("it is for the raise %s, not for %s", a.Raise.Short(), raise.Commit.Short())
	case a.At.Before(raise.RolledBackAt):
		return "the raise was rolled back after it was given"
	case !ok:
		return fmt.Sprintf("the plan has no role %q", a.Role)
	case !signs:
		return fmt.Sprintf("%s is no signer of the role %s", a.Author, a.Role)
	case raise.Author == "":
		return "it is not known who made the raise"
	case strings.EqualFold(raise.Author, a.Author):
		return fmt.Sprintf("%s made the raise and cannot approve it", a.Author)
	}
	return ""
}

// Ticked are the items of the stop's checklist that approvals tick, by the raise
// that declares the head's position: those that count as a daemon counts them.
func Ticked(head plan.Version, changes []Change, approvals []Approval, stop plan.Position) map[string]bool {
	s := &state{Input: Input{Head: head, Approvals: approvals, Record: Record{Changes: changes}}}
	return s.consent(stop).ticked
}

// approvals blocks for every role that has not approved the stop yet, and for
// every item of its checklist that is not ticked.
func (s *state) approvals(b *blockers, stop plan.Position) {
	ph := s.Head.Plan.Phase(stop.Phase)
	if ph == nil || len(ph.Approvals)+len(ph.Checklist) == 0 {
		return
	}
	c := s.consent(stop)
	raise, _ := RaiseAt(s.itinerary(), s.Record.Changes)
	why := ""
	if len(c.refused) > 0 {
		why = " (" + strings.Join(c.refused, "; ") + ")"
	}
	for _, rule := range ph.Approvals {
		if n := len(c.given[rule.Role]); n < rule.Needed() {
			b.add(ApprovalMissing, time.Time{}, "%s needs %d approvals by %s for the raise %s and has %d%s", stop, rule.Needed(), rule.Role, raise.Commit.Short(), n, why)
			why = "" // once is enough
		}
	}
	for _, item := range ph.Checklist {
		if !c.ticked[item] {
			b.add(ChecklistOpen, time.Time{}, "the checklist of %s is open: %q is not ticked%s", stop, item, why)
			why = ""
		}
	}
}
