package timeline

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Commit is what a person commits to the branch.
type Commit struct {
	// To is the position that it declares; none: as before, or as Plan says.
	To plan.Position
	// Plan, where set, is what the plan's file holds from then on.
	Plan *plan.Plan
	// Author is an e-mail address; empty: not known.
	Author string
	// Resume ends a halt, Unhold lifts the newest hold, by the trailers for it.
	Resume, Unhold bool
}

// Commit puts a commit on the branch. The error says that the plan's gates do not
// compile.
func (p *Player) Commit(now time.Time, c Commit) error {
	p.now = now
	v, to := p.head, p.head.Plan.Spec.Position
	if c.Plan != nil {
		v.Plan, to = c.Plan, c.Plan.Spec.Position
		v.Content, v.Live = plan.ContentDigest(c.Plan), plan.LiveDigest(c.Plan)
		if err := p.compile(v); err != nil {
			return err
		}
	}
	if !c.To.IsZero() {
		to = c.To
	}
	ch := decide.Change{Resume: c.Resume, Author: strings.ToLower(c.Author)}
	if n := len(p.rec.Holds); c.Unhold && n > 0 {
		ch.Unhold = p.rec.Holds[n-1].Commit
	}
	p.commit(v, to, ch)
	return nil
}

// Approve puts an approval on the branch. It is for the raise that declares the
// position then.
func (p *Player) Approve(now time.Time, a decide.Approval) {
	p.now = now
	a.At, a.Author = now, strings.ToLower(a.Author)
	if raise, ok := decide.RaiseAt(p.head.Plan.Itinerary(), p.rec.Changes); ok {
		a.Raise = raise.Commit
	}
	p.approvals = append(p.approvals, a)
	p.changed = true
}

// Tell says how another plan stands from now on: to what this one depends on or
// conflicts with, and to gates. Its Completed is filled in from what was told
// before.
func (p *Player) Tell(key plan.Key, o decide.Other, st gates.PlanState) {
	before := p.others[key]
	o.Completed = o.Complete || before.Completed && o.Itinerary.Index(o.At) >= o.Itinerary.Index(before.At)
	p.others[key] = o
	if key.Namespace == p.o.Plan.Plan.Metadata.Namespace {
		p.stands[key.Name] = st
	}
	p.changed = true
}

// TellEntities says what is known of entities from now on.
func (p *Player) TellEntities(e *gates.Entities) {
	p.entities = e
	p.changed = true
}

// TellTransform says how far a transform of the plan is from now on.
func (p *Player) TellTransform(name string, t gates.Transform) {
	p.transforms = maps.Clone(p.transforms)
	if p.transforms == nil {
		p.transforms = map[string]gates.Transform{}
	}
	p.transforms[name] = t
	p.changed = true
}

// TellBridges says what bridges tell gates from now on.
func (p *Player) TellBridges(b gates.Bridges) {
	p.bridges = b
	p.changed = true
}

// commit puts a version of the plan with that position on the branch.
func (p *Player) commit(v plan.Version, to plan.Position, c decide.Change) {
	declared := *v.Plan
	declared.Spec.Position = to
	p.commits++
	v.Plan, v.Revision = &declared, plan.Revision(fmt.Sprintf("%040x", p.commits))
	c.Commit, c.Parent, c.To, c.At = v.Revision, p.head.Revision, to, p.now
	it := declared.Itinerary()
	if p.head.Plan == nil {
		c.Raise, c.Content, c.Live = true, true, true
	} else {
		c.From = p.head.Plan.Spec.Position
		c.Raise, c.Lower = it.Index(to) > it.Index(c.From), it.Index(to) < it.Index(c.From)
		c.Content, c.Live = v.Content != p.head.Content, v.Live != p.head.Live
	}
	p.versions[v.Revision], p.head, p.changed = v, v, true
	p.rec = p.rec.See(it, v.Revision, []decide.Change{c}, p.now)
	p.rec.Valid = v.Revision
}

// push lets the pending revert reach the branch: one commit for each that is
// undone, newest first, of which the last declares the target.
func (p *Player) push() (made []plan.Revision) {
	pending := p.rec.Pending
	if pending == nil {
		return nil
	}
	for i, undone := range pending.Undo {
		was := p.change(undone)
		to := pending.Target
		if i < len(pending.Undo)-1 {
			to = was.From
		}
		v := p.head
		if was.Content && v.Content == p.versions[undone].Content {
			v = p.versions[was.Parent] // other content on top of it stays
		}
		p.commit(v, to, decide.Change{RollbackOf: undone})
		made = append(made, undone)
	}
	p.rec = p.rec.Pushed("")
	return made
}

// change is a commit as the record has it; for one that it does not have a change
// of nothing.
func (p *Player) change(rev plan.Revision) decide.Change {
	i := slices.IndexFunc(p.rec.Changes, func(c decide.Change) bool { return c.Commit == rev })
	if i < 0 {
		return decide.Change{From: p.head.Plan.Spec.Position}
	}
	return p.rec.Changes[i]
}
