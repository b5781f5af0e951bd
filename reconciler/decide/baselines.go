package decide

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// Baseline is the value of a signal when a stop was left forward.
type Baseline struct {
	Signal string        `json:"signal"`
	Value  float64       `json:"value"`
	At     time.Time     `json:"at"`
	Stop   plan.Position `json:"stop"`
	// Revision is the version of the plan that was in effect.
	Revision plan.Revision `json:"revision"`
}

// dueAt names the baselines of a plan that are remembered when a stop is left,
// sorted.
func dueAt(p *plan.Plan, stop plan.Position) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(p.Spec.Baselines)) {
		if b := p.Spec.Baselines[name]; b.At != "" && b.Stop() == stop {
			names = append(names, name)
		}
	}
	return names
}

// remembers blocks for a baseline that could not be remembered: who goes on
// without it would lack what later gates compare with.
func (s *state) remembers(b *blockers) {
	for _, name := range dueAt(s.Head.Plan, s.effective()) {
		p, ok := s.Due[name]
		if ok && isNumber(p) {
			continue
		}
		why := p.Unknown
		switch {
		case !ok:
			why = "not sampled"
		case why == "":
			why = "not a number"
		}
		b.add(GateNoData, time.Time{}, "no data: baseline %s is remembered when %s is left, and signal %s is unknown: %s",
			name, s.effective(), s.Head.Plan.Spec.Baselines[name].Signal, why)
	}
}

func isNumber(p gates.Point) bool {
	return p.Unknown == "" && !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0)
}

// remember takes in the values of the baselines of the stop that is left.
func (r *Record) remember(in Input) {
	if r.Applied == nil {
		return
	}
	stop := r.Applied.Stop
	for _, name := range dueAt(in.Head.Plan, stop) {
		p, ok := in.Due[name]
		if !ok || !isNumber(p) {
			continue
		}
		if r.Baselines == nil {
			r.Baselines = map[string]Baseline{}
		}
		r.Baselines[name] = Baseline{
			Signal: in.Head.Plan.Spec.Baselines[name].Signal, Value: p.Value, At: in.Now, Stop: stop, Revision: in.Head.Revision,
		}
	}
}

// Remembered are the values of the baselines that a plan declares, by name. One
// that was remembered of another signal or at another stop, as the plan was
// changed since, is none of its own.
func (r Record) Remembered(p *plan.Plan) map[string]float64 {
	var out map[string]float64
	for name, b := range r.Baselines {
		d, ok := p.Spec.Baselines[name]
		if !ok || d.At == "" || d.Signal != b.Signal || d.Stop() != b.Stop {
			continue
		}
		if out == nil {
			out = map[string]float64{}
		}
		out[name] = b.Value
	}
	return out
}
