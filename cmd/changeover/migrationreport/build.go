package migrationreport

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// The kinds of reports.
const (
	Daily = "daily"
	Final = "final"
)

// Build makes the report. Nothing in it is nil that is a list.
func Build(in Input) Report {
	p := in.Head.Plan
	it := p.Itinerary()
	r := Report{
		Kind: Daily, Plan: p.Key(), File: in.Head.Path, Head: in.Head.Revision, Since: in.Since.UTC(), At: in.Now.UTC(),
		Declared: declared(it, p.Spec.Position, in.Changes), Effective: effective(in), Suspended: p.Spec.Suspend,
		Blocks: []decide.Block{}, Sides: in.Sides, NoSides: in.NoSides, Changes: []Change{}, Rollbacks: []Rollback{},
		Signals: []Signal{}, Gates: lines(in), Counts: append([]Count{}, in.Counts...),
		Success: criteria(in.Success), SignOffs: signOffs(in), Notes: append([]string{}, in.Notes...),
	}
	r.Next, _ = it.Next(p.Spec.Position)
	if d := in.Decision; d != nil {
		r.Doing = fmt.Sprintf("%s (%s): %s", d.Verb, d.Reason, d.Message)
		r.Blocks = append(r.Blocks, d.Blocks...)
	}
	for _, c := range in.Changes {
		if in.Final || c.At.After(in.Since) {
			r.Changes = append(r.Changes, told(c))
			if c.RollbackOf != "" {
				r.Rollbacks = append(r.Rollbacks, rollback(c, in))
			}
		}
	}
	for _, s := range in.Signals {
		r.Signals = append(r.Signals, signal(s))
		if len(s.Points) > 1 {
			r.ReadEvery = plan.Duration(s.Points[1].Time.Sub(s.Points[0].Time))
		}
	}
	if in.Final {
		r.Kind, r.Stops = Final, stops(in)
		r.Open = open(&r)
	}
	return r
}

// declared is the newest change that declares the position.
func declared(it plan.Itinerary, at plan.Position, changes []decide.Change) Declared {
	d := Declared{Stop: at, Index: it.Index(at) + 1, Of: len(it)}
	for _, c := range changes {
		if c.To == at && c.From != at {
			d.Commit, d.By, d.At = c.Commit, c.Author, c.At.UTC()
		}
	}
	return d
}

// effective is the end of the track. A daemon that has told nothing for a while
// is still where it was: nothing else moves a plan.
func effective(in Input) Effective {
	if len(in.Track) == 0 {
		return Effective{Stop: in.Head.Plan.Spec.Position, Assumed: true}
	}
	last := in.Track[len(in.Track)-1]
	e := Effective{Stop: last.Stop, Since: last.From.UTC()}
	for _, s := range slices.Backward(in.Track) {
		if s.Stop != last.Stop {
			break
		}
		e.Since = s.From.UTC()
	}
	return e
}

// told is a change in words.
func told(c decide.Change) Change {
	var what []string
	switch {
	case c.From.IsZero() && !c.To.IsZero():
		what = append(what, "added at "+c.To.String())
	case c.To.IsZero() && !c.From.IsZero():
		what = append(what, "removed")
	case c.Raise:
		what = append(what, fmt.Sprintf("raised from %s to %s", c.From, c.To))
	case c.From != c.To:
		what = append(what, fmt.Sprintf("lowered from %s to %s", c.From, c.To))
	}
	if c.RollbackOf != "" {
		what = append(what, "rollback of "+c.RollbackOf.Short())
	}
	if c.Reverts != "" {
		what = append(what, "revert of "+c.Reverts.Short())
	}
	if c.Unhold != "" {
		what = append(what, "lifted the hold on "+c.Unhold.Short())
	}
	if c.Resume {
		what = append(what, "ended a halt")
	}
	if c.Content && !c.From.IsZero() && c.RollbackOf == "" {
		what = append(what, map[bool]string{true: "changed what is applied", false: "changed the plan"}[c.Live])
	}
	return Change{Commit: c.Commit, At: c.At.UTC(), By: c.Author, What: strings.Join(what, ", "), Subject: c.Subject}
}

func rollback(c decide.Change, in Input) Rollback {
	cause := in.Causes[c.Commit]
	r := Rollback{Commit: c.Commit, Undid: c.RollbackOf, At: c.At.UTC(), From: c.From, To: c.To, Gates: cause.Gates, Evidence: cause.Evidence}
	for _, later := range in.Changes {
		r.Again = r.Again || later.Unhold != "" && later.Unhold == c.RollbackOf
	}
	return r
}

