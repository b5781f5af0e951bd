package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Percent is a share of traffic from 0 to 100, with at most two decimals.
type Percent float64

// String prints the shortest exact form: 25, 0.5.
func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) }

// Position is a point of the migration. It is comparable and the zero value
// means none.
type Position struct {
	Phase   string  `json:"phase"`
	Percent Percent `json:"percent,omitempty"`
}

// String is PHASE or, where the percentage is not zero, PHASE@PERCENT; "none"
// for the zero value.
func (p Position) String() string {
	switch {
	case p.IsZero():
		return "none"
	case p.Percent == 0:
		return p.Phase
	}
	return p.Phase + "@" + p.Percent.String()
}

// IsZero reports whether the position is none.
func (p Position) IsZero() bool { return p == Position{} }

// ParsePosition reads the form PHASE or PHASE@PERCENT of command lines,
// trailers and records.
func ParsePosition(s string) (Position, error) {
	phase, percent, ok := strings.Cut(s, "@")
	if phase == "" {
		return Position{}, fmt.Errorf("parse position %q: want PHASE or PHASE@PERCENT", s)
	}
	if !ok {
		return Position{Phase: phase}, nil
	}
	f, err := strconv.ParseFloat(percent, 64)
	if err != nil || !(f >= 0 && f <= 100) {
		return Position{}, fmt.Errorf("parse position %q: the percentage must be a number from 0 to 100", s)
	}
	return Position{Phase: phase, Percent: Percent(f)}, nil
}

// Itinerary is every stop of a plan in order.
type Itinerary []Position

// Itinerary lists the stops of the plan.
func (p *Plan) Itinerary() Itinerary {
	n := 0
	for i := range p.Spec.Phases {
		n += max(1, len(p.Spec.Phases[i].Percents))
	}
	if n == 0 {
		return nil
	}
	it := make(Itinerary, 0, n)
	for i := range p.Spec.Phases { // a phase is too large to be copied at every decision
		ph := &p.Spec.Phases[i]
		if len(ph.Percents) == 0 {
			it = append(it, Position{Phase: ph.Name})
		}
		for _, pc := range ph.Percents {
			it = append(it, Position{Phase: ph.Name, Percent: pc})
		}
	}
	return it
}

// Index returns the place of a stop, from 0, or -1 where it is not on the
// itinerary (which none never is).
func (it Itinerary) Index(p Position) int { return slices.Index(it, p) }

// Next returns the stop after p; the first where p is none. ok is false at the
// last stop and where p is not on the itinerary.
func (it Itinerary) Next(p Position) (next Position, ok bool) {
	i := it.Index(p)
	if p.IsZero() {
		i = -1
	} else if i < 0 {
		return Position{}, false
	}
	if i+1 >= len(it) {
		return Position{}, false
	}
	return it[i+1], true
}

// Phase returns the phase of that name, or nil.
func (p *Plan) Phase(name string) *Phase {
	for i := range p.Spec.Phases {
		if p.Spec.Phases[i].Name == name {
			return &p.Spec.Phases[i]
		}
	}
	return nil
}

// BakeAt is the least time at a stop, as a duration; zero where none is set or
// the stop is not on the itinerary.
func (p *Plan) BakeAt(stop Position) Duration {
	ph := p.Phase(stop.Phase)
	if ph == nil {
		return 0
	}
	return ph.Bake.At(stop.Percent)
}
