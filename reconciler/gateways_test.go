package reconciler_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
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
	for name, field := range map[string]string{"the bridge": "bridge: {}", "a bridge behind nginx": `nginx: {bridge: "http://127.0.0.1:8088"}`} {
		t.Run(name, func(t *testing.T) { changesTheGateway(t, field) })
	}
}

func changesTheGateway(t *testing.T, field string) {
	g, bridge := newRig(t), &fakes.Traffic{}
	g.wrap = func(o *reconciler.Options) { o.Bridge, o.BridgedNGINX = bridge, bridge }
	g.start()
	g.raise("gradual@25")
	g.awaitSteady("gradual@25")
	b, err := os.ReadFile(g.clone + "/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	g.write("shop.yaml", strings.Replace(string(b), "nginx: {}", field, 1))
	g.commit("another gateway from here on")
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

// parts is a gateway that is told which way traffic goes.
type parts struct {
	*fakes.Traffic
	mu  sync.Mutex
	did []string
}

func (p *parts) note(format string, m reconciler.Mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if line := fmt.Sprintf(format, m.Stop); len(p.did) == 0 || p.did[len(p.did)-1] != line {
		p.did = append(p.did, line)
	}
}

func (p *parts) Apply(ctx context.Context, q *plan.Plan, m reconciler.Mark) error {
	p.note("apply %s", m)
	return p.Traffic.Apply(ctx, q, m)
}

func (p *parts) Retreat(ctx context.Context, q *plan.Plan, m reconciler.Mark) error {
	p.note("retreat %s", m)
	return p.Traffic.Apply(ctx, q, m)
}

// TestAGatewayOfPartsKnowsWhenItGoesBack: what is applied already, as the mark with
// the time of arrival, holds up nothing either.
func TestAGatewayOfPartsKnowsWhenItGoesBack(t *testing.T) {
	g := newRig(t)
	p := &parts{Traffic: g.traffic}
	g.wrap = func(o *reconciler.Options) { o.NGINX = p }
	g.start()
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	g.sampler.Set("errors", 0.2)
	g.awaitSteady("setup")
	g.stop()
	want := []string{"apply setup", "retreat setup", "apply gradual@10", "retreat gradual@10", "retreat setup"}
	if !slices.Equal(p.did, want) {
		t.Errorf("the gateway was told %q, want %q", p.did, want)
	}
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
