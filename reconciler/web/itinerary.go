package web

import (
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// phaseOnLine is a phase of the itinerary as the page draws it.
type phaseOnLine struct {
	Name  string
	Stops []stopOnLine
}

// stopOnLine is a stop of it.
type stopOnLine struct {
	// Label of the stop within its phase: "25 %", or the phase's name.
	Label string
	// Name of the stop, for who does not see the phase above it.
	Name string
	// Mark is its look: passed, effective, ahead.
	Mark string
	// Toward: Git declares a later stop, and the way there begins here.
	Toward bool
	// What is said of it.
	Effective, Declared, Next, MoveTo, Held bool
}

// line is the itinerary by phases.
func line(s reconciler.Status) []phaseOnLine {
	at := s.Itinerary.Index(s.Effective)
	declared := s.Itinerary.Index(s.Declared)
	var out []phaseOnLine
	for i, stop := range s.Itinerary {
		if len(out) == 0 || out[len(out)-1].Name != stop.Phase {
			out = append(out, phaseOnLine{Name: stop.Phase})
		}
		on := stopOnLine{
			Label: stopLabel(stop), Name: place(stop), Mark: "ahead", Effective: i == at, Declared: i == declared, Next: stop == s.Decision.Next,
			Toward: at >= 0 && i >= at && i < declared,
			MoveTo: s.Move != nil && s.Move.To == stop && i != at, Held: len(s.Holds) > 0 && i > at && i <= declared,
		}
		switch {
		case i == at:
			on.Mark = "effective"
		case i < at:
			on.Mark = "passed"
		case i <= declared:
			on.Mark = "due"
		}
		p := &out[len(out)-1]
		p.Stops = append(p.Stops, on)
	}
	return out
}

func stopLabel(p plan.Position) string {
	if p.Percent == 0 {
		return "" // the phase above it says it
	}
	return p.Percent.String() + " %"
}

// mini is the itinerary of a row: from 0 to 100, how far it is in effect and
// where Git declares it.
type mini struct{ Effective, Declared int }

func miniOf(s reconciler.Status) mini {
	n := len(s.Itinerary)
	at := func(p plan.Position) int {
		if n == 0 {
			return 0
		}
		return 100 * (s.Itinerary.Index(p) + 1) / n
	}
	return mini{at(s.Effective), at(s.Declared)}
}

// share is one bar of the split, in percent.
type share struct {
	Modern, Legacy float64
	Text           string
}

// splitView is the declared split beside the observed one.
type splitView struct {
	Declared []share
	Observed *share
	Note     string // what is not as declared, or why it is not known
	Bad      bool
}

// splitOf is nil where the plan moves no traffic.
func splitOf(s reconciler.Status) *splitView {
	if s.Effective.IsZero() || s.Plan != nil && s.Plan.Spec.Gateway == nil {
		return nil
	}
	declared := func(p plan.Percent) share {
		m := float64(p)
		return share{m, 100 - m, p.String() + " % modern, " + plan.Percent(100-m).String() + " % legacy"}
	}
	r := s.Split
	if r == nil {
		if s.Effective.Percent == 0 {
			return nil // its routes say where requests go, and nothing is split
		}
		return &splitView{Declared: []share{declared(s.Effective.Percent)}, Note: "Nobody counts the requests of either side here."}
	}
	v := &splitView{Bad: r.Mismatch() != ""}
	for _, p := range r.Declared {
		v.Declared = append(v.Declared, declared(p))
	}
	if n := r.Requests.Total(); n > 0 {
		m := 100 * float64(r.Requests.Modern) / float64(n)
		v.Observed = &share{m, 100 - m, short(m) + " % modern of " + thousands(n) + " requests in the last interval"}
	}
	switch {
	case r.Off != "":
		v.Note = r.Off
	case r.Unread != "":
		v.Note = r.Unread
	case v.Observed == nil:
		v.Note = "No requests in the last interval."
	}
	return v
}
