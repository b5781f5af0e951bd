package gates_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// tenGates is a plan with ten gates, one with a window of 1000 points, and a
// snapshot that answers them.
func tenGates(b *testing.B) (*plan.Plan, *gates.Program, []gates.Request, gates.Snapshot) {
	b.Helper()
	p := &plan.Plan{Spec: plan.Spec{Signals: map[string]plan.Signal{}, Phases: []plan.Phase{{Name: "only"}}}}
	g := &p.Spec.Phases[0].Gates
	for i := range 10 {
		name := fmt.Sprintf("s%d", i)
		p.Spec.Signals[name] = plan.Signal{Query: fmt.Sprintf("(sum(rate(errors_total{n=%q}[5m])) or vector(0)) / sum(rate(requests_total[5m]))", name)}
		gate := plan.Gate{Name: name, Expr: fmt.Sprintf("signal.%s < 0.01 && signal.s0 >= 0.0", name)}
		switch {
		case i == 0:
			gate.For = plan.Duration(1000 * step)
			g.Advance = append(g.Advance, gate)
		case i < 4:
			g.Advance = append(g.Advance, gate)
		case i < 7:
			g.Pause = append(g.Pause, gate)
		default:
			g.Rollback = append(g.Rollback, gate)
		}
	}
	prg, err := gates.Compile(p, gates.Options{Interval: step})
	if err != nil {
		b.Fatal(err)
	}
	reqs := []gates.Request{{Stop: only, Effects: plan.Effects, Since: noon.Add(-24 * time.Hour)}}
	s := gates.Snapshot{Now: noon, Samples: map[gates.Need]gates.Sample{}}
	for _, n := range prg.Needs(reqs) {
		s.Samples[n] = value(0.001)
		if n.Window > 0 {
			s.Samples[n] = series(step, steady(1000, 0.001)...)
		}
	}
	return p, prg, reqs, s
}

func BenchmarkEvalTenGates(b *testing.B) {
	_, prg, reqs, s := tenGates(b)
	b.ReportAllocs()
	for b.Loop() {
		rs := prg.Eval("", reqs, s)
		if len(rs) != 10 || rs[0].Verdict != gates.Pass {
			b.Fatal(rs)
		}
	}
}

func BenchmarkEvalSixInstantGates(b *testing.B) {
	_, prg, reqs, s := tenGates(b)
	reqs[0].Effects = []plan.Effect{plan.Pause, plan.Breaches}
	b.ReportAllocs()
	for b.Loop() {
		if rs := prg.Eval("", reqs, s); len(rs) != 6 {
			b.Fatal(rs)
		}
	}
}

func BenchmarkCompileTenGates(b *testing.B) {
	p, _, _, _ := tenGates(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gates.Compile(p, gates.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNeedsOfTenGates(b *testing.B) {
	_, prg, reqs, _ := tenGates(b)
	b.ReportAllocs()
	for b.Loop() {
		prg.Needs(reqs)
	}
}
