package reconciler_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/render"
)

// back takes a plan back: by a breach, or by a person's commit.
var back = map[string]func(g *clusterRig, to string){
	"rolled back": func(g *clusterRig, _ string) { g.sampler.Set("errors", 0.2) },
	"lowered":     func(g *clusterRig, to string) { g.declare(to) },
}

func TestTheTrafficGoesBackBeforeTheClusterOfAPlanThatIs(t *testing.T) {
	t.Parallel()
	for name, goBack := range back {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newClusterRig(t, clusterPlan)
			g.to("setup")
			g.declare("gradual@10")
			g.settled("gradual@10")
			g.j.take()
			goBack(g, "setup")
			st := g.step(1)
			if g.served() != "setup" || st.Effective.String() != "setup" || st.Move != nil {
				t.Errorf("after one evaluation %s is served; the plan is at %s, move %+v", g.served(), st.Effective, st.Move)
			}
			g.settled("setup")
			if got, want := g.moved(), []string{"traffic setup", "expand setup", "contract setup"}; !slices.Equal(got, want) {
				t.Errorf("done was %q, want %q", got, want)
			}
			if n := g.counter("changeover_drift_corrections_total"); n != 0 {
				t.Errorf("following was counted as drift %g times", n)
			}
		})
	}
}

// moved is what was done since the last time, but for pushes.
func (g *clusterRig) moved() []string {
	return slices.Compact(slices.DeleteFunc(g.j.take(), func(s string) bool { return s == "push" }))
}

func TestACrashLoopDelaysNoTrafficOfAPlanThatIs(t *testing.T) {
	t.Parallel()
	for name, goBack := range back {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newClusterRig(t, clusterPlan)
			g.to("gradual@50")
			g.declare("sunset")
			g.settled("sunset")
			g.c.sicken("modern", "CrashLoopBackOff")
			g.j.take()
			goBack(g, "gradual@50")
			if g.step(1); g.served() != "gradual@50" {
				t.Errorf("%s is served while modern does not start", g.served())
			}
			g.until("pushed", func(s reconciler.Status) bool { return s.Pending == nil && s.Declared.String() == "gradual@50" })
			st := g.step(4)
			if st.State != reconciler.StateDegraded || !strings.Contains(st.Waiting, "CrashLoopBackOff") {
				t.Errorf("the plan is %s and waits for %q", st.State, st.Waiting)
			}
			if got, want := g.moved(), []string{"expand gradual@50", "traffic gradual@50"}; !slices.Equal(got, want) {
				t.Errorf("done was %q, want %q", got, want)
			}
			if g.c.replicas("modern") != 4 {
				t.Errorf("modern was lowered to %d before everything was ready", g.c.replicas("modern"))
			}
			if n := g.counter("changeover_drift_corrections_total"); n != 0 {
				t.Errorf("following was counted as drift %g times", n)
			}
			g.c.heal("modern")
			g.settled("gradual@50")
			if g.c.replicas("modern") != 2 {
				t.Errorf("modern has %d replicas at the end", g.c.replicas("modern"))
			}
		})
	}
}

func TestAnAPIServerThatIsDownHoldsUpNoRollback(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterPlan)
	g.to("setup")
	g.declare("gradual@10")
	g.settled("gradual@10")
	g.j.take()
	g.c.down()
	g.sampler.Set("errors", 0.2)
	if g.step(1); g.served() != "setup" {
		t.Fatalf("%s is served", g.served())
	}
	g.until("pushed", func(s reconciler.Status) bool { return s.Pending == nil && s.Declared.String() == "setup" })
	if s := g.subjects()[0]; s != `Revert "shop: gradual@10"` {
		t.Errorf("the newest commit is %q", s)
	}
	st := g.step(3)
	if st.State != reconciler.StateDegraded || !strings.Contains(st.Observed.Cluster.Message, "connection refused") {
		t.Errorf("the plan is %s: %+v", st.State, st.Observed.Cluster)
	}
	g.did("traffic setup", "push")
	g.c.up()
	g.settled("setup")
	g.did("expand setup", "contract setup")
	if n := g.counter("changeover_drift_corrections_total"); n != 0 {
		t.Errorf("following was counted as drift %g times", n)
	}
}

func TestASecondBreachGoesFurtherThoughTheClusterHasNotFollowed(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterPlan)
	g.to("gradual@10")
	g.declare("gradual@50")
	g.settled("gradual@50")
	g.c.down()
	g.sampler.Set("errors", 0.2)
	g.until("the first rollback", func(s reconciler.Status) bool { return g.served() == "gradual@10" })
	time.Sleep(15 * time.Millisecond) // evidence is fresh after 10 ms
	g.sampler.Set("late", 1)
	st := g.until("the second rollback", func(s reconciler.Status) bool {
		return g.served() == "setup" && s.Pending == nil && s.Declared.Phase == "setup"
	})
	if len(st.Holds) != 2 || st.Effective.Phase != "setup" {
		t.Errorf("the plan is at %s with holds %+v", st.Effective, st.Holds)
	}
	g.c.up()
	g.settled("setup")
	if legacy, modern := g.c.replicas("legacy"), g.c.replicas("modern"); legacy != 3 || modern != -1 {
		t.Errorf("legacy has %d replicas, modern %d", legacy, modern)
	}
}

