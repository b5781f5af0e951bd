package decide

import (
	"fmt"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

func (s *state) contentChanged() (Decision, bool) {
	a := s.Record.Applied
	if a == nil || s.Head.Content == a.Content {
		return Decision{}, false
	}
	d := Decision{Verb: Apply, Target: a.Stop, Revision: s.Head.Revision, Reason: ContentChanged}
	if s.Head.Live == a.Live {
		d.Message = "gates or descriptions changed: taken up at once"
		return d, true
	}
	var b blockers
	if first := s.itinerary()[0]; !s.sameGateway() && a.Stop != first {
		b.add(GatewayChanged, time.Time{}, "the plan names another gateway: that is taken up at the first stop %s, "+
			"as the old one would stay at %s and no rollback would reach it; lower the position first", first, a.Stop)
	}
	s.common(&b)
	s.connected(&b, a.Stop)
	s.windows(&b)
	s.cooldown(&b)
	s.pauses(&b)
	s.enters(&b, a.Stop)
	s.breaching(&b)
	if len(b) > 0 {
		return b.decision(s).sooner(s.closes()), true
	}
	d.Message = fmt.Sprintf("routes or backends changed at %s: applied, and the bake starts again", a.Stop)
	return d, true
}

func (s *state) arrived() (Decision, bool) {
	a := s.Record.Applied
	if a == nil || s.declared() != a.Stop {
		return Decision{}, false
	}
	if s.Git.Invalid != "" {
		return s.hold(Invalid, "the plan at head is not valid, the last valid version governs: %s", s.Git.Invalid), true
	}
	it := s.itinerary()
	next, more := it.Next(a.Stop)
	baked := s.bakedAt()
	if more {
		d := s.hold(Steady, "at the declared position %s", a.Stop)
		d.RecheckAt = future(baked, s.Now)
		if _, until, ok := s.verifyGates(); ok {
			d = d.sooner(future(until, s.Now))
		}
		if d.Propose = s.proposes(next); !d.Propose.IsZero() {
			d.Message += fmt.Sprintf("; its bake is over and its gates pass: %s is proposed", next)
		}
		return d, true
	}
	if !s.watched() {
		return Decision{
			Verb: Complete, Target: a.Stop, Revision: a.Revision, Reason: Completed,
			Message: fmt.Sprintf("complete, and monitored for %s after that: its gates are not evaluated any more", s.Applied.Plan.Spec.MonitorFor),
		}, true
	}
	var b blockers
	s.bakes(&b)
	s.gatesBlock(&b, plan.Advance, a.Stop, s.Applied.Revision)
	if len(b) > 0 {
		d := b.decision(s)
		d.Reason = Steady
		d.Message = fmt.Sprintf("at the last stop %s: %s", a.Stop, d.Message)
		return d.sooner(s.watchedUntil()), true
	}
	return Decision{
		Verb: Complete, Target: a.Stop, Revision: a.Revision, Reason: Completed,
		Message:   fmt.Sprintf("the last stop %s has baked and its advance gates pass", a.Stop),
		RecheckAt: s.completeUntil(),
	}, true
}

func (s *state) forward() (Decision, bool) {
	it, eff := s.itinerary(), s.effective()
	next, ok := it.Next(eff)
	if !ok {
		return Decision{}, false
	}
	var b blockers
	s.common(&b)
	s.requirements(&b)
	s.connected(&b, next)
	s.windows(&b)
	s.notBefore(&b, next)
	s.manual(&b, next)
	s.approvals(&b, next)
	s.cooldown(&b)
	if !eff.IsZero() {
		s.bakes(&b)
		s.pauses(&b)
		s.gatesBlock(&b, plan.Advance, eff, s.Applied.Revision)
		s.remembers(&b)
	}
	s.enters(&b, next)
	s.breaching(&b)
	s.unhealthy(&b)
	if len(b) > 0 {
		return b.decision(s).sooner(s.closes()), true
	}
	d := Decision{Verb: Advance, Target: next, Revision: s.Head.Revision, Reason: GatesPassed}
	d.Message = fmt.Sprintf("every gate between %s and %s passes", eff, next)
	if eff.IsZero() {
		d.Reason = Entering
		d.Message = fmt.Sprintf("nothing was applied yet: entering the first stop %s", next)
	}
	return d, true
}

// sameGateway reports whether head has the traffic at the gateway at which it
// is.
func (s *state) sameGateway() bool {
	if s.Applied.IsZero() {
		return true
	}
	h, a := s.Head.Plan.Spec.Gateway, s.Applied.Plan.Spec.Gateway
	if h == nil || a == nil {
		return h == a
	}
	if h.GatewayAPI != nil && a.GatewayAPI != nil && h.GatewayAPI.Namespace != a.GatewayAPI.Namespace {
		return false // another HTTPRoute
	}
	return (h.GatewayAPI != nil) == (a.GatewayAPI != nil) && (h.NGINX != nil) == (a.NGINX != nil) && (h.Bridge != nil) == (a.Bridge != nil) &&
		h.Bridged() == a.Bridged() // another function puts callers on a side
}

// common are the checks that do not hang on the stop: halted, invalid, Git
// stale, a rollback that is being verified.
func (s *state) common(b *blockers) {
	if h := s.Record.Halt; h != nil {
		b.halted(h)
	}
	if s.Git.Invalid != "" {
		b.add(Invalid, time.Time{}, "the plan at head is not valid: %s", s.Git.Invalid)
	}
	s.stale(b)
	s.verifies(b)
}

func (b *blockers) halted(h *HaltOf) {
	b.add(Halted, time.Time{}, "halted (%s): %s", h.Reason, h.Message)
}

func (s *state) stale(b *blockers) {
	if s.Now.Sub(s.Git.ReadAt) > s.Limits.GitMaxAge {
		b.add(GitStale, time.Time{}, "git was not read for more than %s", plan.Duration(s.Limits.GitMaxAge))
	}
}

// requirements are asked for at the first stop: before it is left, what the
// plan needs of the cluster must be there.
func (s *state) requirements(b *blockers) {
	if eff := s.effective(); eff.IsZero() || s.itinerary().Index(eff) > 0 {
		return
	}
	for _, u := range s.Unmet {
		b.add(Unmet, time.Time{}, "the cluster does not meet what the plan requires: %s", u)
	}
}

func (s *state) cooldown(b *blockers) {
	if s.Record.LiftedAt.IsZero() {
		return
	}
	if until := s.Record.LiftedAt.Add(s.Limits.Cooldown); s.Now.Before(until) {
		b.add(Cooldown, until, "a rollback was lifted: nothing moves for %s after that", plan.Duration(s.Limits.Cooldown))
	}
}

// bakedAt is when the effective stop's bake ends.
func (s *state) bakedAt() time.Time {
	v := s.Applied
	if v.IsZero() {
		v = s.Head
	}
	return s.Record.Applied.Since.Add(time.Duration(v.Plan.BakeAt(s.effective())))
}

// Baked reports whether the effective stop has finished its bake.
func (in Input) Baked() bool {
	if in.Record.Applied == nil {
		return false
	}
	s := &state{Input: in}
	return !in.Now.Before(s.bakedAt())
}

func (s *state) bakes(b *blockers) {
	if at := s.bakedAt(); s.Now.Before(at) {
		b.add(Baking, at, "%s bakes for %s", s.effective(), s.Applied.Plan.BakeAt(s.effective()))
	}
}

// pauses blocks while a pause gate of the effective stop is true, and, as no
// data is never a pass, while one is not known to be false.
func (s *state) pauses(b *blockers) {
	s.missing(b, plan.Pause, s.effective(), s.Applied)
	for _, r := range s.results(plan.Pause, s.effective(), s.Applied.Revision) {
		switch r.Verdict {
		case gates.Fail:
		case gates.Pass:
			b.add(Paused, time.Time{}, "paused by %s", describe(gates.Results{r}))
		case gates.NoData:
			b.add(GateNoData, time.Time{}, "no data: %s", describe(gates.Results{r}))
		case gates.Error:
			b.add(GateError, time.Time{}, "cannot evaluate: %s", describe(gates.Results{r}))
		}
	}
}

func (s *state) enters(b *blockers, stop plan.Position) {
	s.gatesBlock(b, plan.Enter, stop, s.Head.Revision)
}

// gatesBlock blocks for every gate that is not Pass, and for one that is
// declared but was not evaluated.
func (s *state) gatesBlock(b *blockers, e plan.Effect, stop plan.Position, rev plan.Revision) {
	v := s.Head
	if rev == s.Applied.Revision && !s.Applied.IsZero() {
		v = s.Applied
	}
	for _, r := range s.results(e, stop, rev) {
		switch r.Verdict {
		case gates.Pass:
		case gates.NoData:
			b.add(GateNoData, time.Time{}, "no data: %s %s", e, describe(gates.Results{r}))
		case gates.Error:
			b.add(GateError, time.Time{}, "cannot evaluate: %s %s", e, describe(gates.Results{r}))
		default:
			b.add(GateFailed, time.Time{}, "%s %s", e, describe(gates.Results{r}))
		}
	}
	s.missing(b, e, stop, v)
}

// missing blocks for every gate of a version that was not evaluated.
func (s *state) missing(b *blockers, e plan.Effect, stop plan.Position, v plan.Version) {
	if v.IsZero() || v.Plan.Phase(stop.Phase) == nil {
		return
	}
	rs := s.results(e, stop, v.Revision)
	for _, g := range v.Plan.Phase(stop.Phase).GatesOf(e) {
		if !has(rs, g.Name) {
			b.add(GateNoData, time.Time{}, "%s gate %s at %s was not evaluated", e, g.Name, stop)
		}
	}
}

// breaching blocks while a rollback expression is true at this instant though
// its `for` is not, as going on now would only be undone; and while an alarm is
// blind, as nothing would undo it.
func (s *state) breaching(b *blockers) {
	s.missing(b, plan.Breaches, s.effective(), s.Applied)
	for _, r := range s.Verdicts {
		if r.Effect != plan.Breaches || r.Stop != s.effective() {
			continue
		}
		switch {
		case r.Now == gates.Pass:
			b.add(Breaching, time.Time{}, "about to breach: %s", describe(gates.Results{r}))
		case r.Verdict == gates.NoData:
			b.add(GateNoData, time.Time{}, "no data: rollback %s", describe(gates.Results{r}))
		case r.Verdict == gates.Error:
			b.add(GateError, time.Time{}, "cannot evaluate: rollback %s", describe(gates.Results{r}))
		}
	}
}

func (s *state) unhealthy(b *blockers) {
	for _, x := range []struct {
		name string
		part Part
	}{{"cluster", s.Observed.Cluster}, {"gateway", s.Observed.Gateway}} {
		if x.part.Ill() && !s.effective().IsZero() {
			b.add(NotHealthy, time.Time{}, "%s is not healthy at %s: %s", x.name, s.effective(), x.part.Message)
		}
	}
	if why := s.Observed.Split; why != "" && !s.effective().IsZero() {
		b.add(SplitMismatch, time.Time{}, "requests are not split as %s declares: %s", s.effective(), why)
	}
	if x := s.Record.Behind; x != nil {
		b.add(TakingBack, time.Time{}, "what %s left in data is being taken back", x.From)
	}
}

func has(rs gates.Results, name string) bool {
	return slices.ContainsFunc(rs, func(r gates.Result) bool { return r.Name == name })
}

func (s *state) results(e plan.Effect, stop plan.Position, rev plan.Revision) gates.Results {
	var out gates.Results
	for _, r := range s.Verdicts {
		if r.Effect == e && r.Stop == stop && r.Revision == rev {
			out = append(out, r)
		}
	}
	return out
}

func future(t, now time.Time) time.Time {
	if t.After(now) {
		return t
	}
	return time.Time{}
}
