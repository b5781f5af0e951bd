package review

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Names of the two versions for decide, which tells them apart by these. The
// commit that will be on the branch is not known yet. Approvals name a commit by
// at least seven characters.
const (
	baseRevision plan.Revision = "base-of-the-change"
	headRevision plan.Revision = "head-of-the-change"
)

// someone made the raise: who is not known yet either, and it is none of those
// who approve.
const someone = "changeover-review@invalid"

// judge asks decide what the daemon would do about the head, with the base in
// effect. All that Git does not tell is taken to be well: gates pass, bakes are
// over, consent is given. So what still holds the plan, or is refused, is the
// change's own.
func (b *builder) judge(p *Plan, c couple) {
	base, head := c.versions()
	if c.base != nil && !b.sound(c.base) {
		p.note("The plan at %s does not validate: what is in effect is an older version of it, with which this change was not compared.", b.base.Name)
		return
	}
	if c.head == nil {
		b.removed(p, base)
		return
	}
	d := decide.Decide(b.input(base, p.From, head, b.settled))
	p.decided(d)
	if d.Verb == decide.Apply && head.Plan.Spec.Position != p.From {
		// The content goes first; what is said then is about the raise.
		p.holds(decide.Decide(b.input(head, p.From, head, b.settled)))
	}
}

// sound reports whether a file is what a daemon would take up.
func (b *builder) sound(f *File) bool {
	return !plan.HasErrors(f.Problems) && (b.Check == nil || !plan.HasErrors(b.Check(f.Document)))
}

// decided takes up what a decision says: what is refused, what holds, and else
// what is done.
func (p *Plan) decided(d decide.Decision) {
	text, _, _ := strings.Cut(d.Message, "; no commits can be reverted")
	if d.Verb == decide.Advance {
		text = fmt.Sprintf("%s is entered next, once nothing of what follows keeps it", d.Target)
	}
	p.Does = Decision{Verb: d.Verb, Reason: d.Reason, Message: text}
	p.holds(d)
	for _, block := range d.Blocks {
		switch block.Reason {
		case decide.OffItinerary:
			p.illegal("off-itinerary", fmt.Sprintf("the stop that is in effect, %s, is not on the itinerary any more: the daemon would hold the plan where it is", p.From),
				fmt.Sprintf("keep %s in spec.phases until the plan has left it: first move the position in a change of its own", p.From))
		case decide.GatewayChanged:
			p.illegal("gateway-changed", block.Message, "lower the position to the first stop in a change of its own, then change the gateway")
		default: // holds it, and is no reason to refuse it
		}
	}
}

// holds takes up what keeps a plan beside its gates and its own stops.
func (p *Plan) holds(d decide.Decision) {
	for _, block := range d.Blocks {
		switch block.Reason {
		case decide.OffItinerary, decide.GatewayChanged, decide.Manual, decide.NotBefore, decide.Steady:
			continue // said elsewhere
		default:
		}
		h := Hold{Reason: block.Reason, Message: block.Message}
		if !slices.Contains(p.Holds, h) {
			p.Holds = append(p.Holds, h)
		}
	}
}

// removed: with the plan all of its stops go, also the one in effect. At either
// end of the way nothing is left half done.
func (b *builder) removed(p *Plan, base plan.Version) {
	in := b.input(base, p.From, base, b.settled)
	in.Git.Gone = true
	p.decided(decide.Decide(in))
	it := base.Plan.Itinerary()
	switch i := it.Index(p.From); {
	case i == 0:
		p.note("The plan is at its first stop. What was applied stays as it is, and nobody watches it any more.")
	case i == len(it)-1:
		p.note("The plan is at its last stop. What was applied stays as it is, and nobody watches it any more.")
	default:
		p.illegal("removed-on-the-way", fmt.Sprintf("the plan is removed while %s is in effect, stop %d of %d: traffic would stay split there, and nothing would move it any more", p.From, i+1, len(it)),
			fmt.Sprintf("move the position to %s or %s first, in a change of its own", it[0], it[len(it)-1]))
	}
}

// cascade is a plan that does not change while one does that it depends on.
func (b *builder) cascade(c couple) (Plan, bool) {
	base, head := c.versions()
	if len(head.Plan.Spec.DependsOn) == 0 || !b.sound(c.head) {
		return Plan{}, false
	}
	at := base.Plan.Spec.Position
	d := decide.Decide(b.input(base, at, head, b.settled))
	if d.Reason != decide.DependencyLost || decide.Decide(b.input(base, at, base, b.before)).Reason == decide.DependencyLost {
		return Plan{}, false
	}
	p := Plan{Key: c.key, Kind: Cascade, File: c.path(), From: at, To: d.Target}
	p.decided(d)
	return p, true
}

