package decide

import (
	"slices"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Rebuild makes a record from what Git and the data plane know, when the
// daemon's own is lost.
func Rebuild(it plan.Itinerary, v plan.Version, stop plan.Position, since time.Time, holds []plan.Revision, head plan.Revision, changes []Change) Record {
	r := Record{Seen: head, Changes: slices.Clone(changes)}
	r.Applied = &Applied{
		Revision: v.Revision, Content: v.Content, Live: v.Live, Stop: stop, Since: since, ContentSince: since, PhaseSince: since,
	}
	up := standing(changes, it)
	if c, ok := reached(up, it, stop); ok && !c.From.IsZero() {
		i := r.change(c.Commit)
		if i > 0 {
			r.Good = &Good{Revision: changes[i-1].Commit, Stop: c.From}
		}
	}
	for _, h := range holds {
		if r.change(h) >= 0 {
			r.Holds = append(r.Holds, HoldOf{Commit: h, At: since})
		}
	}
	r.Applied.Backward = len(r.Holds) > 0 || lowered(changes)
	r.owe(it, up, since)
	r.trim()
	return r
}

// lowered reports whether the newest change of the declared position was
// backward: then the stop was entered so, and old evidence does not count at it.
func lowered(changes []Change) bool {
	for _, c := range slices.Backward(changes) {
		if c.Raise || c.Lower {
			return c.Lower
		}
	}
	return false
}

// owe finds what a lost record had to revert: what is held and still stands on
// the branch.
func (r *Record) owe(it plan.Itinerary, up []Change, at time.Time) {
	take := map[plan.Revision]bool{}
	from := r.Applied.Stop
	for _, h := range r.Holds {
		c := r.Changes[r.change(h.Commit)]
		stands := slices.ContainsFunc(up, func(u Change) bool { return u.Commit == c.Commit })
		if !revertible(c) || reverted(r.Changes, c.Commit) || !stands && !c.Content {
			continue
		}
		take[c.Commit] = true
		if stands {
			from = up[len(up)-1].To
		}
	}
	if u := r.undoOf(it, take); len(u.commits) > 0 {
		r.Pending = &Pending{
			Undo: u.commits, From: from, Target: u.target, Reason: Breach, At: at,
			Message: "rolled back before the daemon's record was lost",
		}
	}
}
