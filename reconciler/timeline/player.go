package timeline

import (
	"fmt"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Sampler answers the needs of a plan's gates at a time: it sets them in out,
// and reports whether it has answers for that time. A prom.Span is one.
type Sampler interface {
	Into(out map[gates.Need]gates.Sample, t time.Time) bool
}

// Options of a Player. Plan is required.
type Options struct {
	Plan plan.Version
	// From is the stop at which the plan is when it begins, entered at that
	// moment after one raise for each stop; none: nothing was applied yet.
	From plan.Position
	// Start is when it begins.
	Start time.Time
	// Interval is how often the daemon would evaluate: see gates.Options.
	Interval time.Duration
	Limits   decide.Limits
	// Sampler is nil where every signal is unknown.
	Sampler Sampler
	// Objects that gates read, by their names in the plan.
	Objects map[string]gates.Object
	// Judge, where set, may change the results of gates before a decision
	// reads them; More, what else a decision reads.
	Judge func(gates.Results)
	More  func(*decide.Input)
	// Anew evaluates the gates at every step, also where nothing changed
	// since the one before.
	Anew bool
}

// Look is one decision and what came of it.
type Look struct {
	At       time.Time
	Decision decide.Decision
	// Before and Effective are where the plan was and is then, Declared what
	// the branch declares.
	Before, Effective, Declared plan.Position
	// Verdicts that the decision read, which must not be changed.
	Verdicts gates.Results
	// Complete: the last stop's advance gates have passed.
	Complete bool
	// Halt is why nothing moves forward before a person acts, or nil.
	Halt *decide.HaltOf
	// Reverts are the commits that the decision undid on the branch.
	Reverts []plan.Revision
}

// Player plays one plan. It is not safe for concurrent use.
type Player struct {
	o        Options
	program  *gates.Program
	versions map[plan.Revision]plan.Version
	head     plan.Version
	rec      decide.Record
	commits  int
	now      time.Time
	changed  bool // the branch, since the last look
	in       decide.Input
	last     Look
	judged   judged
	out      map[gates.Need]gates.Sample
}

// New compiles the gates, and puts the plan where it begins.
func New(o Options) (*Player, error) {
	program, err := gates.Compile(o.Plan.Plan, gates.Options{Interval: o.Interval})
	if err != nil {
		return nil, err
	}
	p := &Player{o: o, program: program, versions: map[plan.Revision]plan.Version{}, now: o.Start, out: map[gates.Need]gates.Sample{}}
	it := o.Plan.Plan.Itinerary()
	at := it.Index(o.From)
	if !o.From.IsZero() && at < 0 {
		return nil, fmt.Errorf("begin at %q: it is not on the plan's itinerary", o.From)
	}
	for _, stop := range it[:max(at, 0)+1] {
		p.commit(stop, decide.Change{})
	}
	if at >= 0 {
		p.enter(it, at)
	}
	return p, nil
}

// enter puts the plan at a stop as if it had just come there from the one
// before, at which all was well.
func (p *Player) enter(it plan.Itinerary, at int) {
	p.rec.Applied = &decide.Applied{
		Revision: p.head.Revision, Content: p.head.Content, Live: p.head.Live, Stop: it[at],
		Since: p.now, ContentSince: p.now, PhaseSince: p.now,
	}
	if at > 0 {
		p.rec.Good = &decide.Good{Revision: p.rec.Changes[at-1].Commit, Stop: it[at-1]}
	}
}

// Commit declares a position from now on, as a person does by a commit; with
// resume it carries the trailer that ends a halt.
func (p *Player) Commit(to plan.Position, now time.Time, resume bool) {
	p.now = now
	p.commit(to, decide.Change{Resume: resume})
}

// commit puts a version of the plan with that position on the branch.
func (p *Player) commit(to plan.Position, c decide.Change) {
	spec := *p.o.Plan.Plan
	spec.Spec.Position = to
	p.commits++
	v := p.o.Plan
	v.Plan, v.Revision = &spec, plan.Revision(fmt.Sprintf("%040x", p.commits))
	c.Commit, c.Parent, c.To, c.At = v.Revision, p.head.Revision, to, p.now
	if p.head.Plan != nil {
		c.From = p.head.Plan.Spec.Position
		it := spec.Itinerary()
		c.Raise, c.Lower = it.Index(to) > it.Index(c.From), it.Index(to) < it.Index(c.From)
	}
	p.versions[v.Revision], p.head, p.changed = v, v, true
	p.rec = p.rec.See(spec.Itinerary(), v.Revision, []decide.Change{c}, p.now)
	p.rec.Valid = v.Revision
}

// most bounds the decisions that one time takes; a plan that needs more would
// never come to rest.
const most = 1000

// Step looks at the plan at a time, which never goes back, and again as long
// as it moves. Every decision is given to yield.
func (p *Player) Step(now time.Time, yield func(Look)) error {
	p.now = now
	if p.quiet(p.sample()) {
		p.last.At, p.last.Before, p.last.Reverts = now, p.last.Effective, nil
		yield(p.last)
		return nil
	}
	for range most {
		look, again := p.look()
		p.last = look
		yield(look)
		if !again {
			return nil
		}
	}
	return fmt.Errorf("play %s: it does not come to rest: still %s %s at %s", p.head.Plan.Key(), p.last.Decision.Verb, p.last.Decision.Reason, p.last.Effective)
}

// look is one evaluation: gather, decide, carry it out.
func (p *Player) look() (look Look, again bool) {
	p.changed = false
	in := p.gather()
	p.in = in
	d := decide.Decide(in)
	look = Look{At: p.now, Decision: d, Before: effective(in), Verdicts: in.Verdicts}
	rec := p.rec.Settle(in).Begin(in, d)
	if m := rec.Move; m != nil && m.Content == "" {
		v := p.versions[m.Revision]
		m.Content, m.Live = v.Content, v.Live
	}
	p.rec = rec
	if p.rec.Move != nil && d.Verb.Moves() && !p.head.Plan.Spec.Suspend {
		p.rec = p.rec.Finish(p.now)
	}
	look.Reverts = p.push()
	p.changed = p.changed || !p.read(in)
	if a := p.rec.Applied; a != nil {
		look.Effective = a.Stop
	}
	look.Declared = p.head.Plan.Spec.Position
	look.Complete, look.Halt = !p.rec.CompletedAt.IsZero(), p.rec.Halt
	return look, d.Verb.Moves()
}

func effective(in decide.Input) plan.Position {
	if in.Record.Applied == nil {
		return plan.Position{}
	}
	return in.Record.Applied.Stop
}

// read reports whether the versions that the record names are those of the
// input.
func (p *Player) read(in decide.Input) bool {
	a, g := p.rec.Applied, p.rec.Good
	return (a == nil || a.Revision == in.Applied.Revision) && (g == nil || g.Revision == in.Good.Revision)
}

// gather makes what a decision reads.
func (p *Player) gather() decide.Input {
	in := decide.Input{Head: p.head, Record: p.rec, Git: decide.Git{ReadAt: p.now}, Limits: p.o.Limits, Now: p.now}
	if a := p.rec.Applied; a != nil {
		in.Applied = p.versions[a.Revision]
		in.Observed.Gateway = decide.Part{Known: in.Applied.Plan.Spec.Gateway != nil, Stop: a.Stop, Healthy: true}
		ph := in.Applied.Plan.Phase(a.Stop.Phase)
		in.Observed.Cluster = decide.Part{Known: ph != nil && ph.Cluster != nil, Healthy: true}
	}
	if g := p.rec.Good; g != nil {
		in.Good = p.versions[g.Revision]
	}
	if p.o.More != nil {
		p.o.More(&in)
	}
	if d := decide.Decide(in); d.Verb.Backward() {
		return in // going back hangs on no gate
	}
	p.evaluate(&in)
	return in
}

// push lets the pending revert reach the branch: one commit for each that is
// undone, newest first, of which the last declares the target.
func (p *Player) push() (made []plan.Revision) {
	pending := p.rec.Pending
	if pending == nil {
		return nil
	}
	for i, undone := range pending.Undo {
		to := pending.Target
		if i < len(pending.Undo)-1 {
			to = p.before(undone)
		}
		p.commit(to, decide.Change{RollbackOf: undone})
		made = append(made, undone)
	}
	p.rec = p.rec.Pushed("")
	return made
}

// before is the position that was declared before a commit.
func (p *Player) before(rev plan.Revision) plan.Position {
	for _, c := range p.rec.Changes {
		if c.Commit == rev {
			return c.From
		}
	}
	return p.head.Plan.Spec.Position
}

// Needs lists all that the gates of a plan may need, evaluated at an interval:
// what a Sampler is asked for.
func Needs(p *plan.Plan, interval time.Duration) ([]gates.Need, error) {
	program, err := gates.Compile(p, gates.Options{Interval: interval})
	if err != nil {
		return nil, err
	}
	var all []gates.Request
	var due []gates.Need
	for _, stop := range p.Itinerary() {
		all = append(all, gates.Request{Stop: stop, Effects: plan.Effects})
		due = append(due, program.DueNeeds(stop)...)
	}
	needs := program.Needs(all)
	for _, n := range due {
		if !slices.Contains(needs, n) {
			needs = append(needs, n)
		}
	}
	return needs, nil
}