// input is what decide reads, with one version in effect at a stop and another
// one at the branch's head. Stands is how the other plans do.
func (b *builder) input(applied plan.Version, at plan.Position, head plan.Version, stands func(couple) (plan.Version, plan.Position)) decide.Input {
	in := decide.Input{
		Git: decide.Git{ReadAt: b.Now}, Now: b.Now, Others: map[plan.Key]decide.Other{},
		Due: map[string]gates.Point{}, Limits: decide.Limits{GitMaxAge: time.Minute},
	}
	head.Revision = headRevision
	in.Head = head
	for name := range head.Plan.Spec.Baselines {
		in.Due[name] = gates.Point{Time: b.Now}
	}
	if applied.Plan != nil {
		applied.Revision = baseRevision
		if applied.Plan == head.Plan {
			applied.Revision = headRevision
		}
		in.Applied = applied
		since := b.Now.AddDate(-10, 0, 0)
		in.Record.Applied = &decide.Applied{
			Revision: applied.Revision, Content: applied.Content, Live: applied.Live, Stop: at, Since: since, ContentSince: since, PhaseSince: since,
		}
		in.Record.Changes = []decide.Change{{Commit: headRevision, From: at, To: head.Plan.Spec.Position, Raise: true, Author: someone}}
	}
	for _, other := range b.pairs {
		if v, at := stands(other); v.Plan != nil && other.key != head.Plan.Key() {
			in.Others[other.key] = standing(v.Plan, at, head.Plan.Key())
		}
	}
	in.Approvals = consents(head.Plan)
	in.Verdicts = passing(decide.Wants(in))
	return in
}

// before is how another plan stands before the change.
func (b *builder) before(c couple) (plan.Version, plan.Position) {
	if c.base == nil {
		return plan.Version{}, plan.Position{}
	}
	return c.base.Version, c.base.Version.Plan.Spec.Position
}

// settled is how another plan stands once the change is merged: one that is
// lowered is there at once, and one that is raised may take weeks.
func (b *builder) settled(c couple) (plan.Version, plan.Position) {
	switch {
	case c.head == nil:
		return plan.Version{}, plan.Position{}
	case !b.sound(c.head):
		return b.before(c)
	case c.base == nil:
		return c.head.Version, plan.Position{}
	}
	it := c.head.Version.Plan.Itinerary()
	was, is := c.base.Version.Plan.Spec.Position, c.head.Version.Plan.Spec.Position
	if it.Index(was) < 0 || it.Index(is) < it.Index(was) {
		return c.head.Version, is
	}
	return c.head.Version, was
}

// standing is a plan as it matters to another.
func standing(p *plan.Plan, at plan.Position, to plan.Key) decide.Other {
	it := p.Itinerary()
	o := decide.Other{Known: true, At: at, Itinerary: it, Past: it.Index(at) > 0}
	// At its last stop it may be complete; what is not known is taken to be well.
	o.Complete = len(it) > 0 && at == it[len(it)-1]
	o.Completed = o.Complete
	for _, name := range p.Spec.ConflictsWith {
		o.Conflicts = o.Conflicts || p.Other(name) == to
	}
	return o
}

// consents approve all stops, by everyone who may.
func consents(p *plan.Plan) []decide.Approval {
	var out []decide.Approval
	for _, stop := range p.Itinerary() {
		ph := p.Phase(stop.Phase)
		for name, role := range p.Spec.Roles {
			for _, signer := range role.Signers {
				a := decide.Approval{Stop: stop, Raise: headRevision, Role: name, Author: signer}
				out = append(out, a)
				for _, item := range ph.Checklist {
					a.Item = item
					out = append(out, a)
				}
			}
		}
	}
	return out
}

// passing are the verdicts with which no gate keeps a plan.
func passing(wants []decide.Want) gates.Results {
	var out gates.Results
	for _, w := range wants {
		ph := w.Version.Plan.Phase(w.Request.Stop.Phase)
		if ph == nil {
			continue
		}
		for _, e := range w.Request.Effects {
			verdict := gates.Pass
			if e == plan.Pause || e == plan.Breaches {
				verdict = gates.Fail
			}
			for _, g := range ph.GatesOf(e) {
				out = append(out, gates.Result{
					Key:     gates.Key{Revision: w.Version.Revision, Stop: w.Request.Stop, Effect: e, Name: g.Name},
					Verdict: verdict, Now: verdict,
				})
			}
		}
	}
	return out
}

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}