func TestLegacyIsBroughtBackBeforeTheTraffic(t *testing.T) {
	t.Parallel()
	for name, goBack := range back {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newClusterRig(t, clusterPlan)
			g.to("gradual@50")
			g.declare("sunset")
			g.settled("sunset")
			g.c.sicken("legacy", "1 of 3 replicas are ready")
			g.j.take()
			goBack(g, "gradual@50")
			st := g.step(3)
			if st.State != reconciler.StateRollingBack || !strings.Contains(st.Waiting, "1 of 3 replicas") || g.served() != "sunset" {
				t.Errorf("the plan is %s and waits for %q; %s is served", st.State, st.Waiting, g.served())
			}
			g.pass(time.Minute)
			g.step(2)
			if g.served() != "sunset" || g.c.replicas("legacy") != 3 || g.c.replicas("modern") != 4 {
				t.Errorf("%s is served by %d of legacy and %d of modern", g.served(), g.c.replicas("legacy"), g.c.replicas("modern"))
			}
			g.c.heal("legacy")
			if g.step(1); g.served() != "gradual@50" {
				t.Errorf("%s is served", g.served())
			}
			g.settled("gradual@50")
			for _, p := range g.pages.all() {
				if p.Reason == decide.NotHealthy {
					t.Errorf("paged %+v", p)
				}
			}
		})
	}
}

func TestTheTrafficWaitsForLegacyNoLongerThanTwoMinutes(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*clusterRig){
		"not ready": func(g *clusterRig) { g.c.sicken("legacy", "0 of 3 replicas are ready") },
		"no answer": func(g *clusterRig) { g.c.down() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newClusterRig(t, clusterPlan)
			g.to("gradual@50")
			g.declare("sunset")
			g.settled("sunset")
			spoil(g)
			g.sampler.Set("errors", 0.2)
			g.step(2)
			g.pass(115 * time.Second)
			if g.step(2); g.served() != "sunset" {
				t.Errorf("%s is served before two minutes are over", g.served())
			}
			g.pass(10 * time.Second)
			if g.step(1); g.served() != "gradual@50" {
				t.Fatalf("%s is served after two minutes", g.served())
			}
			g.sampler.Set("errors", 0)
			g.until("pushed", func(s reconciler.Status) bool { return s.Pending == nil })
			g.pass(time.Hour)
			g.step(3)
			var told []reconciler.Entry
			for _, p := range g.pages.all() {
				if p.Reason == decide.NotHealthy {
					told = append(told, p)
				}
			}
			if len(told) != 1 {
				t.Errorf("paged %+v, want one page for the wait", told)
			}
			g.c.heal("legacy")
			g.c.up()
			g.settled("gradual@50")
		})
	}
}

func TestAnInterruptedContractIsMadeGoodBeforeTheTrafficGoesBack(t *testing.T) {
	t.Parallel()
	for name, goBack := range back {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newClusterRig(t, clusterPlan)
			g.to("gradual@50")
			g.c.set(func() { g.c.halfway = errors.New("the API server went away") })
			g.declare("sunset")
			g.until("the interrupted contract", func(reconciler.Status) bool { return g.c.replicas("legacy") == 0 })
			g.c.set(func() { g.c.halfway = nil })
			g.moving = func(m reconciler.Mark) {
				if n := g.c.replicas("legacy"); n != 3 {
					t.Errorf("the traffic moves to %s while legacy has %d replicas", m.Stop, n)
				}
			}
			goBack(g, "gradual@50")
			g.step(1)
			if g.served() == "sunset" {
				t.Error("sunset is still served")
			}
			g.until("back", func(s reconciler.Status) bool { return s.State == reconciler.StateSteady && s.Pending == nil })
			if n := g.c.replicas("legacy"); n != 3 {
				t.Errorf("legacy has %d replicas at the end", n)
			}
		})
	}
}

// TestAPageForAWaitThatIsOverSaysForWhat: what the traffic waited for.
func TestAPageForAWaitThatIsOverSaysForWhat(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterPlan)
	g.to("gradual@50")
	g.declare("sunset")
	g.settled("sunset")
	g.c.sicken("legacy", "0 of 3 replicas are ready")
	g.declare("gradual@50")
	g.step(2)
	g.pass(3 * time.Minute)
	g.step(1)
	if p := g.pages.all(); len(p) != 1 || !strings.Contains(p[0].Message, "0 of 3 replicas are ready") {
		t.Errorf("paged %+v", p)
	}
}

func TestABuildThatPanicsHoldsUpNoRollback(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterPlan)
	g.to("gradual@50")
	g.render(func(plan.Version, plan.Position) ([]render.Object, error) { panic("no such field") })
	g.declare("setup")
	if st := g.step(3); g.served() != "setup" {
		t.Errorf("%s is served: %s", g.served(), st.Error)
	}
}
