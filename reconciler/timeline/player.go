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
	// Author of the commits before it begins; empty: not known, and then no
	// approval counts for what they declare.
	Author string
	// Consent: Approve tells all approvals that there are. Where it is unset
	// gates that read approvals have no data.
	Consent bool
	// Judge, where set, may change the results of gates, and the values of the
	// baselines that are to be remembered, before a decision reads them.
	Judge func(gates.Results, map[string]gates.Point)
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
	o          Options
	programs   map[plan.Digest]*gates.Program
	approvals  []decide.Approval
	others     map[plan.Key]decide.Other
	stands     map[string]gates.PlanState // of the namespace, by name
	bridges    gates.Bridges
	entities   *gates.Entities
	transforms map[string]gates.Transform
	versions   map[plan.Revision]plan.Version
	head       plan.Version
	rec        decide.Record
	commits    int
	now        time.Time
	changed    bool // the branch, since the last look
	in         decide.Input
	last       Look
	judged     judged
	out        map[gates.Need]gates.Sample
}

// New compiles the gates, and puts the plan where it begins.
func New(o Options) (*Player, error) {
	p := &Player{
		o: o, programs: map[plan.Digest]*gates.Program{}, others: map[plan.Key]decide.Other{}, stands: map[string]gates.PlanState{},
		versions: map[plan.Revision]plan.Version{}, now: o.Start, out: map[gates.Need]gates.Sample{},
	}
	if err := p.compile(o.Plan); err != nil {
		return nil, err
	}
	it := o.Plan.Plan.Itinerary()
	at := it.Index(o.From)
	if !o.From.IsZero() && at < 0 {
		return nil, fmt.Errorf("begin at %q: it is not on the plan's itinerary", o.From)
	}
	for _, stop := range it[:max(at, 0)+1] {
		p.commit(o.Plan, stop, decide.Change{Author: o.Author})
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

// compile makes the program of a version's gates, once for each content.
func (p *Player) compile(v plan.Version) error {
	if p.programs[v.Content] != nil {
		return nil
	}
	program, err := gates.Compile(v.Plan, gates.Options{Interval: p.o.Interval})
	if err != nil {
		return err
	}
	p.programs[v.Content] = program
	return nil
}

func (p *Player) program(v plan.Version) *gates.Program { return p.programs[v.Content] }

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
	in.Approvals, in.Others = p.approvals, p.others
	if !p.o.Consent {
		in.Unread = "none are given"
	}
	if d := decide.Decide(in); d.Verb.Backward() {
		return in // going back hangs on no gate
	}
	p.evaluate(&in)
	return in
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
