package decide

import (
	"fmt"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// Blindness is that at least one gate of the effective stop is not known: it
// has no data, or it cannot be evaluated.
type Blindness struct {
	// Stop is the effective stop: another one has gates of its own, and the
	// time begins anew.
	Stop plan.Position `json:"stop"`
	// Since is when the first gate was not known. It goes on while any is not,
	// whichever that is.
	Since time.Time `json:"since"`
	// Told: a person was paged.
	Told bool `json:"told,omitempty"`
}

// Notice is what people are told beside decisions.
type Notice struct {
	Reason   Reason // Blind or DataKnown
	Message  string
	Evidence gates.Results // the gates that are not known
}

// Watch takes in whether the gates of the effective stop are known, once an
// input was decided about. The notice is what a person is to be told now, or
// nil: that they were not for Limits.NoDataAlert, and then that they are again,
// each once. A caller tells it before it saves the record: a crash between the
// two tells it twice, which is better than never.
func (r Record) Watch(in Input) (Record, *Notice) {
	in.Record = r
	s := &state{Input: in}
	unknown, learned := s.unknown()
	b := r.Blind
	switch {
	case !learned || len(unknown) == 0 && b == nil:
		return r, nil
	case len(unknown) == 0:
		r = r.Clone()
		r.Blind = nil
		if !b.Told {
			return r, nil
		}
		return r, &Notice{Reason: DataKnown, Message: fmt.Sprintf("every gate at %s is known again; since %s at least one was not",
			s.effective(), b.Since.UTC().Format(time.RFC3339))}
	case b == nil || b.Stop != s.effective():
		r = r.Clone()
		r.Blind = &Blindness{Stop: s.effective(), Since: s.Now}
	}
	if r.Blind.Told || s.Now.Before(r.Blind.Since.Add(s.Limits.NoDataAlert)) {
		return r, nil
	}
	r = r.Clone()
	r.Blind.Told = true
	return r, &Notice{Reason: Blind, Evidence: unknown, Message: fmt.Sprintf("blind at %s for %s: %s",
		s.effective(), plan.Duration(s.Limits.NoDataAlert), Unseen(unknown))}
}

// BlindAt is when a person is told, if nothing changes until then; zero where
// there is nothing to tell, or it was told.
func (r Record) BlindAt(limit time.Duration) time.Time {
	if r.Blind == nil || r.Blind.Told {
		return time.Time{}
	}
	return r.Blind.Since.Add(limit)
}

// Unseen puts gates that are not known in words: effect, name and why.
func Unseen(rs gates.Results) string {
	var out []string
	seen := map[string]bool{}
	for _, r := range rs {
		why := r.Detail
		if why == "" {
			why = "no data"
			if r.Verdict == gates.Error {
				why = "cannot be evaluated"
			}
		}
		t := fmt.Sprintf("%s gate %s (%s)", r.Effect, r.Name, why)
		if !seen[t] { // head and good may declare the same gate
			seen[t] = true
			out = append(out, t)
		}
	}
	return strings.Join(out, "; ")
}

// Unknown are the gates of a stop among results that are not known: what
// Blindness counts, in their order. One that waits for evidence of after a way
// back is not among them: people were told of that.
func Unknown(rs gates.Results, stop plan.Position) gates.Results {
	var out gates.Results
	for _, r := range rs {
		if r.Stop == stop && watches(r.Effect) && (r.Verdict == gates.NoData || r.Verdict == gates.Error) && !r.Waits {
			out = append(out, r)
		}
	}
	return out
}

// watches reports whether a gate of this effect watches over a stop while the
// plan is there.
func watches(e plan.Effect) bool { return e == plan.Advance || e == plan.Pause || e == plan.Breaches }

// unknown are the gates of the effective stop that are not known, those that
// were not evaluated though others were included. Where none was, as in a move
// backward, which waits for no answer, nothing is learned.
func (s *state) unknown() (out gates.Results, learned bool) {
	declared, evaluated := 0, 0
	for _, want := range Wants(s.Input) {
		ph := want.Version.Plan.Phase(want.Request.Stop.Phase)
		if ph == nil {
			continue
		}
		for _, e := range want.Request.Effects {
			if !watches(e) {
				continue
			}
			rs := s.results(e, want.Request.Stop, want.Version.Revision)
			declared, evaluated = declared+len(ph.GatesOf(e)), evaluated+len(rs)
			out = append(out, Unknown(rs, s.effective())...)
			for _, g := range ph.GatesOf(e) {
				if !has(rs, g.Name) {
					k := gates.Key{Revision: want.Version.Revision, Stop: want.Request.Stop, Effect: e, Name: g.Name}
					out = append(out, gates.Result{Key: k, Verdict: gates.NoData, Now: gates.NoData, Expr: g.Expr, Detail: "not evaluated"})
				}
			}
		}
	}
	return out, evaluated > 0 || declared == 0
}
