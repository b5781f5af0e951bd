package plantest

import (
	"cmp"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/timeline"
)

// event is one thing that happens in a test.
type event struct {
	at      time.Duration
	happens func(*timeline.Player, time.Time) error
}

// script is all that happens in a test, in its order: at one time commits come
// before the approvals that are of them.
func (f *File) script(p *plan.Plan, t Test) (out []event) {
	for _, o := range t.Others {
		key := p.Other(o.Plan)
		out = append(out, event{o.At, func(player *timeline.Player, _ time.Time) error {
			other := f.other(key)
			st, facts := o.stands(other, p)
			player.Tell(key, st, facts)
			return nil
		}})
	}
	var told gates.Bridges
	for _, b := range t.Bridges {
		told = b.over(told)
		now := told
		out = append(out, event{b.At, func(player *timeline.Player, _ time.Time) error {
			player.TellBridges(now)
			return nil
		}})
	}
	for _, e := range t.Entities {
		out = append(out, event{e.At, func(player *timeline.Player, _ time.Time) error {
			player.TellEntities(e.facts())
			return nil
		}})
	}
	for _, x := range t.Transforms {
		out = append(out, event{x.At, func(player *timeline.Player, _ time.Time) error {
			player.TellTransform(x.Name, x.facts())
			return nil
		}})
	}
	for _, c := range t.Commits {
		out = append(out, event{c.At, func(player *timeline.Player, now time.Time) error {
			return player.Commit(now, timeline.Commit{
				To: c.Position, Plan: f.plans[c.Plan], Author: cmp.Or(c.Author, t.Author), Resume: c.Resume, Unhold: c.Unhold,
			})
		}})
	}
	for _, a := range t.Approvals {
		out = append(out, event{a.At, func(player *timeline.Player, now time.Time) error {
			player.Approve(now, decide.Approval{File: "the approval by " + a.By, Stop: a.Stop, Role: a.Role, Item: a.Item, Author: a.By})
			return nil
		}})
	}
	slices.SortStableFunc(out, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return out
}

// stands is how another plan stands, for what depends on it and for gates.
func (o Other) stands(other, reader *plan.Plan) (decide.Other, gates.PlanState) {
	it := other.Itinerary()
	d := decide.Other{Known: !o.Unknown, At: o.Position, Itinerary: it, Complete: o.Complete, Conflicts: conflict(other, reader)}
	if o.Unknown {
		return d, gates.PlanState{Unknown: "it is told to be"}
	}
	state := o.State
	if o.Complete {
		state = cmp.Or(state, "Complete")
		if d.At.IsZero() {
			d.At = it[len(it)-1]
		}
	}
	d.Past = it.Index(d.At) > 0
	return d, gates.PlanState{
		Position: d.At, Declared: cmp.Or(o.Declared, d.At), Complete: o.Complete, State: cmp.Or(state, "Steady"),
	}
}

// conflict reports whether a plan names another among those it conflicts with.
func conflict(p, other *plan.Plan) bool {
	return slices.ContainsFunc(p.Spec.ConflictsWith, func(name string) bool { return p.Other(name) == other.Key() })
}

// other is one of the other plans; nil where no file has it.
func (f *File) other(key plan.Key) *plan.Plan {
	for _, p := range f.plansOf(f.Others) {
		if p.Key() == key {
			return p
		}
	}
	return nil
}

func (f *File) plansOf(paths []string) (out []*plan.Plan) {
	for _, path := range paths {
		out = append(out, f.plans[path])
	}
	return out
}

// contents are the plan, and what its file holds after commits of the test.
func (f *File) contents(p *plan.Plan, t Test) []*plan.Plan {
	out := []*plan.Plan{p}
	for _, c := range t.Commits {
		if c.Plan != "" {
			out = append(out, f.plans[c.Plan])
		}
	}
	return out
}
