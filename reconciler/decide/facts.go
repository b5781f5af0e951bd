package decide

import (
	"fmt"
	"slices"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// Facts is what gates of a wanted version know beside signals, objects and other
// plans: the caller reads these and adds them.
func (in Input) Facts(w Want) gates.Facts {
	s := &state{Input: in}
	f := gates.Facts{Health: gates.Health{
		Cluster: !in.Observed.Cluster.Known || in.Observed.Cluster.Healthy,
		Gateway: !in.Observed.Gateway.Known || in.Observed.Gateway.Healthy,
	}}
	if !in.Head.IsZero() {
		f.Declared = in.Head.Plan.Spec.Position
		f.Approvals = s.approved(w.Request)
		f.Commit = s.commit()
	}
	if !w.Version.IsZero() {
		f.Baselines = in.Record.Remembered(w.Version.Plan)
	}
	if a := in.Record.Applied; a != nil {
		f.Position, f.StopSince, f.PhaseSince = a.Stop, a.Since, a.PhaseSince
	}
	return f
}

// approved counts by role who approved the stop that gates are about: enter gates
// are about their own, which at a change of content is the effective one, and all
// others about the stop that is entered next.
func (s *state) approved(r gates.Request) gates.Approvals {
	if len(s.Head.Plan.Spec.Roles) == 0 {
		return gates.Approvals{}
	}
	if s.Unread != "" {
		return gates.Approvals{Unknown: s.Unread}
	}
	stop := r.Stop
	if !slices.Contains(r.Effects, plan.Enter) {
		var more bool
		if stop, more = s.itinerary().Next(s.effective()); !more {
			return gates.Approvals{Unknown: fmt.Sprintf("no stop comes after %s", s.effective())}
		}
	}
	if _, ok := RaiseAt(s.itinerary(), s.Record.Changes); !ok {
		return gates.Approvals{Unknown: "it is not known which commit declares the position"}
	}
	c := s.consent(stop)
	by := make(map[string]int, len(s.Head.Plan.Spec.Roles))
	for role := range s.Head.Plan.Spec.Roles {
		by[role] = len(c.given[role])
	}
	return gates.Approvals{By: by}
}

// commit is what the next forward move would carry out: content goes before a
// raise, so it is the newest change of the content while that is not applied, else
// the raise by which the position is declared, as long as it is declared. It is
// not simply the newest commit: whoever mends a description on top of a raise does
// not answer for the raise.
func (s *state) commit() gates.Commit {
	changes := s.Record.Changes
	if i := s.Record.change(s.Head.Revision); i >= 0 {
		changes = changes[:i+1] // those after it are not valid
	}
	c, ok := RaiseAt(s.itinerary(), changes)
	if a := s.Record.Applied; a != nil && a.Content != s.Head.Content {
		for _, newer := range slices.Backward(changes) {
			if newer.Content {
				c, ok = newer, true
				break
			}
		}
	}
	if !ok {
		return gates.Commit{}
	}
	return gates.Commit{Revision: c.Commit, Author: c.Author, Time: c.At}
}

// Stand is how a plan stands, for the gates of others, by what was known of it and
// what was decided then: where it is, or is going back to. State is left to the
// caller. It is unknown where the plan never was valid, or is gone from the branch
// with nothing left that was applied.
func Stand(in Input, d Decision) gates.PlanState {
	switch {
	case in.Head.IsZero() && in.Git.Invalid != "":
		return gates.PlanState{Unknown: "no version of it was ever valid"}
	case in.Head.IsZero() || in.Git.Gone && in.Record.Applied == nil:
		return gates.PlanState{Unknown: "there is no such plan"}
	}
	o := standsAt(Member{Input: in}, &d)
	return gates.PlanState{Position: o.At, Declared: in.Head.Plan.Spec.Position, Complete: o.Complete}
}
