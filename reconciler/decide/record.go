package decide

import (
	"maps"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// maxChanges bounds the changes that a record keeps.
const maxChanges = 500

// The methods below return a new Record and leave the receiver as it was: a
// caller saves what they return before it acts on it.

// Clone copies the record so that nothing is shared.
func (r Record) Clone() Record {
	r.Changes = slices.Clone(r.Changes)
	r.Holds = slices.Clone(r.Holds)
	r.Rollbacks = slices.Clone(r.Rollbacks)
	r.Baselines = maps.Clone(r.Baselines)
	r.Applied, r.Good, r.Move = clone(r.Applied), clone(r.Good), clone(r.Move)
	r.Pending, r.Halt, r.Verify, r.Blind = clone(r.Pending), clone(r.Halt), clone(r.Verify), clone(r.Blind)
	r.Behind = clone(r.Behind)
	return r
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// See takes in the commits that were found on the branch since Seen, oldest
// first, on an itinerary. A person's commits lift holds and end halts.
func (r Record) See(it plan.Itinerary, head plan.Revision, found []Change, now time.Time) Record {
	r = r.Clone()
	r.Seen = head
	for _, c := range found {
		c = returned(it, r.Changes, c)
		r.Changes = append(r.Changes, c)
		if c.RollbackOf == "" {
			r.seePerson(it, c, now)
		}
		r.seeLanded(it, c)
	}
	r.trim()
	return r
}

// seePerson takes in a commit that the daemon did not author.
func (r *Record) seePerson(it plan.Itinerary, c Change, now time.Time) {
	if c.Unhold != "" {
		r.lift(now, func(h HoldOf) bool { return matches(h.Commit, c.Unhold) })
		if p := r.Pending; p != nil && !slices.ContainsFunc(r.Holds, func(h HoldOf) bool { return slices.Contains(p.Undo, h.Commit) }) {
			r.Pending = nil // who wants it applied does not want it reverted
		}
	}
	moved := c.Raise || c.Lower
	if h := r.Halt; h != nil && (c.Resume || moved && h.Reason != TooManyRollbacks) {
		if r.Halt.Reason == StateMismatch && r.Applied != nil {
			a := r.Applied
			r.Move = &Move{
				Verb: Apply, From: a.Stop, To: a.Stop, Revision: a.Revision, Content: a.Content, Live: a.Live,
				Step: StepExpand, Started: now,
			}
		}
		r.Halt = nil
		if r.Verify != nil && r.Verify.Failed {
			r.Verify = nil // a person has looked
		}
	}
	if c.Resume {
		r.Verify = nil // also where it could not be told whether it helped
	}
	if c.Lower {
		r.CompletedAt = time.Time{} // one that goes on to a stop that is new was complete all the same
	}
	switch {
	case c.Raise && (r.Pending == nil || r.Pending.Branch != ""):
		// A raise that was made while our revert was still on its way does
		// not know of it; one that was made later does.
		r.lift(now, func(HoldOf) bool { return true })
		r.Pending = nil
	case c.Lower:
		// Who lowers to a position after a rollback declares that position.
		r.lift(now, func(h HoldOf) bool {
			i := r.change(h.Commit)
			return i >= 0 && r.Changes[i].Raise && !r.Changes[i].Content && after(it, c.To, r.Changes[i].From)
		})
		if r.Pending != nil && !after(it, c.To, r.Pending.From) && c.To != r.Pending.Target {
			r.Pending = nil
		}
	}
}

// seeLanded clears the pending revert when the branch declares its target, or
// less, or carries every revert: someone merged it, made it by hand, or it had
// landed before a crash.
func (r *Record) seeLanded(it plan.Itinerary, c Change) {
	p := r.Pending
	if p == nil {
		return
	}
	if c.Lower && p.Target != p.From && !after(it, c.To, p.Target) {
		r.Pending = nil
		return
	}
	for _, u := range p.Undo {
		if !reverted(r.Changes, u) {
			return
		}
	}
	r.Pending = nil
}

func (r *Record) lift(now time.Time, match func(HoldOf) bool) {
	n := len(r.Holds)
	r.Holds = slices.DeleteFunc(r.Holds, match)
	if len(r.Holds) < n {
		r.LiftedAt = now
	}
}

// trim drops the oldest changes that nothing can need any more.
func (r *Record) trim() {
	if extra := len(r.Changes) - maxChanges; extra > 0 {
		r.Changes = slices.Delete(r.Changes, 0, extra)
	}
}

// Rewritten takes in that the branch no longer contains what was seen of it:
// the history is read anew, holds and what was applied stay, and the plan halts
// until a person acts.
func (r Record) Rewritten(it plan.Itinerary, head plan.Revision, all []Change, now time.Time) Record {
	r = r.Clone()
	old := r.Seen
	r.Seen, r.Changes = head, nil
	for _, c := range all {
		r.Changes = append(r.Changes, returned(it, r.Changes, c))
	}
	r.trim()
	r.Halt = &HaltOf{
		Reason: HistoryRewritten, At: now, Head: head,
		Message: "the branch no longer contains " + old.Short() +
			": check what was dropped, then commit with the trailer Changeover-Resume",
	}
	return r
}

// Settle takes in what time and observation alone bring about: a stop that
// baked without a breach is good, and content that did not change carries the
// newest revision. It returns the record unchanged where nothing did.
func (r Record) Settle(in Input) Record {
	a := r.Applied
	if a == nil || r.Move != nil {
		return r
	}
	s := &state{Input: in}
	if !in.Head.IsZero() && in.Head.Content == a.Content && in.Head.Revision != a.Revision && r.change(in.Head.Revision) >= 0 {
		r = r.Clone()
		r.Applied.Revision = in.Head.Revision
		a = r.Applied
	}
	if r.Verify != nil && r.Halt == nil && s.verified() {
		r = r.Clone()
		r.Verify = nil
	}
	good := Good{Revision: a.Revision, Stop: a.Stop}
	if (r.Good == nil || *r.Good != good) && r.Pending == nil && s.proven() {
		r = r.Clone()
		r.Good = &good
	}
	return r
}

// proven reports whether what is applied may be called good: the stop has baked
// without a breach, every alarm is known to be silent, and so it is for content
// that is not the good one's. Content that came with a raise is proven where
// the raise leads, not before, so that a promotion cannot disarm its own alarms.
func (s *state) proven() bool {
	if !s.Baked() || !s.quiet() {
		return false
	}
	if s.Good.IsZero() || s.Good.Content == s.Applied.Content {
		return true
	}
	bake := time.Duration(s.Applied.Plan.BakeAt(s.effective()))
	return s.declared() == s.effective() && !s.Now.Before(s.Record.Applied.ContentSince.Add(bake))
}

// Begin takes in a decision that is about to be carried out: the move, and for
// a rollback the holds and the revert that must reach the branch. Saved before
// the first effect, it is the intent from which a restart resumes.
func (r Record) Begin(in Input, d Decision) Record {
	r = r.Clone()
	switch d.Verb {
	case Hold:
	case Advance, Retreat:
		r.begin(in, d)
		if d.Verb == Advance && d.Reason != Resuming {
			r.remember(in)
		}
	case Apply:
		if d.Reason == ContentChanged && r.Applied != nil && in.Head.Live == r.Applied.Live {
			r.Applied.Revision, r.Applied.Content, r.Applied.ContentSince = in.Head.Revision, in.Head.Content, in.Now
			return r
		}
		r.begin(in, d)
	case Rollback:
		r.rollback(in, d)
	case Complete:
		if r.CompletedAt.IsZero() || r.CompletedAt.Before(r.Applied.Since) {
			r.CompletedAt = in.Now
		}
	case Halt:
		if r.Halt == nil {
			r.Halt = &HaltOf{Reason: d.Reason, Message: d.Message, At: in.Now, Head: r.Seen}
		}
		if d.Reason == VerifyFailed {
			r.Verify.Failed = true
		}
	}
	return r
}

// begin starts a move, or goes on with the one that the decision resumes.
func (r *Record) begin(in Input, d Decision) {
	if m := r.Move; m != nil && d.Reason == Resuming && m.Revision == d.Revision {
		return
	}
	s := &state{Input: in}
	v := s.version(d.Revision)
	step, leaves := StepExpand, plan.Revision("")
	from := s.effective()
	if d.Verb.Backward() {
		step = StepPrepare
		from = s.furthest(s.itinerary())
		leaves = r.Move.left()
	}
	r.Move = &Move{
		Verb: d.Verb, From: from, To: d.Target, Revision: d.Revision, Content: v.Content, Live: v.Live,
		Leaves: leaves, Step: step, Started: in.Now,
	}
}

// version finds a revision among those of the input. For any other the digests
// are empty: the caller fills them in when it has read the version.
func (s *state) version(rev plan.Revision) plan.Version {
	for _, v := range []plan.Version{s.Head, s.Applied, s.Good} {
		if !v.IsZero() && v.Revision == rev {
			return v
		}
	}
	return plan.Version{Revision: rev}
}

func (r *Record) rollback(in Input, d Decision) {
	r.begin(in, d)
	if d.Reason == Resuming {
		return
	}
	if d.Reason == Breach {
		r.Rollbacks = append(r.Rollbacks, in.Now)
		r.tooMany(in)
	}
	if len(d.Undo) == 0 {
		if r.Halt == nil {
			r.Halt = &HaltOf{Reason: NothingToUndo, Message: d.Message, At: in.Now, Head: r.Seen}
		}
		return
	}
	for _, c := range d.Undo {
		if i := r.change(c); i >= 0 {
			r.Changes[i].RolledBackAt = in.Now
		}
		if !slices.ContainsFunc(r.Holds, func(h HoldOf) bool { return h.Commit == c }) {
			r.Holds = append(r.Holds, HoldOf{Commit: c, At: in.Now, Evidence: d.Evidence})
		}
	}
	commits := slices.Clone(d.Undo)
	if p := r.Pending; p != nil {
		for _, c := range p.Undo {
			if !slices.Contains(commits, c) {
				commits = append(commits, c)
			}
		}
		slices.SortStableFunc(commits, func(a, b plan.Revision) int { return r.change(b) - r.change(a) })
	}
	r.Pending = &Pending{
		Undo: commits, From: r.Move.From, Target: d.Target, Reason: d.Reason, Message: d.Message, Evidence: d.Evidence, At: in.Now,
	}
}

// tooMany halts after the day's last automatic rollback that is allowed, and
// forgets those that are older.
func (r *Record) tooMany(in Input) {
	r.Rollbacks = slices.DeleteFunc(r.Rollbacks, func(t time.Time) bool { return in.Now.Sub(t) >= 24*time.Hour })
	if n := in.Limits.MaxPerDay; n > 0 && len(r.Rollbacks) >= n {
		r.Halt = &HaltOf{
			Reason: TooManyRollbacks, At: in.Now, Head: r.Seen,
			Message: "as many automatic rollbacks within a day as are allowed: a commit with the trailer Changeover-Resume goes on",
		}
	}
}

// Stepped takes in that the move's step was done and the next one begins.
func (r Record) Stepped(next Step) Record {
	r = r.Clone()
	r.Move.Step, r.Move.Attempts, r.Move.Error = next, 0, ""
	return r
}

// Failed takes in that an attempt at the move's step failed.
func (r Record) Failed(err string) Record {
	r = r.Clone()
	r.Move.Attempts++
	r.Move.Error = err
	return r
}

// Finish takes in that the move is done: it was observed in the data plane.
func (r Record) Finish(now time.Time) Record {
	r = r.Clone()
	m := r.Move
	a := Applied{
		Revision: m.Revision, Content: m.Content, Live: m.Live, Stop: m.To,
		Since: now, ContentSince: now, PhaseSince: now, Backward: backward(m),
	}
	if old := r.Applied; old != nil {
		if old.Stop.Phase == a.Stop.Phase {
			a.PhaseSince = old.PhaseSince
		}
		if old.Content == a.Content {
			a.ContentSince = old.ContentSince
		}
		if old.Stop == a.Stop && old.Live == a.Live {
			// The world did not change: the bake goes on.
			a.Since = old.Since
		}
	}
	if a.Backward {
		r.CompletedAt = time.Time{}
	}
	r.Applied, r.Move, r.Verify = &a, nil, nil
	if m.Verb == Rollback {
		r.Verify = &Verification{From: m.From, Since: now}
	}
	return r
}

// Pushed takes in that the revert is where it can be: on the branch, not
// needed, or on a branch of its own that waits to be merged.
func (r Record) Pushed(branch string) Record {
	r = r.Clone()
	if r.Pending == nil {
		return r
	}
	if branch == "" {
		r.Pending = nil
		return r
	}
	r.Pending.Branch, r.Pending.Error = branch, ""
	return r
}

// PushFailed takes in that the pending revert did not reach the branch. One
// that would not lead to the target halts the plan: only a person can tell what
// Git should declare.
func (r Record) PushFailed(err string, mismatch bool, now time.Time) Record {
	r = r.Clone()
	r.Pending.Attempts++
	r.Pending.Error = err
	if mismatch && r.Halt == nil {
		r.Halt = &HaltOf{Reason: RevertMismatch, Message: err, At: now, Head: r.Seen}
	}
	return r
}
