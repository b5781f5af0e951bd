package decide

import (
	"fmt"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Other is how a plan stands that this one depends on or conflicts with, or
// that conflicts with this one.
type Other struct {
	// Known is false where it could not be read: then nothing goes forward
	// that hangs on it, and nothing goes back for it.
	Known bool
	// At is where it is, or is going back to.
	At        plan.Position
	Itinerary plan.Itinerary
	// Complete: it is complete now. Completed: it was, and did not go back
	// since; it may have got another stop, or other content, that has yet to
	// prove itself.
	Complete, Completed bool
	// Past: it is past its first stop, or going there.
	Past bool
	// Conflicts: it names this plan among those it conflicts with.
	Conflicts bool
}

// reaches reports whether the other plan is at or past a phase.
func (o Other) reaches(phase string) bool {
	if phase == plan.PhaseComplete {
		return o.Complete
	}
	first := slices.IndexFunc(o.Itinerary, func(p plan.Position) bool { return p.Phase == phase })
	return first >= 0 && place(o.Itinerary, o.At) >= first
}

// fell reports whether the other plan is known to be below what is needed of
// it. One that was complete and has a stop more now did not fall.
func (o Other) fell(phase string) bool {
	if !o.Known || o.reaches(phase) {
		return false
	}
	if phase == plan.PhaseComplete {
		return !o.Completed && place(o.Itinerary, o.At) < len(o.Itinerary)-1
	}
	return slices.ContainsFunc(o.Itinerary, func(p plan.Position) bool { return p.Phase == phase })
}

// connected blocks the way out of the first stop while a plan that this one
// depends on is not far enough, or one that it conflicts with is past its own.
func (s *state) connected(b *blockers, next plan.Position) {
	if place(s.itinerary(), next) < 1 {
		return
	}
	p := s.Head.Plan
	for _, d := range p.Spec.DependsOn {
		key := p.Other(d.Plan)
		o, ok := s.Others[key]
		switch {
		case !ok:
			b.add(DependencyUnmet, time.Time{}, "it depends on %s, which is not on the branch", key)
		case !o.Known:
			b.add(DependencyUnmet, time.Time{}, "it depends on %s, of which nothing is known now", key)
		case !o.reaches(d.Phase):
			b.add(DependencyUnmet, time.Time{}, "it depends on %s at %s, which is at %s", key, d.Phase, o.At)
		}
	}
	for _, key := range s.rivals() {
		switch o := s.Others[key]; {
		case !o.Known:
			b.add(Conflict, time.Time{}, "it conflicts with %s, of which nothing is known now", key)
		case o.Past:
			b.add(Conflict, time.Time{}, "it conflicts with %s, which is past its first stop, at %s", key, o.At)
		}
	}
}

// rivals are the plans with which this one conflicts, whichever of the two says
// so, sorted.
func (s *state) rivals() []plan.Key {
	var keys []plan.Key
	for _, name := range s.Head.Plan.Spec.ConflictsWith {
		if key := s.Head.Plan.Other(name); s.has(key) {
			keys = append(keys, key)
		}
	}
	for key, o := range s.Others {
		if o.Conflicts {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, plan.CompareKeys)
	return slices.Compact(keys)
}

func (s *state) has(key plan.Key) bool { _, ok := s.Others[key]; return ok }

// dependencyLost takes the plan back to its first stop when one that it depends
// on fell below what it needs: every raise is undone. A plan that is on its way
// there already goes on.
func (s *state) dependencyLost() (Decision, bool) {
	why := s.lost()
	it := s.itinerary()
	if why == "" || s.Record.Applied == nil || len(it) == 0 {
		return Decision{}, false
	}
	if m := s.Record.Move; m != nil && backward(m) && !after(it, m.To, it[0]) {
		return Decision{}, false
	}
	if !after(it, s.furthest(it), it[0]) {
		return Decision{}, false
	}
	d := Decision{Verb: Rollback, Target: it[0], Revision: s.Record.Applied.Revision, Reason: DependencyLost, Message: why}
	take := map[plan.Revision]bool{}
	for _, c := range standing(s.Record.Changes, it) {
		take[c.Commit] = revertible(c)
	}
	if u := s.Record.undoOf(it, take); len(u.commits) > 0 && u.target == it[0] {
		d.Undo, d.Revision = u.commits, u.revision
		return d, true
	}
	d.Message += fmt.Sprintf("; no commits can be reverted that lead back to %s: lower spec.position by hand", it[0])
	return d, true
}

// lost says which dependency fell; empty where none did.
func (s *state) lost() string {
	p := s.Head.Plan
	for _, d := range p.Spec.DependsOn {
		key := p.Other(d.Plan)
		if o := s.Others[key]; o.fell(d.Phase) {
			return fmt.Sprintf("it depends on %s at %s, which went back to %s", key, d.Phase, o.At)
		}
	}
	return ""
}
