package gates_test

import (
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

func TestGatesReadHowTransformsAre(t *testing.T) {
	var (
		reqs  = []gates.Request{{Stop: plan.Position{Phase: "data"}, Effects: []plan.Effect{plan.Advance}}}
		ended = gates.Transform{Complete: true, Total: 10, Done: 10, Objects: 24, Orphaned: 2}
		under = gates.Transform{Total: 10, Done: 6, Failed: 1}
		gone  = gates.Transform{Why: "it was taken back when the plan went back"}
	)
	for _, c := range []struct {
		expr    string
		facts   map[string]gates.Transform
		verdict gates.Verdict
		detail  string
	}{
		{`transforms.sites.complete && transforms.sites.objects == 24`, map[string]gates.Transform{"sites": ended}, gates.Pass,
			"transforms.sites: complete=true, total=10, done=10, failed=0, objects=24, orphaned=2"},
		{`transforms["sites"].orphaned == 0`, map[string]gates.Transform{"sites": ended}, gates.Fail, ", orphaned=2"},
		{`transforms.sites.failed * 10 > transforms.sites.done`, map[string]gates.Transform{"sites": under}, gates.Pass, ", failed=1, objects"},
		{`transforms.sites.complete`, map[string]gates.Transform{"sites": under}, gates.Fail, "transforms.sites: complete=false"},
		{`transforms.sites.orphaned == 0`, map[string]gates.Transform{"sites": under}, gates.NoData, "objects and orphaned unknown until it is complete"},
		{`transforms.sites.objects == 0`, map[string]gates.Transform{"sites": under}, gates.NoData, "objects and orphaned unknown until it is complete"},
		{`transforms.sites.total == 0`, map[string]gates.Transform{"sites": gone}, gates.NoData, "transforms.sites unknown: it was taken back when the plan went back"},
		{`transforms["nw-intents"].complete`, map[string]gates.Transform{"sites": ended}, gates.NoData, `transforms["nw-intents"] unknown: not read`},
		// What is known decides, where it does.
		{`transforms.sites.complete || transforms["nw-intents"].complete`, map[string]gates.Transform{"sites": ended}, gates.Pass, ""},
	} {
		p := &plan.Plan{Metadata: plan.Metadata{Name: "so", Namespace: "default"}, Spec: plan.Spec{Phases: []plan.Phase{{
			Name: "data", Transforms: []plan.Transform{{Name: "sites"}, {Name: "nw-intents"}},
			Gates: plan.Gates{Advance: []plan.Gate{{Name: "whole", Expr: c.expr}}},
		}}}}
		prg, err := gates.Compile(p, gates.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !prg.ReadsTransforms(reqs) {
			t.Errorf("%s reads no transforms", c.expr)
		}
		r := prg.Eval("r1", reqs, gates.Snapshot{Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Facts: gates.Facts{Transforms: c.facts}})[0]
		if r.Verdict != c.verdict || !strings.Contains(r.Detail, c.detail) || strings.Contains(r.Detail, "divides") {
			t.Errorf("%s with %+v: %s (%s), want %s (%s)", c.expr, c.facts, r.Verdict, r.Detail, c.verdict, c.detail)
		}
	}
}
