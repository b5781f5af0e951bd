package gates_test

import (
	"errors"
	"os"
	"testing"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// TestSuccessJudgesTheCriteria over one snapshot: what is true passes, what is
// not known is never a pass.
func TestSuccessJudgesTheCriteria(t *testing.T) {
	src, err := os.ReadFile("testdata/success.good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode("p.yaml", src)
	if plan.HasErrors(problems) {
		t.Fatal(render(problems))
	}
	prg, err := gates.Compile(doc.Plan, gates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	needs := prg.SuccessNeeds()
	if len(needs) != 1 || needs[0].Query != doc.Plan.Spec.Signals["errors"].Query {
		t.Fatalf("got needs %+v, want the one signal that is read", needs)
	}
	stop, need, ok := prg.Remembered("before")
	if want, _, _ := prg.Signal("legacyErrors"); !ok || stop.Phase != "setup" || need != want {
		t.Errorf("the baseline is %v at %v (%v), want the signal at setup", need, stop, ok)
	}
	if _, _, ok := prg.Remembered("nothing"); ok {
		t.Error("a baseline that is none is remembered")
	}
	at := func(p string) plan.Position {
		pos, err := plan.ParsePosition(p)
		if err != nil {
			t.Fatal(err)
		}
		return pos
	}
	before := map[string]float64{"before": 0.02}
	for name, c := range map[string]struct {
		sample   gates.Sample
		at       string
		remember map[string]float64
		want     [2]gates.Verdict
	}{
		"all is well":         {gates.Sample{Last: gates.Point{Time: noon, Value: 0.01}}, "gradual@50", before, [2]gates.Verdict{gates.Pass, gates.Pass}},
		"worse than before":   {gates.Sample{Last: gates.Point{Time: noon, Value: 0.03}}, "gradual@10", before, [2]gates.Verdict{gates.Fail, gates.Fail}},
		"nothing to compare":  {gates.Sample{Last: gates.Point{Time: noon, Value: 0.01}}, "gradual@50", nil, [2]gates.Verdict{gates.NoData, gates.Pass}},
		"no series":           {gates.Sample{Last: gates.Point{Unknown: "no series"}}, "gradual@50", before, [2]gates.Verdict{gates.NoData, gates.Pass}},
		"no Prometheus there": {gates.Sample{Err: errors.New("refused")}, "gradual@50", before, [2]gates.Verdict{gates.Error, gates.Pass}},
	} {
		got := prg.Success(t.Context(), gates.Snapshot{
			Now: noon, Samples: map[gates.Need]gates.Sample{needs[0]: c.sample}, Facts: gates.Facts{Position: at(c.at), Baselines: c.remember},
		})
		if len(got) != 2 || got[0].Verdict != c.want[0] || got[1].Verdict != c.want[1] {
			t.Errorf("%s: got %+v, want %v", name, got, c.want)
			continue
		}
		if r := got[0]; r.Effect != plan.Succeeds || r.Name != "fewer-errors" || r.Message == "" || r.Expr == "" {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}
