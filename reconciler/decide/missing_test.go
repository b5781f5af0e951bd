package decide

import (
	"slices"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// A verdict that is not there is no pass, whatever gate it is of.
func TestAGateThatWasNotEvaluatedHolds(t *testing.T) {
	w := newWorld(plainPlan)
	w.commit("r2", func(p *plan.Plan) { p.Spec.Position = plan.Position{Phase: "gradual", Percent: 25} }, nil)
	w.settle(10)
	w.now = w.now.Add(2 * time.Hour)
	w.git.ReadAt = w.now
	if d := Decide(w.input()); d.Verb != Advance {
		t.Fatalf("%+v", d)
	}
	for _, e := range []plan.Effect{plan.Pause, plan.Advance, plan.Enter, plan.Breaches} {
		in := w.input()
		in.Verdicts = slices.DeleteFunc(in.Verdicts, func(r gates.Result) bool { return r.Effect == e })
		if d := Decide(in); d.Verb != Hold || d.Reason != GateNoData {
			t.Errorf("without the %s gate: %+v", e, d)
		}
	}
}
