package reconciler_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/render"
)

func TestWeightsChangeOnceTheClusterIsHealthy(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterPlan)
	g.ready()
	g.settled("setup")
	g.did("expand setup", "traffic setup")
	g.c.sicken("modern", "0 of 2 replicas are ready")
	g.declare("gradual@10")
	st := g.step(4)
	if st.State != reconciler.StateProgressing || st.Move == nil || st.Move.Step != decide.StepHealth || st.Effective.String() != "setup" {
		t.Errorf("the plan is %s at %s, move %+v", st.State, st.Effective, st.Move)
	}
	if !strings.Contains(st.Waiting, "modern: 0 of 2 replicas are ready") {
		t.Errorf("it waits for %q", st.Waiting)
	}
	g.did("expand gradual@10")
	g.c.heal("modern")
	if st := g.settled("gradual@10"); st.Waiting != "" {
		t.Errorf("it still waits for %q", st.Waiting)
	}
	g.did("traffic gradual@10", "contract gradual@10")
}

func TestWhatTheTrafficLeavesIsTakenAwayAfterIt(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterPlan)
	g.to("gradual@50")
	g.moving = func(m reconciler.Mark) {
		if legacy, modern := g.c.replicas("legacy"), g.c.replicas("modern"); legacy != 3 || modern != 4 {
			t.Errorf("while the traffic moves to %s there are %d replicas of legacy and %d of modern", m.Stop, legacy, modern)
		}
	}
	g.declare("sunset")
	g.settled("sunset")
	g.did("expand sunset", "traffic sunset", "contract sunset")
	if n := g.c.replicas("legacy"); n != 0 {
		t.Errorf("legacy has %d replicas at the end", n)
	}
}

func TestAClusterThatNeverGetsReadyPagesOnce(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, strings.Replace(clusterPlan, "{path: k/legacy3.modern2}", "{path: k/legacy3.modern2, timeout: 10m}", 1))
	g.to("setup")
	g.c.sicken("modern", "0 of 2 replicas are ready")
	g.declare("gradual@10")
	g.step(2)
	g.pass(9 * time.Minute)
	if st := g.step(2); st.State != reconciler.StateProgressing || len(g.pages.all()) > 0 {
		t.Errorf("before the timeout the plan is %s, paged %+v", st.State, g.pages.all())
	}
	g.pass(2 * time.Minute)
	st := g.step(3)
	g.pass(time.Hour)
	g.step(3)
	pages := g.pages.all()
	if len(pages) != 1 || pages[0].Reason != decide.NotHealthy || !strings.Contains(pages[0].Message, "10m") || !strings.Contains(pages[0].Message, "0 of 2 replicas are ready") {
		t.Errorf("paged %+v, want one page with the time and the reason", pages)
	}
	if st.State != reconciler.StateDegraded || !strings.Contains(st.Waiting, "0 of 2 replicas") || st.Effective.String() != "setup" || g.served() != "setup" {
		t.Errorf("the plan is %s at %s and waits for %q; served is %s", st.State, st.Effective, st.Waiting, g.served())
	}
	g.c.heal("modern")
	g.settled("gradual@10")
}

func TestNewerContentIsTakenUpWhileTheClusterIsWaitedFor(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterPlan)
	g.to("setup")
	g.c.sicken("modern", "ImagePullBackOff")
	g.declare("gradual@10")
	g.step(2)
	head := g.edit("another image", "k/legacy3.modern2}", "k/legacy3.better2}")
	st := g.settled("gradual@10")
	if st.Applied != head || g.c.replicas("better") != 2 || g.c.replicas("modern") != -1 {
		t.Errorf("applied is %s, want %s; better has %d replicas, modern %d", st.Applied, head, g.c.replicas("better"), g.c.replicas("modern"))
	}
	g.did("expand gradual@10", "traffic gradual@10", "contract gradual@10")
}

func TestAPersonsLowerEndsTheWaitForTheCluster(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterPlan)
	g.to("setup")
	g.c.sicken("modern", "0 of 2 replicas are ready")
	g.declare("sunset")
	g.until("the wait", func(s reconciler.Status) bool { return s.Waiting != "" })
	g.declare("setup")
	if st := g.step(1); st.Effective.String() != "setup" || st.Move != nil || g.served() != "setup" {
		t.Errorf("the plan is at %s, move %+v; served is %s", st.Effective, st.Move, g.served())
	}
	g.settled("setup")
	if n := g.c.replicas("modern"); n != -1 {
		t.Errorf("modern still has %d replicas", n)
	}
}

// broken are the ways in which a build gives nothing to apply.
var broken = map[string]func(plan.Version, plan.Position) ([]render.Object, error){
	"fails":    func(plan.Version, plan.Position) ([]render.Object, error) { return nil, errors.New("no such base") },
	"is empty": func(plan.Version, plan.Position) ([]render.Object, error) { return nil, nil },
}

