package simulation

import (
	"cmp"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/timeline"
)

// Other is a plan on which the one that is played depends, and what came of it.
type Other struct {
	Plan   *plan.Plan
	Report *Report
}

// Completed is a plan of which the simulation is not asked: it is complete from the
// start.
func Completed(p *plan.Plan, start time.Time) Other {
	it := p.Itinerary()
	last := it[len(it)-1]
	return Other{Plan: p, Report: &Report{Start: start, Complete: true, Events: []Event{{At: start, Verb: decide.Complete, Position: last, Declared: last}}}}
}

// Dependency is when a plan that this one depends on was complete.
type Dependency struct {
	Plan plan.Key `json:"plan"`
	// Complete is zero where it was not, in the end.
	Complete time.Time `json:"complete,omitzero"`
}

// told is how another plan stands from a time on.
type told struct {
	at    time.Time
	other Other
	event Event
}

// stories puts what came of the others in the order of time.
func stories(others []Other) (all []told) {
	for _, o := range others {
		for _, e := range o.Report.Events {
			all = append(all, told{e.At, o, e})
		}
	}
	slices.SortStableFunc(all, func(a, b told) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	return all
}

func (t told) tell(p *timeline.Player) {
	it, done := t.other.Plan.Itinerary(), t.event.Verb == decide.Complete
	state := "Steady"
	if done {
		state = "Complete"
	}
	p.Tell(t.other.Plan.Key(),
		decide.Other{Known: true, At: t.event.Position, Itinerary: it, Complete: done, Past: it.Index(t.event.Position) > 0},
		gates.PlanState{Position: t.event.Position, Declared: t.event.Declared, Complete: done, State: state})
}

// play is Play, in which the others are told as they stood at each time.
func (r *Report) play(p *timeline.Player, others []Other) error {
	from, step := r.Start, time.Duration(r.Step)
	for _, t := range stories(others) {
		if t.at.After(from) {
			if err := p.Play(from, t.at.Add(-step), step, r.add); err != nil {
				return err
			}
			from = t.at
		}
		t.tell(p)
	}
	return p.Play(from, r.End, step, r.add)
}

// dependencies are the others as a report shows them.
func dependencies(others []Other) (out []Dependency) {
	for _, o := range others {
		d := Dependency{Plan: o.Plan.Key()}
		if o.Report.Complete {
			d.Complete = o.Report.Last().At
		}
		out = append(out, d)
	}
	return out
}
