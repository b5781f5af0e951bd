package reconciler_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
)

func TestAPlanWithoutAGatewayMovesTheClusterBothWays(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterOnly)
	g.to("setup")
	g.declare("gradual@10")
	g.settled("gradual@10")
	g.did("expand gradual@10", "contract gradual@10")
	g.sampler.Set("errors", 0.2)
	st := g.settled("setup")
	if len(st.Holds) != 1 || g.subjects()[0] != `Revert "shop: gradual@10"` {
		t.Errorf("holds are %+v, the newest commit is %q", st.Holds, g.subjects()[0])
	}
	g.did("expand setup", "push", "contract setup")
	if n := g.counter("changeover_drift_corrections_total"); n != 0 {
		t.Errorf("moves were counted as drift %g times", n)
	}
}

func TestNothingCountsAsAppliedBeforeTheClusterWasChanged(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ from, to string }{
		"forward":  {"gradual@10", "gradual@50"},
		"backward": {"gradual@50", "gradual@10"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newClusterRig(t, clusterOnly)
			g.to(test.from)
			g.c.failAt("Expand")
			g.declare(test.to)
			st := g.step(3)
			if st.Effective.String() != test.from || st.Move == nil || st.Move.Attempts == 0 || !strings.Contains(st.Error, "webhook") {
				t.Errorf("the plan is at %s, move %+v: %q", st.Effective, st.Move, st.Error)
			}
			if m := g.c.mark(); m.Stop.String() != test.from {
				t.Errorf("the mark names %s", m.Stop)
			}
			g.c.up()
			g.settled(test.to)
			if m := g.c.mark(); m.Stop.String() != test.to {
				t.Errorf("the mark names %s at the end", m.Stop)
			}
		})
	}
}

func TestTheLostRecordOfAPlanWithoutAGatewayIsRebuiltFromTheInventory(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterOnly)
	g.to("gradual@10")
	bad := g.declare("gradual@50")
	g.settled("gradual@50")
	g.sampler.Set("errors", 0.2)
	before := g.settled("gradual@10")
	g.sampler.Set("errors", 0)
	g.stop()
	if err := os.RemoveAll(g.state); err != nil {
		t.Fatal(err)
	}
	g.j.take()
	g.ready()
	after := g.settled("gradual@10")
	if !after.Since.Equal(before.Since) || len(after.Holds) != 1 || after.Holds[0].Commit != bad || after.Applied != before.Applied {
		t.Errorf("applied %s since %s with holds %+v, want %s, %s and one on %s", after.Applied, after.Since, after.Holds, before.Applied, before.Since, bad)
	}
	g.did()
}

func TestARecordIsNotRebuiltWhileTheInventoryCannotBeRead(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterOnly)
	before := g.to("gradual@10")
	g.stop()
	if err := os.RemoveAll(g.state); err != nil {
		t.Fatal(err)
	}
	g.c.down()
	g.ready()
	if st := g.step(3); !strings.Contains(st.Error, "connection refused") || g.c.effects() == 0 {
		t.Errorf("the error is %q", st.Error)
	}
	g.did()
	g.c.up()
	if st := g.settled("gradual@10"); !st.Since.Equal(before.Since) {
		t.Errorf("since %s, want %s", st.Since, before.Since)
	}
}

// TestAMarkThatCannotBeWrittenIsWrittenLater: what is applied stays so.
func TestAMarkThatCannotBeWrittenIsWrittenLater(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterOnly)
	g.to("gradual@10")
	g.c.failAt("SetMark")
	g.declare("gradual@50")
	st := g.until("gradual@50", func(s reconciler.Status) bool { return s.Effective.String() == "gradual@50" })
	g.c.up()
	g.pass(time.Minute)
	after := g.settled("gradual@50")
	if m := g.c.mark(); m.Stop.String() != "gradual@50" || !m.Since.Equal(after.Since) || !after.Since.Equal(st.Since) {
		t.Errorf("the mark is %+v, the plan is there since %s, and was since %s", m, after.Since, st.Since)
	}
	if n := g.counter("changeover_drift_corrections_total"); n != 0 {
		t.Errorf("the mark was counted as drift %g times", n)
	}
}

