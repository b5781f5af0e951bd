package decide

import (
	"fmt"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// Verification is a rollback whose outcome is being watched: the verify gates
// of the phase out of which it led.
type Verification struct {
	// From is where the rollback began, Since when it was done.
	From  plan.Position `json:"from"`
	Since time.Time     `json:"since"`
	// Failed: a person was told that going back did not help.
	Failed bool `json:"failed,omitempty"`
}

// verifyGates are the gates to watch and for how long, as what is in force now
// declares them; none where the phase has none.
func (s *state) verifyGates() ([]gates.Result, time.Time, bool) {
	v := s.Record.Verify
	if v == nil || s.Applied.IsZero() {
		return nil, time.Time{}, false
	}
	ph := s.Applied.Plan.Phase(v.From.Phase)
	if ph == nil || len(ph.Rollback.Verify) == 0 {
		return nil, time.Time{}, false
	}
	return s.results(plan.Verify, v.From, s.Applied.Revision), v.Since.Add(time.Duration(ph.Rollback.VerifyFor)), true
}

// unverified halts when a verify gate is false after a rollback: going back did
// not help, and only a person can tell what does.
func (s *state) unverified() (Decision, bool) {
	rs, _, ok := s.verifyGates()
	if !ok || s.Record.Verify.Failed {
		return Decision{}, false
	}
	failing := slices.DeleteFunc(slices.Clone(rs), func(r gates.Result) bool { return r.Verdict != gates.Fail })
	if len(failing) == 0 {
		return Decision{}, false
	}
	return Decision{
		Verb: Halt, Target: s.effective(), Reason: VerifyFailed, Evidence: failing,
		Message: fmt.Sprintf("manual intervention required: the rollback from %s to %s is done, and this is still not true: %s",
			s.Record.Verify.From, s.effective(), describe(failing)),
	}, true
}

// verified reports whether the watch is over: there was nothing to watch, or
// its time has passed and every gate is known to be true.
func (s *state) verified() bool {
	rs, until, ok := s.verifyGates()
	if !ok {
		return true
	}
	ph := s.Applied.Plan.Phase(s.Record.Verify.From.Phase)
	return !s.Now.Before(until) && len(rs) == len(ph.Rollback.Verify) &&
		!slices.ContainsFunc(rs, func(r gates.Result) bool { return r.Verdict != gates.Pass })
}

// verifies blocks while the outcome of a rollback is being watched.
func (s *state) verifies(b *blockers) {
	rs, until, ok := s.verifyGates()
	if !ok || s.verified() {
		return
	}
	if s.Now.Before(until) {
		b.add(Verifying, until, "the rollback from %s is being verified for %s", s.Record.Verify.From, plan.Duration(until.Sub(s.Record.Verify.Since)))
		return
	}
	open := slices.DeleteFunc(slices.Clone(rs), func(r gates.Result) bool { return r.Verdict == gates.Pass })
	b.add(Verifying, time.Time{}, "the rollback from %s could not be verified: %s", s.Record.Verify.From, describe(open))
}
