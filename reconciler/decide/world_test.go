package decide

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// world is a branch, a data plane and a clock that do what decisions say, so
// that dialogues and properties can play whole stories against the pure core.
type world struct {
	now      time.Time
	head     plan.Version
	versions map[plan.Revision]plan.Version
	rec      Record
	git      Git
	observed Observed
	unmet    []string
	limits   Limits
	verdicts map[string]gates.Verdict // by gate name, or REVISION/name
	instant  map[string]gates.Verdict
	lastIn   Input
	// others and approvals are what the branch has beside the plan.
	others    map[plan.Key]Other
	approvals []Approval
	unread    string
	// stands are how other plans stand that gates read. Where it is set, gates
	// are evaluated.
	stands map[string]gates.PlanState
	// values of signals that baselines remember; a signal without one is
	// unknown.
	values map[string]float64
	left   Move // the last move that was done
	// invalid heads: the newest valid version governs.
	valid plan.Version
}

func newWorld(src string) *world {
	doc, problems := plan.Decode("plan.yaml", []byte(src))
	if plan.HasErrors(problems) {
		panic(problems[0].Render())
	}
	t := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	w := &world{
		now: t, versions: map[plan.Revision]plan.Version{}, verdicts: map[string]gates.Verdict{}, instant: map[string]gates.Verdict{}, values: map[string]float64{},
		limits: Limits{GitMaxAge: 5 * time.Minute, Cooldown: 30 * time.Minute, MaxPerDay: 3, NoDataAlert: 10 * time.Minute},
	}
	w.add("r1", doc.Plan, Change{Commit: "r1", To: doc.Plan.Spec.Position, Raise: true, Content: true, Live: true})
	return w
}

// add puts a commit on the branch.
func (w *world) add(rev plan.Revision, p *plan.Plan, c Change) {
	v := plan.Version{Plan: p, Revision: rev, Path: "plan.yaml", Content: plan.ContentDigest(p), Live: plan.LiveDigest(p)}
	w.versions[rev], w.head, w.valid = v, v, v
	w.git = Git{ReadAt: w.now}
	w.rec = w.rec.See(p.Itinerary(), rev, []Change{c}, w.now)
	w.rec.Valid = rev
}

// commit changes the plan by an edit of a copy.
func (w *world) commit(rev plan.Revision, edit func(*plan.Plan), mark func(*Change)) {
	old := w.head.Plan
	p := copyOf(old)
	edit(p)
	cmp := plan.Compare(old, p)
	c := Change{Commit: rev, Parent: w.head.Revision, From: cmp.From, To: cmp.To, Content: cmp.Content, Live: cmp.Live, At: w.now}
	c.Raise = cmp.Direction == plan.Forward
	c.Lower = cmp.Direction == plan.Backward
	if mark != nil {
		mark(&c)
	}
	w.add(rev, p, c)
}

func copyOf(p *plan.Plan) *plan.Plan {
	c := *p
	c.Spec.Phases = slices.Clone(p.Spec.Phases)
	for i := range c.Spec.Phases {
		g := &c.Spec.Phases[i].Gates
		g.Enter, g.Advance = slices.Clone(g.Enter), slices.Clone(g.Advance)
		g.Pause, g.Rollback = slices.Clone(g.Pause), slices.Clone(g.Rollback)
		c.Spec.Phases[i].Rollback.Verify = slices.Clone(c.Spec.Phases[i].Rollback.Verify)
	}
	return &c
}

// input gathers what a decision reads, verdicts included.
func (w *world) input() Input {
	in := Input{Head: w.valid, Record: w.rec, Git: w.git, Observed: w.observed, Unmet: w.unmet, Limits: w.limits, Now: w.now}
	in.Others, in.Approvals, in.Unread = w.others, w.approvals, w.unread
	if a := w.rec.Applied; a != nil {
		in.Applied = w.versions[a.Revision]
	}
	if g := w.rec.Good; g != nil {
		in.Good = w.versions[g.Revision]
	}
	if a := w.rec.Applied; a != nil {
		in.Due = w.due(in.Applied.Plan, a.Stop)
	}
	for _, want := range Wants(in) {
		if w.stands != nil {
			in.Verdicts = append(in.Verdicts, w.evaluate(in, want)...)
			continue
		}
		in.Verdicts = append(in.Verdicts, w.eval(want)...)
	}
	return in
}

// due samples the baselines that are remembered when a stop is left.
func (w *world) due(p *plan.Plan, stop plan.Position) map[string]gates.Point {
	out := map[string]gates.Point{}
	for name, b := range p.Spec.Baselines {
		if b.At == "" || b.Stop() != stop {
			continue
		}
		if v, ok := w.values[b.Signal]; ok {
			out[name] = gates.Point{Time: w.now, Value: v}
		} else {
			out[name] = gates.Point{Unknown: "no series"}
		}
	}
	return out
}