// signal sums up the readings.
func signal(s Readings) Signal {
	out := Signal{Name: s.Name, Side: s.Side, Why: "nothing was asked"}
	known := 0
	sum := 0.0
	for i := range s.Points {
		p := s.Points[i]
		out.Now, out.Why = nil, p.Unknown
		if p.Unknown != "" {
			continue
		}
		known++
		sum += p.Value
		v := p.Value
		out.Now = &v
		if out.Min == nil || v < *out.Min {
			out.Min = &v
		}
		if out.Max == nil || v > *out.Max {
			out.Max = &v
		}
	}
	if known > 0 {
		average := sum / float64(known)
		out.Mean, out.Known = &average, float64(known)/float64(len(s.Points))
	}
	out.Before = Mean(s.Before)
	return out
}

// Mean of the points that are known; nil where none is.
func Mean(points []gates.Point) *float64 {
	n, sum := 0, 0.0
	for _, p := range points {
		if p.Unknown == "" {
			n++
			sum += p.Value
		}
	}
	if n == 0 {
		return nil
	}
	sum /= float64(n)
	return &sum
}

// lines are the gates with for how long each was what.
func lines(in Input) []Gate {
	out := []Gate{}
	for _, g := range in.Gates {
		line := Gate{Stop: g.Stop, Effect: g.Effect, Name: g.Name, Expr: g.Expr, Verdict: web.VerdictWord(g), Detail: g.Detail}
		for _, l := range in.Lasted {
			if l.Stop == g.Stop && l.Effect == g.Effect && l.Name == g.Name {
				line.True, line.False = l.Totals[gates.Pass], l.Totals[gates.Fail]
				line.Unknown = l.Totals[gates.NoData] + l.Totals[gates.Error]
			}
		}
		out = append(out, line)
	}
	return out
}

func criteria(results gates.Results) []Criterion {
	out := []Criterion{}
	for _, r := range results {
		out = append(out, Criterion{Name: r.Name, Expr: r.Expr, Message: r.Message, Verdict: r.Verdict, Detail: r.Detail})
	}
	return out
}

// stops are all of the itinerary, with what became of each.
func stops(in Input) []Stop {
	it := in.Head.Plan.Itinerary()
	out := make([]Stop, len(it))
	for i, stop := range it {
		s := Stop{Stop: stop, Declared: []Change{}}
		for _, c := range in.Changes {
			from, to := it.Index(c.From), it.Index(c.To)
			if c.Raise && from < i && i <= to {
				s.Declared = append(s.Declared, told(c))
			}
			if c.RollbackOf != "" && c.From == stop && to < from {
				s.RolledBack++
			}
		}
		for _, stay := range in.Track {
			if stay.Stop == stop {
				if s.Entered.IsZero() {
					s.Entered = stay.From.UTC()
				}
				s.Stayed += plan.Duration(stay.To.Sub(stay.From))
			}
		}
		out[i] = s
	}
	return out
}

// open is what stands against the migration's being done.
func open(r *Report) (out []string) {
	if r.Effective.Stop != r.Stops[len(r.Stops)-1].Stop {
		out = append(out, fmt.Sprintf("The plan is at %s, and its last stop is %s.", r.Effective.Stop, r.Stops[len(r.Stops)-1].Stop))
	} else if r.Effective.Assumed {
		out = append(out, "That the plan reached its last stop is not known: no metric of a daemon tells.")
	}
	for _, c := range r.Success {
		switch c.Verdict {
		case gates.Pass:
		case gates.Fail:
			out = append(out, fmt.Sprintf("The criterion %s does not hold.", c.Name))
		case gates.NoData, gates.Error:
			out = append(out, fmt.Sprintf("Whether the criterion %s holds is not known.", c.Name))
		}
	}
	for _, s := range r.SignOffs {
		if s.By == "" {
			out = append(out, fmt.Sprintf("At %s consent is missing: %s.", s.Stop, s.what()))
		}
	}
	return out
}

// LeftForward tells when a stop was last left forward: by the track, or where that
// does not tell, by the newest raise from it. ok is false where it never was.
func LeftForward(it plan.Itinerary, track []Stay, changes []decide.Change, stop plan.Position) (at time.Time, ok bool) {
	for i := range slices.Backward(track) {
		if i+1 < len(track) && track[i].Stop == stop && it.Index(track[i+1].Stop) > it.Index(stop) {
			return track[i].To, true
		}
	}
	for _, c := range slices.Backward(changes) {
		if from := it.Index(c.From); c.Raise && from >= 0 && from <= it.Index(stop) && it.Index(c.To) > it.Index(stop) {
			return c.At, true
		}
	}
	return time.Time{}, false
}
