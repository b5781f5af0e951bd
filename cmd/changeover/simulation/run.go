package simulation

import (
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/timeline"
)

// Report is what came of a simulation.
type Report struct {
	Plan      plan.Key       `json:"plan"`
	Itinerary plan.Itinerary `json:"itinerary"`
	Start     time.Time      `json:"start"`
	End       time.Time      `json:"end"`
	Step      plan.Duration  `json:"step"`
	Steps     int            `json:"steps"`
	// To is what is declared at the beginning.
	To plan.Position `json:"to"`
	// Signals says where the values of the signals are from.
	Signals string  `json:"signals"`
	Events  []Event `json:"events"`
	Stays   []Stay  `json:"stays"`
	// DependsOn are the plans that were played before it, as it depends on them.
	DependsOn []Dependency `json:"dependsOn,omitempty"`
	// Complete: in the end the plan is complete, and was not taken back since.
	Complete bool `json:"complete"`
}

// Event is a decision that says something else than the one before.
type Event struct {
	At        time.Time     `json:"at"`
	Verb      decide.Verb   `json:"verb"`
	Reason    decide.Reason `json:"reason"`
	Position  plan.Position `json:"position"` // afterwards
	Declared  plan.Position `json:"declared"` // afterwards
	Message   string        `json:"message"`
	Reverted  int           `json:"reverted,omitempty"` // commits
	RecheckAt time.Time     `json:"recheckAt,omitzero"`
}

// Stay is the time at one stop.
type Stay struct {
	Stop    plan.Position `json:"stop"`
	Entered time.Time     `json:"entered"`
	Left    time.Time     `json:"left"` // the end of the simulation where it was not
	// Taken back: it was left by a rollback.
	TakenBack bool `json:"takenBack,omitempty"`
}

// Run fills in what comes of the simulation of a player that is at Start, while the
// others stand as in their reports, which have the same start and step.
func (r *Report) Run(p *timeline.Player, others ...Other) error {
	r.Events, r.Stays = []Event{}, []Stay{}
	r.Steps = int(r.End.Sub(r.Start)/time.Duration(r.Step)) + 1
	r.DependsOn = dependencies(others)
	err := r.play(p, others)
	if n := len(r.Stays); n > 0 {
		r.Stays[n-1].Left = r.End
	}
	r.Complete = r.Last().Verb == decide.Complete
	return err
}

func (r *Report) add(l timeline.Look) {
	d := l.Decision
	if last := r.Last(); len(r.Events) > 0 && last.Verb == d.Verb && last.Reason == d.Reason && last.Position == l.Effective && last.Declared == l.Declared {
		return // it was said before another plan was told of
	}
	r.Events = append(r.Events, Event{
		At: l.At, Verb: d.Verb, Reason: d.Reason, Position: l.Effective, Declared: l.Declared, Message: d.Message,
		Reverted: len(l.Reverts), RecheckAt: d.RecheckAt,
	})
	n := len(r.Stays)
	if l.Effective.IsZero() || n > 0 && r.Stays[n-1].Stop == l.Effective {
		return
	}
	entered := l.At
	if n == 0 {
		entered = r.Start
	} else {
		r.Stays[n-1].Left, r.Stays[n-1].TakenBack = l.At, d.Verb == decide.Rollback
	}
	r.Stays = append(r.Stays, Stay{Stop: l.Effective, Entered: entered})
}

// Last is what is so at the end.
func (r *Report) Last() Event {
	if len(r.Events) == 0 {
		return Event{}
	}
	return r.Events[len(r.Events)-1]
}
