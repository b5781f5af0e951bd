package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// laws are what the design promises, as the world sees it kept: its memory is not
// the daemon's.
type laws struct {
	// at is the stop that callers last got, and since when they first did.
	at    int
	since time.Time
	// undone are commits that the daemon has decided to take back.
	undone map[plan.Revision]bool
	// history is what happened, and broken which laws were.
	history, broken []string
}

func (w *World) tell(format string, args ...any) {
	w.history = append(w.history, w.now.Format("02 15:04 ")+fmt.Sprintf(format, args...))
}

func (w *World) breaks(law int, format string, args ...any) {
	text := fmt.Sprintf("law %d: ", law) + fmt.Sprintf(format, args...)
	w.broken = append(w.broken, text)
	w.tell("!! %s", text)
}

// decides looks at a record that is about to be saved.
func (w *World) decides(d *daemon, rec decide.Record) {
	was := d.saved
	d.saved = rec
	if rec.Pending != nil && was.Pending == nil {
		w.tell("  to be reverted: %v, to %s", rec.Pending.Undo, rec.Pending.Target)
	}
	for _, h := range rec.Holds {
		w.takesBack(h.Commit)
	}
	if rec.Pending != nil {
		for _, c := range rec.Pending.Undo {
			w.takesBack(c)
		}
	}
	m := rec.Move
	if m == nil || was.Move != nil && was.Move.Started.Equal(m.Started) && was.Move.To == m.To {
		return
	}
	d.faulted = false
	v, known := d.known()
	from, to := index(m.From), index(m.To)
	switch m.Verb {
	case decide.Advance:
		if to > from+1 && !m.From.IsZero() {
			w.breaks(2, "it goes from %s to %s at once", m.From, m.To)
		}
		if m.From.Phase == "gradual" && !(known && v < 0.01) {
			w.breaks(2, "it leaves %s while errors are %v, known %t", m.From, v, known)
		}
	case decide.Rollback:
		if rec.Pending != nil && rec.Pending.Reason == decide.Breach && !(known && v > 0.03) {
			w.breaks(3, "it rolls back from %s while errors are %v, known %t", m.From, v, known)
		}
	}
}

func (w *World) takesBack(commit plan.Revision) {
	if w.undone == nil {
		w.undone = map[plan.Revision]bool{}
	}
	w.undone[commit] = true
}

// moves looks at traffic that is about to move.
func (w *World) moves(d *daemon, m reconciler.Mark) {
	from, to := w.served(), index(m.Stop)
	if from < 0 || to <= from {
		return
	}
	if to > from+1 {
		w.breaks(2, "callers go from %s to %s at once", itinerary[from], m.Stop)
	}
	head := w.plan(d.read)
	if head != nil && to > index(head.Spec.Position) {
		w.breaks(1, "callers go to %s, the branch declares %s", m.Stop, head.Spec.Position)
	}
	if b := itinerary[from]; b.Phase == "gradual" && w.at == from && w.now.Sub(w.since) < bake {
		w.breaks(11, "callers leave %s after %s, its bake is %s", b, w.now.Sub(w.since), bake)
	}
	w.held(plumbing.NewHash(string(m.Revision)), m.Stop)
}

// held: what was rolled back is applied again only where a later commit on the
// branch raises anew, or lifts the hold.
func (w *World) held(revision plumbing.Hash, stop plan.Position) {
	log := w.host.log(revision)
	for i, l := range log {
		if l.daemon {
			return // taken back, and nothing was raised since
		}
		if l.unhold != "" || w.raises(log, i) && !w.undone[plan.Revision(l.hash.String())] {
			return
		}
		if w.undone[plan.Revision(l.hash.String())] && w.raises(log, i) {
			w.breaks(6, "callers go to %s by %s, which was rolled back", stop, l.hash.String()[:8])
			return
		}
	}
}

func (w *World) raises(log []logged, i int) bool {
	if i+1 >= len(log) {
		return false
	}
	now, was := w.plan(log[i].hash), w.plan(log[i+1].hash)
	return now != nil && was != nil && index(now.Spec.Position) > index(was.Spec.Position)
}

// arrived notes what callers get now.
func (w *World) arrived(m reconciler.Mark) {
	if s := w.served(); s != w.at || w.since.IsZero() {
		w.at, w.since = s, w.now
		w.tell("  callers get %s", m.Stop)
	}
}

// pushes looks at a revert that is about to be pushed.
func (w *World) pushes(d *daemon, u reconciler.Undo) {
	if w.served() > index(u.Target) && !d.faulted {
		w.breaks(5, "it pushes the revert to %s while callers get %s", u.Target, itinerary[w.served()])
	}
	for _, l := range w.host.log(w.host.head()) {
		if l.daemon && slices.Contains(u.Commits, plan.Revision(l.hash.String())) {
			w.breaks(6, "it reverts its own revert %s", l.hash)
		}
	}
}

// contracts looks at what is about to be taken away in the cluster.
func (w *World) contracts(d reconciler.Desired) {
	if s := w.served(); s >= 0 && itinerary[s] != d.Mark.Stop {
		w.breaks(5, "the cluster is contracted for %s while callers get %s", d.Mark.Stop, itinerary[s])
	}
	if w.down[partRender] {
		w.breaks(10, "the cluster is contracted while nothing can be rendered")
	}
}

// after looks at the world after each event.
func (w *World) after() {
	seen := map[string]bool{}
	for _, l := range w.host.log(w.host.head()) {
		if l.rollbackOf != "" && seen[l.rollbackOf] {
			w.breaks(6, "%s was reverted twice", l.rollbackOf)
		}
		seen[l.rollbackOf] = true
		if l.daemon && l.rollbackOf != "" && !w.undone[plan.Revision(l.rollbackOf)] {
			w.breaks(6, "it reverts %s, and had not decided to", l.rollbackOf)
		}
	}
	st, ok := w.status()
	if ok && st.Move == nil && st.Halt == nil && !st.Effective.IsZero() && index(st.Effective) != w.at {
		w.breaks(8, "it reports %s, and callers last got %s", st.Effective, itinerary[w.at])
	}
}
