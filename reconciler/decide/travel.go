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

// closes is when the windows close that are open now: what keeps the plan then is
// something else than now, though nothing happened.
func (s *state) closes() time.Time {
	if open, _, until := s.Head.Plan.WindowsAt(s.Now); open {
		return until
	}
	return time.Time{}
}

// sooner looks again at a time, where that is before it would anyway.
func (d Decision) sooner(at time.Time) Decision {
	if !at.IsZero() && (d.RecheckAt.IsZero() || at.Before(d.RecheckAt)) {
		d.RecheckAt = at
	}
	return d
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

// watched reports whether gates are still evaluated and answered: for monitorFor
// after the plan is complete. Content that comes later asks them before it is
// applied, and begins the watch anew.
func (s *state) watched() bool {
	until := s.watchedUntil()
	return until.IsZero() || s.Now.Before(until)
}

// watchedUntil is when the gates of a complete plan are not evaluated any more;
// zero where it is not complete where it is.
func (s *state) watchedUntil() time.Time {
	a, at := s.Record.Applied, s.Record.CompletedAt
	if at.IsZero() || a == nil || s.Applied.IsZero() || at.Before(a.Since) {
		return time.Time{}
	}
	if _, more := s.itinerary().Next(a.Stop); more || s.declared() != a.Stop {
		return time.Time{}
	}
	return at.Add(time.Duration(s.Applied.Plan.Spec.MonitorFor))
}

// completeUntil is watchedUntil for a plan that is complete, if only from now
// on.
func (s *state) completeUntil() time.Time {
	if until := s.watchedUntil(); !until.IsZero() {
		return until
	}
	return s.Now.Add(time.Duration(s.Applied.Plan.Spec.MonitorFor))
}