func TestNothingIsAppliedOrDeletedForABuildThat(t *testing.T) {
	t.Parallel()
	for name, build := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newClusterRig(t, clusterPlan)
			g.to("gradual@10")
			g.render(func(v plan.Version, stop plan.Position) ([]render.Object, error) {
				if stop.Phase == "sunset" {
					return build(v, stop)
				}
				return manifests(v, stop), nil
			})
			g.declare("sunset")
			st := g.until("the failed move", func(s reconciler.Status) bool { return s.Move != nil && s.Move.Attempts > 1 })
			if st.State != reconciler.StateDegraded || !strings.Contains(st.Error, "k/legacy0.modern4") || st.Effective.String() != "gradual@50" || g.served() != "gradual@50" {
				t.Errorf("the plan is %s at %s: %q; served is %s", st.State, st.Effective, st.Error, g.served())
			}
			g.did("expand gradual@50", "traffic gradual@50")
			g.render(nil)
			g.settled("sunset")
			g.j.take()
			// Going back moves the traffic, whatever can be built.
			g.render(build)
			g.c.set(func() { g.c.calls = map[string]int{} })
			g.declare("gradual@10")
			g.until("back", func(s reconciler.Status) bool { return s.Effective.String() == "gradual@10" })
			st = g.step(3)
			g.did("traffic gradual@10")
			if n := g.c.effects(); n > 0 || g.c.replicas("modern") != 4 {
				t.Errorf("the cluster was written %d times without a build, modern has %d replicas", n, g.c.replicas("modern"))
			}
			if st.State != reconciler.StateDegraded || !strings.Contains(st.Observed.Cluster.Message, "k/legacy3.modern2") {
				t.Errorf("the plan is %s: %+v", st.State, st.Observed.Cluster)
			}
			g.render(nil)
			g.settled("gradual@10")
			if g.c.replicas("legacy") != 3 || g.c.replicas("modern") != 2 {
				t.Errorf("legacy has %d replicas, modern %d", g.c.replicas("legacy"), g.c.replicas("modern"))
			}
		})
	}
}

func TestNothingIsDoneForAPlanThatIs(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(*clusterRig){
		"suspended": func(g *clusterRig) { g.edit("suspend", "spec:\n", "spec:\n  suspend: true\n") },
		"orphaned":  func(g *clusterRig) { g.git("rm", "-q", "shop.yaml"); g.commit("gone"); g.r.Poll(g.t.Context()) },
	} {
		for _, moving := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/moving=%t", name, moving), func(t *testing.T) {
				t.Parallel()
				g := newClusterRig(t, clusterPlan)
				g.to("setup")
				if moving {
					g.c.sicken("modern", "0 of 2 replicas are ready")
					g.declare("gradual@10")
					g.until("the wait", func(s reconciler.Status) bool { return s.Waiting != "" })
				}
				stop(g)
				g.c.heal("modern")
				g.c.Remove(workload("legacy"))
				g.pass(time.Hour)
				g.j.take()
				before := g.c.effects()
				st := g.step(4)
				g.did()
				if n := g.c.effects() - before; n > 0 {
					t.Errorf("the cluster was written %d times", n)
				}
				if want := strings.ToUpper(name[:1]) + name[1:]; string(st.Decision.Reason) != want {
					t.Errorf("the decision is %s, want %s", st.Decision.Reason, want)
				}
			})
		}
	}
}

func TestWhatIsQuarantinedIsNotApplied(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterPlan)
	g.wrap = func(o *reconciler.Options) {
		g.wire(o)
		o.Source = unpushable{o.Source}
	}
	g.to("gradual@10")
	g.declare("gradual@50")
	g.settled("gradual@50")
	g.sampler.Set("errors", 0.2)
	g.until("quarantined", func(s reconciler.Status) bool {
		return s.Decision.Reason == decide.Quarantined && !s.Observed.Cluster.Ill()
	})
	g.sampler.Set("errors", 0)
	before := g.c.effects()
	g.j.take()
	g.pass(time.Hour)
	if st := g.step(5); st.Effective.String() != "gradual@10" || g.c.effects() != before {
		t.Errorf("the plan is at %s; the cluster was written %d times", st.Effective, g.c.effects()-before)
	}
	g.did()
}

// unpushable is a source whose remote takes nothing.
type unpushable struct{ reconciler.Source }

func (unpushable) Push(context.Context, []reconciler.Undo) ([]reconciler.Pushed, error) {
	return nil, &reconciler.RemoteError{Kind: reconciler.RemoteAuth, Op: "push", Text: "no"}
}

func TestNothingIsBegunWithoutTheLease(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterPlan)
	g.to("gradual@10")
	g.declare("gradual@50")
	g.lose(true)
	st := g.step(4)
	if !strings.Contains(st.Error, errLost.Error()) {
		t.Errorf("the error is %q", st.Error)
	}
	g.did()
	g.lose(false)
	g.settled("gradual@50")
	g.did("expand gradual@50", "traffic gradual@50")
	g.sampler.Set("errors", 0.2)
	g.lose(true)
	g.step(4)
	g.did()
	g.lose(false)
	g.settled("gradual@10")
	g.sampler.Set("errors", 0)
	g.lose(true)
	g.pass(time.Hour)
	g.c.Remove(workload("modern"))
	before := g.c.effects()
	g.step(4)
	if n := g.c.effects() - before; n > 0 {
		t.Errorf("drift was corrected %d times without the lease", n)
	}
}

func TestARaisedMaxPruneLetsAMoveGoOn(t *testing.T) {
	t.Parallel()
	src := strings.Replace(clusterPlan, "k/legacy3.old}", "k/legacy3.a.b.c}", 1)
	g := newClusterRig(t, strings.Replace(src, "{path: k/legacy3.modern2}", "{path: k/legacy3.modern2, maxPrune: 2}", 1))
	g.to("setup")
	g.declare("gradual@10")
	st := g.until("the refusal", func(s reconciler.Status) bool { return s.Error != "" })
	if !strings.Contains(st.Error, "3 objects are not wanted") || !g.c.has("a") {
		t.Errorf("the error is %q", st.Error)
	}
	g.edit("delete them", "maxPrune: 2", "maxPrune: 3")
	g.settled("gradual@10")
	if g.c.has("a") || g.c.has("b") || g.c.has("c") {
		t.Error("not all was deleted")
	}
}
