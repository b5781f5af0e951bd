package decide

import (
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// windows blocks outside of the times in which the plan may move forward.
func (s *state) windows(b *blockers) {
	if open, why, until := s.Head.Plan.WindowsAt(s.Now); !open {
		b.add(OutsideWindow, until, "%s", why)
	}
}

// notBefore blocks before the earliest time at which a stop is entered.
func (s *state) notBefore(b *blockers, stop plan.Position) {
	ph := s.Head.Plan.Phase(stop.Phase)
	if ph == nil {
		return
	}
	if at := ph.NotBefore.At(stop.Percent); s.Now.Before(at) {
		b.add(NotBefore, at, "%s is not entered before %s", stop, at.UTC().Format(time.RFC3339))
	}
}

// manual blocks before a phase that is entered only when the position names it.
func (s *state) manual(b *blockers, stop plan.Position) {
	if ph := s.Head.Plan.Phase(stop.Phase); ph != nil && ph.Manual && s.declared().Phase != stop.Phase {
		b.add(Manual, time.Time{}, "phase %s is manual: it is entered only when the position names it", stop.Phase)
	}
}

// proposes is the stop that the daemon is to propose, at the declared one: its
// bake is over and its advance gates pass, nothing else keeps the plan, and the
// next stop is not one that a person must name.
func (s *state) proposes(next plan.Position) plan.Position {
	if s.Head.Plan.Spec.Promotion != plan.PromotionAuto {
		return plan.Position{}
	}
	if ph := s.Head.Plan.Phase(next.Phase); ph == nil || ph.Manual && next.Phase != s.effective().Phase {
		return plan.Position{}
	}
	var b blockers
	s.common(&b)
	s.bakes(&b)
	s.pauses(&b)
	s.gatesBlock(&b, plan.Advance, s.effective(), s.Applied.Revision)
	s.breaching(&b)
	s.unhealthy(&b)
	if len(b) > 0 {
		return plan.Position{}
	}
	return next
}

// watched reports whether gates are still evaluated: for monitorFor after the
// plan is complete.
func (s *state) watched() bool {
	at := s.Record.CompletedAt
	if at.IsZero() || s.Applied.IsZero() || s.declared() != s.effective() {
		return true
	}
	return s.Now.Before(at.Add(time.Duration(s.Applied.Plan.Spec.MonitorFor)))
}
