package decide

import (
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// Want names gates to evaluate, and the version of the plan that declares them.
type Want struct {
	Version plan.Version
	Request gates.Request
}

// Wants lists what Decide will read of in.Verdicts: the gates of the effective
// stop, the alarms of the good version until the applied one is good itself,
// the verify gates after a rollback, and the enter gates of the stop that may
// be entered next.
func Wants(in Input) []Want {
	s := &state{Input: in}
	if s.Head.IsZero() {
		return nil
	}
	var out []Want
	eff := s.effective()
	if a := s.Record.Applied; a != nil && !s.Applied.IsZero() && (s.watched() || s.Head.Content != a.Content) {
		out = append(out, Want{s.Applied, gates.Request{
			Stop: eff, Effects: []plan.Effect{plan.Advance, plan.Pause, plan.Breaches}, Since: a.Since, Fresh: a.Backward,
		}})
		if !s.Good.IsZero() && s.Good.Content != s.Applied.Content {
			out = append(out, Want{s.Good, gates.Request{
				Stop: eff, Effects: []plan.Effect{plan.Breaches}, Since: a.Since, Fresh: a.Backward,
			}})
		}
		if _, _, ok := s.verifyGates(); ok {
			out = append(out, Want{s.Applied, gates.Request{
				Stop: s.Record.Verify.From, Effects: []plan.Effect{plan.Verify}, Since: s.Record.Verify.Since, Fresh: true,
			}})
		}
		if s.Head.Content != a.Content {
			out = append(out, Want{s.Head, gates.Request{Stop: eff, Effects: []plan.Effect{plan.Enter}}})
		}
	}
	if next, ok := s.itinerary().Next(eff); ok && s.ahead(next) {
		out = append(out, Want{s.Head, gates.Request{Stop: next, Effects: []plan.Effect{plan.Enter}}})
	}
	return out
}

// ahead reports whether the declared position lies at the stop or beyond.
func (s *state) ahead(next plan.Position) bool {
	return !after(s.itinerary(), next, s.declared())
}

// Leaves is the stop that may be left forward: the baselines that are
// remembered there are due. None where the plan is where it should be, or was
// not applied yet.
func Leaves(in Input) plan.Position {
	s := &state{Input: in}
	if s.Head.IsZero() {
		return plan.Position{}
	}
	if next, ok := s.itinerary().Next(s.effective()); ok && s.ahead(next) {
		return s.effective()
	}
	return plan.Position{}
}
