package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// Decide says what to do. It is total and pure: the rows of the truth table in
// the package's comment, in order.
func Decide(in Input) Decision {
	s := &state{Input: in}
	for _, row := range rows {
		if d, ok := row(s); ok {
			return s.explained(d)
		}
	}
	return s.explained(s.hold(Steady, "nothing to do"))
}

// state is an Input with what several rows derive from it.
type state struct{ Input }

var rows = []func(*state) (Decision, bool){
	(*state).noPlan,
	(*state).suspended,
	(*state).gone,
	(*state).lowered,
	(*state).dependencyLost,
	(*state).resumeBackward,
	(*state).breached,
	(*state).unverified,
	(*state).resumeForward,
	(*state).mismatch,
	(*state).quarantined,
	(*state).offItinerary,
	(*state).contentChanged,
	(*state).arrived,
	(*state).forward,
}

func (s *state) declared() plan.Position { return s.Head.Plan.Spec.Position }

func (s *state) effective() plan.Position {
	if s.Record.Applied == nil {
		return plan.Position{}
	}
	return s.Record.Applied.Stop
}

// itinerary is that of the head, or, while the effective stop is not on it,
// that of the version that was applied.
func (s *state) itinerary() plan.Itinerary {
	it := s.Head.Plan.Itinerary()
	eff := s.effective()
	if eff.IsZero() || it.Index(eff) >= 0 || s.Applied.IsZero() {
		return it
	}
	return s.Applied.Plan.Itinerary()
}

// furthest is the furthest of the applied stop, what was seen, and a move
// under way.
func (s *state) furthest(it plan.Itinerary) plan.Position {
	far := s.effective()
	consider := func(p plan.Position) {
		if it.Index(p) >= 0 && after(it, p, far) {
			far = p
		}
	}
	for _, part := range []Part{s.Observed.Gateway, s.Observed.Cluster} {
		if part.Known {
			consider(part.Stop)
		}
	}
	if m := s.Record.Move; m != nil {
		consider(m.From)
		consider(m.To)
	}
	return far
}

func (s *state) hold(r Reason, format string, args ...any) Decision {
	return Decision{Verb: Hold, Target: s.effective(), Reason: r, Message: fmt.Sprintf(format, args...)}
}

func (s *state) noPlan() (Decision, bool) {
	if !s.Head.IsZero() {
		return Decision{}, false
	}
	return s.hold(Invalid, "there never was a valid version of this plan: %s", s.Git.Invalid), true
}

func (s *state) suspended() (Decision, bool) {
	if !s.Head.Plan.Spec.Suspend {
		return Decision{}, false
	}
	msg := "spec.suspend is true: nothing is changed until it is false"
	ev := s.breaches()
	if len(ev) > 0 {
		msg += "; a rollback gate is breached: " + describe(ev)
	}
	d := s.hold(Suspended, "%s", msg)
	d.Evidence = ev
	return d, true
}

func (s *state) gone() (Decision, bool) {
	if !s.Git.Gone {
		return Decision{}, false
	}
	if m := s.Record.Move; m != nil && backward(m) {
		return s.resumeBackward()
	}
	it := s.itinerary()
	if len(it) > 0 && s.Record.Applied != nil && after(it, s.furthest(it), it[0]) {
		d := Decision{Verb: Rollback, Target: it[0], Revision: s.Record.Applied.Revision}
		if ev := s.breaches(); len(ev) > 0 {
			d.Reason, d.Evidence = Breach, ev
			d.Message = "the plan is gone from Git and a rollback gate is breached: " + describe(ev)
			return d, true
		}
		if why := s.lost(); why != "" {
			d.Reason, d.Message = DependencyLost, "the plan is gone from Git, and "+why
			return d, true
		}
	}
	return s.hold(Orphaned, "the plan is gone from Git: nothing is changed or removed until it is put back"), true
}

func (s *state) lowered() (Decision, bool) {
	if s.effective().IsZero() && s.Record.Move == nil {
		return Decision{}, false
	}
	it, to := s.itinerary(), s.declared()
	far := s.furthest(it)
	if it.Index(to) < 0 || !after(it, far, to) {
		return Decision{}, false
	}
	if m := s.Record.Move; m != nil && backward(m) && !after(it, m.To, to) {
		return Decision{}, false // already on the way there, or further back
	}
	rev := s.Head.Revision
	if _, held := s.Record.heldBy(it); held && s.Record.Applied != nil {
		rev = s.Record.Applied.Revision
		if m := s.Record.Move; m != nil && m.Verb == Rollback {
			rev = m.Revision // what was applied is what is being rolled back
		}
	} else if !s.sameGateway() && onItinerary(s.Applied, to) {
		rev = s.Record.Applied.Revision // the traffic is at its gateway
	}
	return Decision{
		Verb: Retreat, Target: to, Revision: rev, Reason: Lowered,
		Message: fmt.Sprintf("git declares %s, the data plane is at %s", to, far),
	}, true
}

