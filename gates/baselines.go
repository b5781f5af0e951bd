package gates

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/changeover-dev/changeover/plan"
)

// baseline is what is known of a baseline of the plan.
type baseline struct {
	name    string
	pattern *cel.AttributePatternType
	// stop is where the value of a signal is remembered, and need asks for it.
	stop plan.Position
	need Need
	// shifted is the signal as of the offset before; nil for a value that is
	// remembered.
	shifted *signal
}

// recorded is the value that was remembered.
func (b *baseline) recorded(f Facts) (float64, bool) {
	v, ok := f.Baselines[b.name]
	return v, ok && !notFinite(v)
}

func (b *builder) baseline(name string, bl plan.Baseline) {
	out := &baseline{name: name, pattern: cel.AttributePattern("baseline").QualString(name), stop: bl.Stop()}
	b.prg.baselines[name] = out
	sig, ok := b.prg.signals[bl.Signal]
	if !ok {
		sig = &signal{} // plan.Decode says so
	}
	out.need = sig.need
	if bl.Offset == 0 {
		return
	}
	// No age: what was a week ago is not staler for that. It has no reach
	// either: after a retreat an alarm need not wait for a week.
	out.shifted = &signal{need: Need{SamplesMin: sig.need.SamplesMin}}
	for _, q := range []struct {
		what, query string
		into        *string
	}{
		{"query", sig.need.Query, &out.shifted.need.Query},
		{"samples query", sig.need.SamplesQuery, &out.shifted.need.SamplesQuery},
	} {
		shifted, why := shift(q.query, time.Duration(bl.Offset))
		if why != "" {
			b.report("spec.baselines."+name+".offset", bl.Offset.String(), fault{code: "baseline-offset",
				message: fmt.Sprintf("the %s of signal %q cannot be asked as of %s ago: it %s", q.what, bl.Signal, bl.Offset, why),
				hint:    "declare a signal of its own whose query has the offset in it"})
			return
		}
		*q.into = shifted
	}
}

// clocks are the functions of PromQL that read the time of the evaluation when
// they have no argument.
var clocks = []string{"time", "minute", "hour", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "month", "year"}

// shift is the query as of so long ago: every selector reads that much earlier.
// Where that would not be the same why says what stands against it.
func shift(query string, by time.Duration) (shifted, why string) {
	if query == "" {
		return "", ""
	}
	e, err := promQL.ParseExpr(query)
	if err != nil {
		return "", "" // the fault is the query's
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			if n.Timestamp != nil || n.StartOrEnd != 0 {
				why = "has a time of its own with @"
			}
			n.OriginalOffset += by
		case *parser.SubqueryExpr:
			if n.Timestamp != nil || n.StartOrEnd != 0 {
				why = "has a time of its own with @"
			}
		case *parser.Call:
			if n.Func.Name == "predict_linear" || len(n.Args) == 0 && slices.Contains(clocks, n.Func.Name) {
				why = fmt.Sprintf("reads the time with %s()", n.Func.Name)
			}
		}
		return nil
	})
	return e.String(), why
}

// due are the baselines that are remembered when a stop is left, sorted.
func (p *Program) due(stop plan.Position) (out []*baseline) {
	for _, name := range slices.Sorted(maps.Keys(p.baselines)) {
		if b := p.baselines[name]; b.shifted == nil && b.stop == stop && !stop.IsZero() {
			out = append(out, b)
		}
	}
	return out
}

// DueNeeds lists what to sample for the baselines that are remembered when the
// stop is left, each once, sorted.
func (p *Program) DueNeeds(stop plan.Position) []Need {
	set := map[Need]struct{}{}
	for _, b := range p.due(stop) {
		set[b.need] = struct{}{}
	}
	return slices.SortedFunc(maps.Keys(set), compareNeeds)
}

// Due are the values of these baselines by name as of the snapshot, known or
// not; nil where there are none.
func (p *Program) Due(stop plan.Position, s Snapshot) map[string]Point {
	var out map[string]Point
	for _, b := range p.due(stop) {
		sample, ok := s.Samples[b.need]
		v := known(sample.Last)
		switch {
		case !ok:
			v = Point{Unknown: "not sampled"}
		case sample.Err != nil:
			v = Point{Time: v.Time, Unknown: sample.Err.Error()}
		}
		if out == nil {
			out = map[string]Point{}
		}
		out[b.name] = v
	}
	return out
}

// describeBaselines names the remembered values that the expression reads, or
// says when they will be.
func (e *evaluation) describeBaselines() (parts []string) {
	for _, b := range e.remembered() {
		if v, ok := b.recorded(e.snapshot.Facts); ok {
			parts = append(parts, fmt.Sprintf("baseline.%s=%s", b.name, number(v)))
		} else {
			parts = append(parts, fmt.Sprintf("baseline.%s unknown: none is on record, it is remembered when %s is left", b.name, b.stop))
		}
	}
	return parts
}

// unrecorded reports whether a remembered value that the expression reads is
// unknown.
func (e *evaluation) unrecorded() bool {
	return slices.ContainsFunc(e.remembered(), func(b *baseline) bool {
		_, ok := b.recorded(e.snapshot.Facts)
		return !ok
	})
}

// remembered are the baselines that the expression reads and that are not asked
// for.
func (e *evaluation) remembered() (out []*baseline) {
	for _, name := range e.gate.expr.baselines {
		if b := e.p.baselines[name]; b.shifted == nil {
			out = append(out, b)
		}
	}
	return out
}
