package reconciler_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/test/fakes"
)

func TestAGatewayThatIsElsewhereIsLeftToAPersonWhileHalted(t *testing.T) {
	g := newRig(t)
	b, err := os.ReadFile(g.clone + "/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	g.write("shop.yaml", strings.Replace(string(b), "      gates:", "      rollback: {onBreach: freeze}\n      gates:", 1))
	g.commit("freeze")
	g.start()
	g.raise("gradual@25")
	g.awaitSteady("gradual@25")
	g.sampler.Set("errors", 0.2)
	st := g.await("frozen", func(s reconciler.Status) bool { return s.Halt != nil })
	// The operator brings back the gateway's configuration of yesterday.
	v, _, err := loadPlan(g)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.traffic.Apply(t.Context(), v, reconciler.Mark{Key: shop, Stop: plan.Position{Phase: "setup"}, Since: st.Since, Revision: st.Applied}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(400 * time.Millisecond)
	if m := g.traffic.Served(shop); m.Stop.String() != "setup" {
		t.Errorf("the traffic went forward to %s while the plan was halted", m.Stop)
	}
}

// loadPlan reads the plan in the person's clone.
func loadPlan(g *rig) (*plan.Plan, []plan.Problem, error) {
	b, err := os.ReadFile(g.clone + "/shop.yaml")
	if err != nil {
		return nil, nil, err
	}
	doc, problems := plan.Decode("shop.yaml", b)
	return doc.Plan, problems, nil
}

func TestAPlanThatIsRenamedOrMovedKeepsItsRecord(t *testing.T) {
	g := newRig(t)
	g.start()
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	bad := g.raise("gradual@25")
	g.awaitSteady("gradual@25")
	g.git("mv", "shop.yaml", "moved.yaml")
	head := g.commit("move the file")
	g.await("the new head", func(s reconciler.Status) bool { return s.Head == head })
	g.sampler.Set("errors", 0.2)
	st := g.awaitSteady("gradual@10")
	if len(st.Holds) != 1 || st.Holds[0].Commit != bad || st.Path != "moved.yaml" {
		t.Errorf("holds are %+v, the plan is at %q", st.Holds, st.Path)
	}
	if s := g.subjects()[0]; s != `Revert "shop: gradual@25"` {
		t.Errorf("the newest commit is %q", s)
	}
}

func TestAPlanDeclaredTwiceStaysWhereItIsAndIsRolledBack(t *testing.T) {
	g := newRig(t)
	g.start()
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	b, err := os.ReadFile(g.clone + "/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	g.write("copy.yaml", string(b))
	g.commit("a copy")
	g.await("invalid", func(s reconciler.Status) bool { return s.State == reconciler.StateInvalid })
	g.stop()
	g.start()
	g.await("invalid after a restart", func(s reconciler.Status) bool {
		return s.State == reconciler.StateInvalid && s.Effective.String() == "gradual@10"
	})
	g.sampler.Set("errors", 0.2)
	g.await("rolled back", func(s reconciler.Status) bool {
		return s.Effective.String() == "setup" && s.Pending != nil && s.Pending.Error != ""
	})
	g.sampler.Set("errors", 0)
	g.git("rm", "-q", "copy.yaml")
	g.commit("remove the copy")
	g.await("the revert is on the branch", func(s reconciler.Status) bool { return s.Pending == nil && s.Declared.String() == "setup" })
	if s := g.subjects()[0]; s != `Revert "shop: gradual@10"` {
		t.Errorf("the newest commit is %q", s)
	}
}

func TestAPlanOfAnUnreachableRemoteIsRolledBackFromTheRecord(t *testing.T) {
	g := newRig(t)
	g.start()
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	g.stop()
	away := g.remote + ".away"
	if err := os.Rename(g.remote, away); err != nil {
		t.Fatal(err)
	}
	g.sampler.Set("errors", 0.2)
	g.start()
	g.await("rolled back", func(s reconciler.Status) bool {
		return s.State == reconciler.StateRolledBackUnpushed && s.Effective.String() == "setup"
	})
	g.sampler.Set("errors", 0)
	g.stop()
	g.start()
	if err := os.Rename(away, g.remote); err != nil {
		t.Fatal(err)
	}
	g.awaitSteady("setup")
	if s := g.subjects()[:2]; s[0] != `Revert "shop: gradual@10"` || s[1] != "shop: gradual@10" {
		t.Errorf("the log is %q", s)
	}
}

func TestAPlanThatCannotBeWorkedDelaysNoOther(t *testing.T) {
	g := newRig(t)
	g.start()
	g.awaitSteady("setup")
	other := strings.Replace(shopPlan, "name: shop}", "name: other}", 1)
	g.write("other.yaml", strings.Replace(other, "nginx: {}", "bridge: {}", 1))
	g.commit("a plan whose gateway the daemon does not have")
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	g.sampler.Set("errors", 0.2)
	g.awaitSteady("setup")
	g.await("the other plan's error", func(reconciler.Status) bool {
		s, _ := g.r.Status(plan.Key{Namespace: "default", Name: "other"})
		return strings.Contains(s.Error, "without the gateway")
	})
}

func TestAChangeOfTheGatewayLeavesNoTrafficBehind(t *testing.T) {
	g, bridge := newRig(t), &fakes.Traffic{}
	g.wrap = func(o *reconciler.Options) { o.Bridge = bridge }
	g.start()
	g.raise("gradual@25")
	g.awaitSteady("gradual@25")
	b, err := os.ReadFile(g.clone + "/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	g.write("shop.yaml", strings.Replace(string(b), "nginx: {}", "bridge: {}", 1))
	g.commit("the bridge from here on")
	g.await("the hold", func(s reconciler.Status) bool { return s.Decision.Reason == decide.GatewayChanged })
	if m := bridge.Served(shop); m != nil {
		t.Errorf("the bridge was brought to %s beside nginx", m.Stop)
	}
	g.raise("setup")
	g.awaitSteady("setup")
	g.await("the bridge at setup", func(reconciler.Status) bool {
		m := bridge.Served(shop)
		return m != nil && m.Stop.String() == "setup" && g.traffic.Served(shop).Stop.String() == "setup"
	})
}

func TestARollbackReachesTheGatewayAtWhichTheTrafficIs(t *testing.T) {
	g, bridge := newRig(t), &fakes.Traffic{}
	g.wrap = func(o *reconciler.Options) { o.Bridge = bridge }
	src := strings.Replace(shopPlan, "percents: [10, 25, 50, 100]", "percents: [10, 25, 50, 100]\n      bake: 1h", 1)
	g.write("shop.yaml", src)
	g.commit("bake")
	g.start()
	g.awaitSteady("setup")
	pos := strings.Replace(src, "{phase: setup}", "{phase: gradual, percent: 10}", 1)
	g.write("shop.yaml", strings.Replace(pos, "nginx: {}", "bridge: {}", 1))
	g.commit("the bridge, and 10 percent")
	g.await("10 percent at the bridge", func(s reconciler.Status) bool {
		m := bridge.Served(shop)
		return s.Effective.String() == "gradual@10" && m != nil && m.Stop.String() == "gradual@10"
	})
	g.sampler.Set("errors", 0.2)
	g.awaitSteady("setup")
	if m := bridge.Served(shop); m.Stop.String() != "setup" {
		t.Errorf("the bridge is at %s", m.Stop)
	}
}
