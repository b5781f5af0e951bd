package decide

import (
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

// BenchmarkDecide decides on a plan that is steady at its last declared stop,
// with the verdicts of its four gates at hand.
func BenchmarkDecide(b *testing.B) {
	w := newWorld(lawsPlan(b))
	w.values["errors"] = 5
	w.commit("r2", func(p *plan.Plan) { p.Spec.Position = plan.Position{Phase: "gradual", Percent: 25} }, nil)
	w.settle(10)
	in := w.input()
	b.ReportAllocs()
	for b.Loop() {
		if d := Decide(in); d.Verb != Hold {
			b.Fatal(d)
		}
	}
}