func TestADriftOf(t *testing.T) {
	t.Parallel()
	for name, src := range map[string]string{"a plan with a gateway": clusterPlan, "a plan without": clusterOnly} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newClusterRig(t, src)
			g.to("gradual@10")
			g.c.Remove(workload("modern"))
			g.pass(time.Minute)
			g.settled("gradual@10")
			g.did("expand gradual@10")
			if n := g.counter("changeover_drift_corrections_total"); n != 1 || g.c.replicas("modern") != 2 {
				t.Errorf("counted %g times; modern has %d replicas", n, g.c.replicas("modern"))
			}
			// Nothing moves forward before the drift is corrected.
			g.c.Remove(workload("modern"))
			g.c.failAt("Expand")
			g.declare("gradual@50")
			st := g.step(3)
			if st.Decision.Reason != "NotHealthy" || st.Move != nil || !strings.Contains(st.Error, "webhook") {
				t.Errorf("the decision is %s %s, move %+v, error %q", st.Decision.Verb, st.Decision.Reason, st.Move, st.Error)
			}
			g.c.up()
			g.settled("gradual@50")
		})
	}
}

func TestADriftAfterARestartAndAQuietCommitIsCounted(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterPlan)
	g.to("gradual@10")
	g.edit("a quiet change", "signal.errors > 0.03", "signal.errors > 0.02")
	g.settled("gradual@10")
	if n := g.counter("changeover_drift_corrections_total"); n != 0 {
		t.Errorf("a quiet change was counted as drift %g times", n)
	}
	g.ready()
	g.settled("gradual@10")
	g.j.take()
	g.c.Remove(workload("modern"))
	g.pass(time.Minute)
	g.settled("gradual@10")
	if n := g.counter("changeover_drift_corrections_total"); n != 1 {
		t.Errorf("counted %g times", n)
	}
}

func TestHealthOfTheClusterIsAboutReadinessAndNotDrift(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, strings.ReplaceAll(clusterPlan, "expr: \"signal.errors > 0.03\"", "expr: \"!health.cluster\""))
	g.to("gradual@10")
	g.declare("gradual@50")
	g.settled("gradual@50")
	g.c.Edit(config("position"), func(o render.Object) { o["data"] = map[string]any{"stop": "elsewhere"} })
	g.c.failAt("Expand")
	g.pass(time.Minute)
	if st := g.step(4); !st.Observed.Cluster.Drifted || g.served() != "gradual@50" {
		t.Errorf("drifted is %t; a drift moved the traffic to %s", st.Observed.Cluster.Drifted, g.served())
	}
	g.c.up()
	g.settled("gradual@50")
	g.c.sicken("modern", "CrashLoopBackOff")
	g.pass(time.Minute)
	g.until("rolled back", func(reconciler.Status) bool { return g.served() != "gradual@50" })
}

func TestRequirementsHoldAtTheFirstStopAlone(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, strings.Replace(clusterPlan, "  backends:\n", "  requires: {kubernetes: \">=1.25\"}\n  backends:\n", 1))
	g.c.Lack("kubernetes is 1.24.0, and >=1.25 is required")
	g.to("setup")
	g.declare("gradual@10")
	st := g.step(3)
	if st.Decision.Reason != "RequirementUnmet" || !strings.Contains(st.Decision.Message, "kubernetes is 1.24.0, and >=1.25 is required") || st.Move != nil {
		t.Errorf("the decision is %s %s: %s", st.Decision.Verb, st.Decision.Reason, st.Decision.Message)
	}
	if done := g.j.take(); slices.ContainsFunc(done, func(s string) bool { return strings.Contains(s, "gradual") }) || g.served() != "setup" {
		t.Errorf("done was %q", done)
	}
	g.c.failWith(func(_ context.Context, method string) error {
		if method == "Unmet" {
			return errors.New("connection refused")
		}
		return nil
	})
	if st := g.step(2); st.Decision.Reason != "RequirementUnmet" || !strings.Contains(st.Decision.Message, "connection refused") {
		t.Errorf("without an answer the decision is %s: %s", st.Decision.Reason, st.Decision.Message)
	}
	g.c.up()
	g.c.Lack()
	g.settled("gradual@10")
	g.c.Lack("kubernetes is 1.24.0, and >=1.25 is required")
	asked := g.c.count("Unmet")
	g.declare("gradual@50")
	g.settled("gradual@50")
	if n := g.c.count("Unmet") - asked; n != 0 {
		t.Errorf("asked %d times beyond the first stop", n)
	}
}
