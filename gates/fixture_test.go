package gates_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// onePlan is a plan file with one advance gate.
func onePlan(expr, window string) string {
	if window != "" {
		window = ", for: " + window
	}
	return fmt.Sprintf(`apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: only}
  backends:
    legacy: {url: "http://127.0.0.1:8080"}
    modern: {url: "http://127.0.0.1:8000"}
  signals:
    errors: {query: errors}
    total: {query: total}
  phases:
    - name: only
      gates:
        advance: [{name: gate, expr: %q%s}]
`, expr, window)
}

var (
	noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	only = plan.Position{Phase: "only"}
)

// fixture is a compiled plan with one gate over the signals a, b and c, whose
// queries are their names.
type fixture struct {
	t      testing.TB
	prg    *gates.Program
	effect plan.Effect
}

func compile(t testing.TB, effect plan.Effect, g plan.Gate, signals map[string]plan.Signal) fixture {
	t.Helper()
	prg, err := gates.Compile(gatePlan(effect, g, signals), gates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return fixture{t: t, prg: prg, effect: effect}
}

func gatePlan(effect plan.Effect, g plan.Gate, signals map[string]plan.Signal) *plan.Plan {
	if signals == nil {
		signals = map[string]plan.Signal{"a": {Query: "a"}, "b": {Query: "b"}, "c": {Query: "c"}}
	}
	p := &plan.Plan{Spec: plan.Spec{Signals: signals, Phases: []plan.Phase{{Name: "only"}}}}
	g.Name = "gate"
	gs := []plan.Gate{g}
	switch effect {
	case plan.Enter:
		p.Spec.Phases[0].Gates.Enter = gs
	case plan.Advance:
		p.Spec.Phases[0].Gates.Advance = gs
	case plan.Pause:
		p.Spec.Phases[0].Gates.Pause = gs
	case plan.Breaches:
		p.Spec.Phases[0].Gates.Rollback = gs
	case plan.Verify:
		p.Spec.Phases[0].Rollback.Verify = gs
	}
	return p
}

func (f fixture) request() gates.Request {
	return gates.Request{Stop: only, Effects: []plan.Effect{f.effect}, Since: noon.Add(-48 * time.Hour)}
}

// eval evaluates the gate with these samples by query.
func (f fixture) eval(r gates.Request, samples map[string]gates.Sample) gates.Result {
	f.t.Helper()
	return f.evalFacts(r, samples, gates.Facts{})
}

func (f fixture) evalFacts(r gates.Request, samples map[string]gates.Sample, facts gates.Facts) gates.Result {
	f.t.Helper()
	snapshot := gates.Snapshot{Now: noon, Samples: map[gates.Need]gates.Sample{}, Facts: facts}
	for _, n := range f.prg.Needs([]gates.Request{r}) {
		if s, ok := samples[n.Query]; ok {
			snapshot.Samples[n] = s
		}
	}
	rs := f.prg.Eval("abc", []gates.Request{r}, snapshot)
	if len(rs) != 1 {
		f.t.Fatalf("got %d results, want 1", len(rs))
	}
	return rs[0]
}

// value is a sample without a window.
func value(v float64) gates.Sample {
	return gates.Sample{Last: gates.Point{Time: noon, Value: v}}
}

func unknown(why string) gates.Sample {
	return gates.Sample{Last: gates.Point{Time: noon, Unknown: why}}
}

func failed(err error) gates.Sample {
	return gates.Sample{Last: gates.Point{Time: noon, Unknown: "error"}, Err: err}
}

// series is a sample with a window: the points end at noon. A NaN is an
// unknown point.
func series(step time.Duration, values ...float64) gates.Sample {
	var s gates.Sample
	for i, v := range values {
		p := gates.Point{Time: noon.Add(-time.Duration(len(values)-1-i) * step), Value: v}
		if v != v {
			p.Value, p.Unknown = 0, "no series"
		}
		s.Points = append(s.Points, p)
	}
	s.Last = s.Points[len(s.Points)-1]
	return s
}

// steady is n equal values.
func steady(n int, v float64) []float64 {
	vs := make([]float64, n)
	for i := range vs {
		vs[i] = v
	}
	return vs
}
