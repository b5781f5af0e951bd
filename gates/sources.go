package gates

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/changeover-dev/changeover/plan"
)

// source is one thing that a gate reads and Prometheus answers: a signal, the
// series of one, or a baseline by offset.
type source struct {
	variable string // signal, series or baseline
	name     string
	need     Need
	pattern  *cel.AttributePatternType
}

// label is how details and values name it: a signal by its name alone.
func (s *source) label() string {
	if s.variable == "signal" {
		return s.name
	}
	return s.variable + "." + s.name
}

// sources are those of an expression in a gate with a `for` of this span, and how
// old the oldest sample can be that they read.
func (p *Program) sources(e *expr, span, step time.Duration) (out []source, reach time.Duration) {
	add := func(variable, name string, need Need, oldest time.Duration) {
		out = append(out, source{variable: variable, name: name, need: need, pattern: cel.AttributePattern(variable).QualString(name)})
		reach = max(reach, oldest)
	}
	windowed := func(n Need) Need {
		if step > 0 {
			n.Window, n.Step = span+step, step // with both ends
		}
		return n
	}
	for _, name := range e.signals {
		s := p.signals[name]
		add("signal", name, windowed(s.need), s.reach)
	}
	for _, name := range e.series {
		s := p.signals[name]
		n := s.need
		n.Window, n.Step = s.span, s.step
		add("series", name, n, s.reach+s.span)
	}
	for _, name := range e.baselines {
		if b := p.baselines[name]; b.shifted != nil {
			add("baseline", name, windowed(b.shifted.need), 0)
		}
	}
	return out, reach
}

// reading is the newest value of one source and its sample.
type reading struct {
	*source
	sample Sample
	last   Point
	// list is the series; nil where it is unknown, or the source is none.
	list ref.Val
	// known of points are how many values of the series are known.
	known, points int
}

// readSeries makes the list of the known values. Like a window with `for` it
// needs 90 % of them; and the newest, as the signal itself would.
func (r *reading) readSeries(now time.Time) {
	r.points = r.need.Points()
	values := make([]float64, 0, r.points)
	after, why := now.Add(-r.need.Window), "no points"
	for _, p := range slices.Backward(r.sample.Points) {
		p = known(p)
		switch {
		case !p.Time.After(after) || p.Time.After(now) || len(values) == r.points:
		case p.Unknown == "":
			values = append(values, p.Value)
		case why == "no points":
			why = p.Unknown
		}
	}
	slices.Reverse(values)
	r.known = len(values)
	switch {
	case r.last.Unknown != "":
	case r.known*10 < r.points*9:
		r.last.Unknown = fmt.Sprintf("%d of %d values are known (%s)", r.known, r.points, why)
	default:
		r.list = types.DefaultTypeAdapter.NativeToValue(values)
	}
}

// early reports whether an advance gate reads a series that reaches back before
// the stop was entered: it would judge the stop before.
func (e *evaluation) early() (string, bool) {
	if e.effect != plan.Advance {
		return "", false
	}
	for i := range e.readings {
		r := &e.readings[i]
		if r.variable == "series" && e.now().Sub(e.request.Since) < r.need.Window {
			return fmt.Sprintf("%s reaches back before the stop was entered: it needs %s at the stop", r.label(), plan.Duration(r.need.Window)), true
		}
	}
	return "", false
}

// longest is the longer of the gate's `for` and the ranges of its series; zero
// where it judges one time alone.
func (g *gate) longest() time.Duration {
	longest := g.span
	for i := range g.sources {
		if s := &g.sources[i]; s.variable == "series" {
			longest = max(longest, s.need.Window)
		}
	}
	return longest
}
