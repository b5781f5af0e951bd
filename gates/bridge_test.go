package gates_test

import (
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

func bridged(expr string, g *plan.Gateway) *plan.Plan {
	return &plan.Plan{Metadata: plan.Metadata{Name: "shop", Namespace: "default"}, Spec: plan.Spec{Gateway: g, Phases: []plan.Phase{
		{Name: "sunset", Gates: plan.Gates{Advance: []plan.Gate{{Name: "nobody", Expr: expr}}}},
	}}}
}

func TestGatesReadWhatBridgesTell(t *testing.T) {
	bridge := &plan.Gateway{Bridge: &plan.BridgeGateway{}}
	reqs := []gates.Request{{Stop: plan.Position{Phase: "sunset"}, Effects: []plan.Effect{plan.Advance}}}
	none := &gates.Clients{Modern: 7}
	for _, c := range []struct {
		expr    string
		told    gates.Bridges
		verdict gates.Verdict
		detail  string
	}{
		{"clients.legacy == 0", gates.Bridges{Clients: none}, gates.Pass, "clients.legacy=0, clients.modern=7"},
		{"clients.legacy == 0", gates.Bridges{Clients: &gates.Clients{Legacy: 2}}, gates.Fail, "clients.legacy=2"},
		{"clients.legacy == 0", gates.Bridges{}, gates.NoData, "clients unknown: not read"},
		{"clients.legacy == 0", gates.NoBridges("b1 cannot be reached"), gates.NoData, "clients unknown: b1 cannot be reached"},
		{"true || clients.legacy == 0", gates.Bridges{}, gates.Pass, ""},
		{"shadow.matchRate > 0.99 && shadow.comparisons >= 1000", gates.Bridges{Shadow: &gates.Shadow{MatchRate: 0.995, Coverage: 0.5, Comparisons: 1000}}, gates.Pass,
			"shadow.matchRate=0.995, shadow.coverage=0.5, shadow.comparisons=1000"},
		{"shadow.coverage > 0.9", gates.Bridges{Clients: none, NoShadow: "nothing is compared"}, gates.NoData, "shadow unknown: nothing is compared"},
	} {
		prg, err := gates.Compile(bridged(c.expr, bridge), gates.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !prg.ReadsBridges(reqs) {
			t.Errorf("%s: it is not seen to read what bridges tell", c.expr)
		}
		r := prg.Eval("r1", reqs, gates.Snapshot{Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Facts: gates.Facts{Bridges: c.told}})[0]
		if r.Verdict != c.verdict || !strings.Contains(r.Detail, c.detail) {
			t.Errorf("%s with %+v: %s (%s), want %s (%s)", c.expr, c.told, r.Verdict, r.Detail, c.verdict, c.detail)
		}
	}
	prg, err := gates.Compile(bridged("position.percent == 0.0", bridge), gates.Options{})
	if err != nil || prg.ReadsBridges(reqs) {
		t.Errorf("another gate: %v", err)
	}
}

func TestOnlyPlansWithABridgeReadWhatBridgesTell(t *testing.T) {
	for _, g := range []*plan.Gateway{nil, {NGINX: &plan.NGINXGateway{}}} {
		for expr, want := range map[string]string{"clients.legacy == 0": "only a bridge counts clients", "shadow.matchRate > 0.9": "only a bridge compares answers"} {
			if _, err := gates.Compile(bridged(expr, g), gates.Options{}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want an error that says %q", expr, err, want)
			}
		}
	}
}