// evaluate evaluates gates over the facts.
func (w *world) evaluate(in Input, want Want) gates.Results {
	prg, err := gates.Compile(want.Version.Plan, gates.Options{})
	if err != nil {
		panic(err)
	}
	facts := in.Facts(want)
	facts.Plans = w.stands
	return prg.Eval(want.Version.Revision, []gates.Request{want.Request}, gates.Snapshot{Now: w.now, Facts: facts})
}

func (w *world) eval(want Want) gates.Results {
	ph := want.Version.Plan.Phase(want.Request.Stop.Phase)
	if ph == nil {
		return nil
	}
	var out gates.Results
	for _, e := range want.Request.Effects {
		for _, g := range ph.GatesOf(e) {
			v := gates.Pass
			if e == plan.Pause || e == plan.Breaches {
				v = gates.Fail
			}
			if x, ok := w.verdicts[g.Name]; ok {
				v = x
			}
			if x, ok := w.verdicts[string(want.Version.Revision)+"/"+g.Name]; ok {
				v = x
			}
			if want.Request.Fresh && (e == plan.Pause || e == plan.Breaches) && w.now.Sub(want.Request.Since) < 5*time.Minute {
				v = gates.NoData
			}
			now := v
			if x, ok := w.instant[g.Name]; ok {
				now = x
			}
			out = append(out, gates.Result{
				Key:     gates.Key{Revision: want.Version.Revision, Stop: want.Request.Stop, Effect: e, Name: g.Name},
				Verdict: v, Now: now, Expr: g.Expr,
			})
		}
	}
	return out
}

// decide asks the core and begins what it says.
func (w *world) decide() Decision {
	w.lastIn = w.input()
	return Decide(w.lastIn)
}

// begin writes the intent down.
func (w *world) begin(d Decision) {
	w.rec = w.rec.Settle(w.lastIn).Begin(w.lastIn, d)
	if m := w.rec.Move; m != nil && m.Content == "" {
		v := w.versions[m.Revision]
		m.Content, m.Live = v.Content, v.Live
	}
}

// finish lets the data plane do what the move says.
func (w *world) finish() {
	if w.rec.Move == nil {
		return
	}
	to := w.rec.Move.To
	w.left = *w.rec.Move
	w.rec = w.rec.Finish(w.now)
	w.observed.Gateway = Part{Known: true, Stop: to, Healthy: true}
}

// push makes the daemon's reverts on the branch.
func (w *world) push() string {
	p := w.rec.Pending
	if p == nil {
		return "nothing pending"
	}
	var made []string
	for i, c := range p.Undo {
		if reverted(w.rec.Changes, c) {
			continue
		}
		last := i == len(p.Undo)-1
		rev := plan.Revision("undo-" + string(c))
		base := w.versions[c]
		ch := w.rec.Changes[w.rec.change(c)]
		parent := w.versions[ch.Parent]
		w.commit(rev, func(q *plan.Plan) {
			if ch.Content && plan.ContentDigest(q) == base.Content {
				pos := q.Spec.Position
				*q = *copyOf(parent.Plan)
				q.Spec.Position = pos
			}
			if q.Spec.Position == ch.To || last {
				q.Spec.Position = ch.From
			}
			if last {
				q.Spec.Position = p.Target
			}
		}, func(k *Change) { k.RollbackOf = c })
		made = append(made, string(rev))
	}
	w.rec = w.rec.Pushed("")
	if len(made) == 0 {
		return "nothing to push"
	}
	return "pushed " + strings.Join(made, " ")
}

// settle runs until nothing more is done; it returns what was done.
func (w *world) settle(limit int) []Decision {
	var done []Decision
	for range limit {
		d := w.decide()
		w.begin(d)
		if w.rec.Move == nil && (d.Verb == Hold || d.Verb == Complete || d.Verb == Halt) {
			return append(done, d)
		}
		w.finish()
		done = append(done, d)
	}
	return done
}

func (w *world) String() string {
	var b strings.Builder
	r := w.rec
	if r.Applied != nil {
		fmt.Fprintf(&b, "applied %s %s", r.Applied.Stop, r.Applied.Revision)
		if r.Applied.Backward {
			b.WriteString(" (entered backward)")
		}
	} else {
		b.WriteString("applied nothing")
	}
	if r.Good != nil {
		fmt.Fprintf(&b, ", good %s %s", r.Good.Stop, r.Good.Revision)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Baselines)) {
		fmt.Fprintf(&b, ", %s %v at %s", name, r.Baselines[name].Value, r.Baselines[name].Stop)
	}
	if r.Move != nil {
		fmt.Fprintf(&b, ", moving %s -> %s (%s)", r.Move.From, r.Move.To, r.Move.Verb)
	}
	if len(r.Holds) > 0 {
		fmt.Fprintf(&b, ", holds %v", r.Held())
	}
	if r.Pending != nil {
		fmt.Fprintf(&b, ", pending %v -> %s", r.Pending.Undo, r.Pending.Target)
	}
	if _, _, ok := (&state{Input: w.input()}).verifyGates(); ok {
		fmt.Fprintf(&b, ", verifying %s", r.Verify.From)
	}
	if r.Halt != nil {
		fmt.Fprintf(&b, ", halted %s", r.Halt.Reason)
	}
	return b.String()
}
