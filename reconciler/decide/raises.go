package decide

import (
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// after reports whether position a lies behind b on the way, that is whether
// going from b to a is forward. A stop that is not on the itinerary lies after
// every one that is.
func after(it plan.Itinerary, a, b plan.Position) bool { return place(it, a) > place(it, b) }

// place is the index of a stop; none is before the first, and a stop that is
// not on the itinerary is after the last.
func place(it plan.Itinerary, p plan.Position) int {
	if p.IsZero() {
		return -1
	}
	if i := it.Index(p); i >= 0 {
		return i
	}
	return len(it)
}

// standing lists the raises that were not lowered since, oldest first. Its
// last is the raise by which the head's position is declared. Of a raise over
// several stops that was lowered by some of them the rest stands: To is then
// where it was lowered to.
func standing(changes []Change, it plan.Itinerary) []Change {
	var up []Change
	for _, c := range changes {
		switch {
		case c.Raise:
			up = append(up, c)
		case c.Lower:
			for len(up) > 0 && !after(it, c.To, up[len(up)-1].From) {
				up = up[:len(up)-1]
			}
			if n := len(up); n > 0 && after(it, up[n-1].To, c.To) {
				up[n-1].To = c.To
			}
		}
	}
	return up
}

// RaiseAt is the raise by which the newest of the changes declares its position:
// the one that approvals are for. ok is false where none stands.
func RaiseAt(it plan.Itinerary, changes []Change) (c Change, ok bool) {
	up := standing(changes, it)
	if len(up) == 0 {
		return Change{}, false
	}
	return up[len(up)-1], true
}

// returned puts a commit that removes the plan, or puts it back, in terms of
// the position that was declared before. Neither moves it: what the plan
// declared counts on while it is gone. A plan that is put back further on than
// it was is raised by a commit that cannot be reverted.
func returned(it plan.Itinerary, before []Change, c Change) Change {
	if c.To.IsZero() {
		c.Raise, c.Lower, c.Content, c.Live = false, false, false, false
		return c
	}
	if !c.From.IsZero() {
		return c
	}
	for _, b := range slices.Backward(before) {
		if b.To.IsZero() {
			continue
		}
		if !after(it, c.To, b.To) {
			c.From, c.Raise, c.Content, c.Live = b.To, false, false, false
			c.Lower = after(it, b.To, c.To)
		}
		break
	}
	return c
}

// reverted reports whether a later change undid the commit.
func reverted(changes []Change, commit plan.Revision) bool {
	undone := false
	for _, c := range changes {
		if c.RollbackOf == commit || c.Reverts == commit {
			undone = true
		}
		// A revert of the revert brings it back, as a commit of its own:
		// what is judged then is that commit.
	}
	return undone
}

// heldBy returns the hold that keeps the head from being applied: on the raise
// that declares its position, or on content that was not reverted.
func (r *Record) heldBy(it plan.Itinerary) (HoldOf, bool) {
	up := standing(r.Changes, it)
	for _, h := range r.Holds {
		if len(up) > 0 && up[len(up)-1].Commit == h.Commit {
			return h, true
		}
		i := r.change(h.Commit)
		if i >= 0 && r.Changes[i].Content && !reverted(r.Changes, h.Commit) {
			return h, true
		}
	}
	return HoldOf{}, false
}

// change is the index in Changes of a commit, or -1.
func (r *Record) change(rev plan.Revision) int {
	return slices.IndexFunc(r.Changes, func(c Change) bool { return c.Commit == rev })
}

// Held lists the commits on hold, in the order in which they were held.
func (r *Record) Held() []plan.Revision {
	out := make([]plan.Revision, 0, len(r.Holds))
	for _, h := range r.Holds {
		out = append(out, h.Commit)
	}
	return out
}

// undo is a set of commits to revert and where that leads.
type undo struct {
	commits  []plan.Revision // newest first
	target   plan.Position
	revision plan.Revision // the version whose content stands then
}

// undoSet is what a breach at the effective stop undoes: the changes after
// good that were not undone yet, the raises not reached yet, and where none of
// these was applied, the raise that reached the stop. A depth of phase or plan
// takes more raises. It is empty where no commit can be reverted: the one that
// added the plan never is, nor is the daemon's own revert.
func (r *Record) undoSet(it plan.Itinerary, depth plan.Depth) undo {
	eff := r.Applied.Stop
	good := -1
	if r.Good != nil {
		good = r.change(r.Good.Revision)
	}
	// A good revision that is not on the branch any more, as it was rewritten
	// or is too long ago, does not tell what came after it.
	lost := r.Good != nil && good < 0
	applied := r.change(r.Applied.Revision)
	up := standing(r.Changes, it)
	take := map[plan.Revision]bool{}
	suspect := false
	for i, c := range r.Changes {
		if !revertible(c) || reverted(r.Changes, c.Commit) {
			continue
		}
		at := slices.IndexFunc(up, func(u Change) bool { return u.Commit == c.Commit })
		unreached := at >= 0 && after(it, up[at].To, eff)
		fresh := !lost && i > good && (c.Content || at >= 0)
		if !unreached && !fresh {
			continue
		}
		take[c.Commit] = true
		reachedByIt := c.Raise && after(it, eff, c.From)
		if i <= applied && (reachedByIt || fresh && c.Content) {
			suspect = true
		}
	}
	if u, ok := reached(up, it, eff); ok && !suspect && revertible(u) {
		take[u.Commit] = true
	}
	for _, c := range up {
		if revertible(c) && r.inDepth(it, c, depth) {
			take[c.Commit] = true
		}
	}
	return r.undoOf(it, take)
}

// inDepth reports whether a deep rollback takes the raise: `phase` those since
// the effective stop's phase was entered, `plan` all.
func (r *Record) inDepth(it plan.Itinerary, c Change, depth plan.Depth) bool {
	switch depth {
	case plan.DepthPlan:
		return true
	case plan.DepthPhase:
		first := slices.IndexFunc(it, func(p plan.Position) bool { return p.Phase == r.Applied.Stop.Phase })
		return first >= 0 && place(it, c.To) >= first
	default:
		return false
	}
}

// revertible reports whether the daemon may revert the commit. It changed
// position or content, it is no revert of the daemon's own, and it did not add
// the plan.
func revertible(c Change) bool {
	return (c.Raise || c.Content) && c.RollbackOf == "" && !c.From.IsZero()
}

// reached is the raise by which a stop was reached: the newest that leads from
// before it to it or beyond.
func reached(up []Change, it plan.Itinerary, stop plan.Position) (Change, bool) {
	for _, c := range slices.Backward(up) {
		if after(it, stop, c.From) && !after(it, stop, c.To) {
			return c, true
		}
	}
	return Change{}, false
}

// undoOf orders the commits and says where undoing them leads.
func (r *Record) undoOf(it plan.Itinerary, take map[plan.Revision]bool) undo {
	u := undo{target: r.Applied.Stop, revision: r.Applied.Revision}
	good := -1
	if r.Good != nil {
		good = r.change(r.Good.Revision)
	}
	applied := r.change(r.Applied.Revision)
	raised := false
	for i, c := range slices.Backward(r.Changes) {
		if !take[c.Commit] {
			continue
		}
		u.commits = append(u.commits, c.Commit)
		// A raise that was lowered since, and is undone for its content alone,
		// may begin after a later one does.
		if c.Raise && (!raised || after(it, u.target, c.From)) {
			u.target, raised = c.From, true
		}
		if !c.Content || i > applied {
			continue
		}
		switch {
		case i > good && good >= 0:
			u.revision = r.Good.Revision
		case i > 0:
			// The plan at the change before is the plan at the parent.
			u.revision = r.Changes[i-1].Commit
		default:
			u.revision = c.Parent
		}
	}
	return u
}

// matches reports whether rev is named by a full or abbreviated object name of
// at least seven digits.
func matches(rev, name plan.Revision) bool {
	return len(name) >= 7 && strings.HasPrefix(string(rev), string(name))
}