func backward(m *Move) bool { return m.Verb.Backward() }

func (s *state) resumeBackward() (Decision, bool) {
	m := s.Record.Move
	if m == nil || !backward(m) {
		return Decision{}, false
	}
	d := s.resume(m)
	if p := s.Record.Pending; p != nil {
		d.Undo = p.Undo
	}
	a := s.Applied
	if m.Verb == Retreat && m.Attempts > 0 && d.Revision == m.Revision && !a.IsZero() && a.Live != m.Live && onItinerary(a, m.To) {
		// What head declares may be what fails: the traffic goes back all the
		// same, with the content that is in force.
		d.Revision = a.Revision
		d.Message += "; the content in force is tried"
	}
	return d, true
}

// resume goes on with a move. While it fails, or waits for health, it takes up
// newer content, which may be how a person mends it.
func (s *state) resume(m *Move) Decision {
	d := Decision{Verb: m.Verb, Target: m.To, Revision: m.Revision, Reason: Resuming, Message: resuming(m)}
	_, held := s.Record.heldBy(s.itinerary())
	if (m.Attempts > 0 || m.Step == StepHealth) && !held && s.Head.Live != m.Live && onItinerary(s.Head, m.To) && s.sameGateway() {
		d.Revision = s.Head.Revision
		d.Message += "; newer content is taken up"
	}
	return d
}

func onItinerary(v plan.Version, stop plan.Position) bool { return v.Plan.Itinerary().Index(stop) >= 0 }

func resuming(m *Move) string {
	msg := fmt.Sprintf("the move from %s to %s is at step %s", m.From, m.To, m.Step)
	if m.Error != "" {
		msg += ": " + m.Error
	}
	return msg
}

// breaches are the rollback gates of the effective stop that are true: those
// of the applied version, and of the good one where they were asked for.
func (s *state) breaches() gates.Results {
	var out gates.Results
	for _, r := range s.Verdicts {
		if r.Effect == plan.Breaches && r.Verdict == gates.Pass && r.Stop == s.effective() && s.counts(r.Revision) {
			out = append(out, r)
		}
	}
	return out
}

// quiet reports whether every alarm that counts at the effective stop was
// evaluated and is silent. No data is not silence.
func (s *state) quiet() bool {
	versions := []plan.Version{s.Applied}
	if !s.Good.IsZero() && s.Good.Content != s.Applied.Content {
		versions = append(versions, s.Good)
	}
	for _, v := range versions {
		ph := v.Plan.Phase(s.effective().Phase)
		if ph == nil {
			continue
		}
		rs := s.results(plan.Breaches, s.effective(), v.Revision)
		for _, g := range ph.Gates.Rollback {
			if !slices.ContainsFunc(rs, func(r gates.Result) bool { return r.Name == g.Name && r.Verdict == gates.Fail }) {
				return false
			}
		}
	}
	return true
}

func (s *state) counts(rev plan.Revision) bool {
	return !s.Applied.IsZero() && rev == s.Applied.Revision || !s.Good.IsZero() && rev == s.Good.Revision
}

func (s *state) breached() (Decision, bool) {
	ev := s.breaches()
	if len(ev) == 0 || s.Record.Applied == nil || !s.watched() {
		return Decision{}, false
	}
	depth, frozen := s.answer(ev)
	if frozen != "" {
		return Decision{
			Verb: Halt, Target: s.effective(), Reason: BreachFrozen, Evidence: ev,
			Message: fmt.Sprintf("a rollback gate is breached, but %s: %s", frozen, describe(ev)),
		}, true
	}
	it := s.itinerary()
	u := s.Record.undoSet(it, depth)
	msg := describe(ev)
	leads := after(it, s.effective(), u.target) || u.target == s.effective() && u.revision != s.Record.Applied.Revision
	if len(u.commits) > 0 && leads {
		return Decision{Verb: Rollback, Target: u.target, Revision: u.revision, Undo: u.commits, Reason: Breach, Message: msg, Evidence: ev}, true
	}
	if len(it) > 0 && after(it, s.effective(), it[0]) {
		return Decision{
			Verb: Rollback, Target: it[0], Revision: s.Record.Applied.Revision, Reason: Breach, Evidence: ev,
			Message: msg + "; no commit can be reverted for it: lower spec.position by hand",
		}, true
	}
	return Decision{
		Verb: Halt, Target: s.effective(), Reason: NothingToUndo, Evidence: ev,
		Message: msg + "; the plan is at its first stop and no commit can be reverted",
	}, true
}

