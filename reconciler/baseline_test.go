package reconciler_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// baselinePlan is the shop's plan, which compares with what legacy was at setup.
var baselinePlan = strings.NewReplacer(
	"    late: {", "    p95: {query: p95}\n    legacy: {query: legacy}\n    late: {",
	"  phases:\n", "  baselines:\n    before: {signal: legacy, at: setup}\n  phases:\n",
	`          - {name: high,`, `          - {name: slow, expr: "signal.p95 > 2.0 * baseline.before"}
          - {name: high,`,
).Replace(shopPlan)

func TestABaselineIsRememberedAcrossARestart(t *testing.T) {
	g := newRig(t)
	g.write("shop.yaml", baselinePlan)
	g.commit("compare with legacy")
	g.sampler.Set("p95", 150)
	g.start()
	g.awaitSteady("setup")

	// Nothing is left behind that later gates need.
	g.raise("gradual@10")
	st := g.await("a hold for the baseline", func(s reconciler.Status) bool { return s.Decision.Reason == decide.GateNoData })
	if want := "baseline before is remembered when setup is left, and signal legacy is unknown: no series"; !strings.Contains(st.Decision.Message, want) {
		t.Errorf("it holds with %q, want %q", st.Decision.Message, want)
	}
	g.sampler.Set("legacy", 100)
	g.awaitSteady("gradual@10")

	// At 100 % legacy has no data.
	g.sampler.Fail("legacy", errors.New("no such backend"))
	g.stop()
	g.start()
	g.travel("gradual@25")
	st, _ = g.r.Status(shop)
	found := false
	for _, r := range st.Gates {
		found = found || r.Name == "slow" && strings.Contains(r.Detail, "p95=150; baseline.before=100")
	}
	if !found {
		t.Errorf("no gate compares with 100: %+v", st.Gates)
	}
	g.sampler.Set("p95", 201)
	g.await("the rollback", func(s reconciler.Status) bool { return s.Effective.String() == "gradual@10" })
}

func TestABaselineThatWasLostWithTheRecordIsUnknown(t *testing.T) {
	g := newRig(t)
	g.write("shop.yaml", baselinePlan)
	g.commit("compare with legacy")
	g.sampler.Set("p95", 150)
	g.sampler.Set("legacy", 100)
	g.start()
	g.awaitSteady("setup")
	g.travel("gradual@10")
	g.stop()
	if err := os.RemoveAll(g.state); err != nil {
		t.Fatal(err)
	}
	g.start()
	g.raise("gradual@25")
	st := g.await("a hold for the lost baseline", func(s reconciler.Status) bool { return s.Decision.Reason == decide.GateNoData })
	if want := "baseline.before unknown: none is on record, it is remembered when setup is left"; !strings.Contains(st.Decision.Message, want) {
		t.Errorf("it holds with %q, want %q", st.Decision.Message, want)
	}
}