// answer finds what the plans say to do about the breaches: the deepest undo
// of those that revert, or why none does. An alarm is answered by the version
// that declares it, so that a commit cannot disarm it.
func (s *state) answer(ev gates.Results) (plan.Depth, string) {
	depth, frozen, revert := plan.DepthPromotion, "", false
	for _, r := range ev {
		v := s.Applied
		if r.Revision != v.Revision {
			v = s.Good
		}
		ph := v.Plan.Phase(r.Stop.Phase)
		if ph == nil {
			continue
		}
		rb := ph.Rollback
		switch {
		case rb.OnBreach == plan.Freeze:
			frozen = "onBreach is freeze"
		case rb.Window > 0 && s.Now.Sub(s.Record.Applied.Since) > time.Duration(rb.Window):
			frozen = fmt.Sprintf("its window of %s is over", rb.Window)
		default:
			revert = true
			depth = deeper(depth, rb.Depth)
		}
	}
	if revert {
		frozen = ""
	}
	return depth, frozen
}

func deeper(a, b plan.Depth) plan.Depth {
	rank := map[plan.Depth]int{plan.DepthPromotion: 1, plan.DepthPhase: 2, plan.DepthPlan: 3}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

func (s *state) resumeForward() (Decision, bool) {
	m := s.Record.Move
	if m == nil {
		return Decision{}, false
	}
	var b blockers
	if h := s.Record.Halt; h != nil && (h.Reason == BreachFrozen || h.Reason == NothingToUndo) {
		b.halted(h)
	}
	s.stale(&b)
	if len(b) > 0 {
		return b.decision(s), true
	}
	return s.resume(m), true
}

func (s *state) mismatch() (Decision, bool) {
	g, eff := s.Observed.Gateway, s.effective()
	if !g.Known || g.Stop.IsZero() || eff.IsZero() || g.Stop == eff || s.Record.Halt != nil {
		return Decision{}, false
	}
	return Decision{
		Verb: Halt, Target: eff, Reason: StateMismatch,
		Message: fmt.Sprintf("the gateway is configured for %s, the record says %s, and no move explains it", g.Stop, eff),
	}, true
}

func (s *state) quarantined() (Decision, bool) {
	if p := s.Record.Pending; p != nil {
		switch {
		case p.Branch != "":
			return s.hold(Quarantined, "the branch refused the revert; it waits for a merge on branch %s", p.Branch), true
		case p.Error != "":
			return s.hold(Quarantined, "rolled back to %s; the revert is not on the branch yet: %s", p.Target, p.Error), true
		}
		return s.hold(Quarantined, "rolled back to %s; the revert is not on the branch yet", p.Target), true
	}
	if h, ok := s.Record.heldBy(s.itinerary()); ok {
		return s.hold(Quarantined,
			"commit %s was rolled back: raise the position anew, or lift the hold with `changeover unhold`", h.Commit.Short()), true
	}
	return Decision{}, false
}

func (s *state) offItinerary() (Decision, bool) {
	eff := s.effective()
	if eff.IsZero() || s.Head.Plan.Itinerary().Index(eff) >= 0 {
		return Decision{}, false
	}
	return s.hold(OffItinerary, "the effective stop %s is not on the declared itinerary any more", eff), true
}

// describe puts the gates in words: name, message and values of each.
func describe(ev gates.Results) string {
	var out []string
	for _, r := range ev {
		t := fmt.Sprintf("gate %s at %s: %s", r.Name, r.Stop, r.Expr)
		if r.Detail != "" {
			t += " (" + r.Detail + ")"
		}
		if r.Message != "" {
			t += ": " + r.Message
		}
		if !slices.Contains(out, t) { // head and good may declare the same gate
			out = append(out, t)
		}
	}
	return strings.Join(out, "; ")
}
