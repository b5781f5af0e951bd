package reconciler_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/fakes"
)

// owning is a gateway that knows who owns entities.
type owning struct {
	*fakes.Traffic
	mu   sync.Mutex
	owns bool
	err  error
}

func (o *owning) set(owns bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.owns, o.err = owns, err
}

func (o *owning) ModernOwns(context.Context, *plan.Plan) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.owns, o.err
}

// withoutEntities brings a plan with entities to gradual@10, and then commits it
// without them.
func withoutEntities(t *testing.T) (g *rig, o *owning, head plan.Revision) {
	t.Helper()
	g = newRig(t)
	o = &owning{Traffic: g.traffic, owns: true}
	g.wrap = func(r *reconciler.Options) { r.BridgedNGINX = o }
	b, err := os.ReadFile(g.clone + "/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const entities = "  entities: {match: {path: \"/deployments/{id}\"}}\n"
	g.write("shop.yaml", strings.Replace(string(b), "  gateway: {nginx: {}}\n", "  gateway: {nginx: {bridge: \"http://127.0.0.1:8088\"}}\n"+entities, 1))
	g.commit("a bridge and entities")
	g.start()
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	raised, err := os.ReadFile(g.clone + "/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	g.write("shop.yaml", strings.Replace(string(raised), entities, "", 1))
	return g, o, g.commit("no entities any more")
}

// TestEntitiesOfModernKeepSpecEntities: a change that removes it is not taken up
// while modern owns any, or nobody knows, and is as soon as it owns none; what is
// applied is rolled back meanwhile.
func TestEntitiesOfModernKeepSpecEntities(t *testing.T) {
	g, o, head := withoutEntities(t)
	g.await("refused", func(s reconciler.Status) bool {
		return s.Head == head && s.State == reconciler.StateInvalid && strings.Contains(s.Decision.Message, "removes spec.entities while modern owns some") &&
			s.Effective.String() == "gradual@10"
	})
	o.set(false, errors.New("the bridge is silent"))
	g.await("unknown", func(s reconciler.Status) bool {
		return s.State == reconciler.StateInvalid && strings.Contains(s.Decision.Message, "cannot be told: the bridge is silent")
	})
	o.set(false, nil)
	g.await("taken up", func(s reconciler.Status) bool { return s.State == reconciler.StateSteady && s.Applied == head })
}

// TestAPlanWhoseEntitiesAreKeptIsRolledBack as ever.
func TestAPlanWhoseEntitiesAreKeptIsRolledBack(t *testing.T) {
	g, _, _ := withoutEntities(t)
	g.await("refused", func(s reconciler.Status) bool { return s.State == reconciler.StateInvalid })
	g.sampler.Set("errors", 0.2)
	g.await("rolled back", func(s reconciler.Status) bool { return s.Effective.String() == "setup" })
}

// TestNothingIsTakenFromModernWhileItOwnsEntities: after the way back modern's
// workload stays until it owns nothing any more, and while nobody can tell.
func TestNothingIsTakenFromModernWhileItOwnsEntities(t *testing.T) {
	g := newClusterRig(t, strings.Replace(clusterPlan, "  gateway: {nginx: {}}\n",
		"  gateway: {nginx: {bridge: \"http://127.0.0.1:8088\"}}\n  entities: {match: {path: \"/deployments/{id}\"}}\n", 1))
	o := &owning{Traffic: g.traffic, owns: true}
	wire := g.wrap
	g.wrap = func(r *reconciler.Options) { wire(r); r.BridgedNGINX = o }
	g.to("gradual@10")
	g.declare("setup")
	waits := func(words string) func(reconciler.Status) bool {
		return func(s reconciler.Status) bool {
			return s.Effective.String() == "setup" && strings.Contains(s.Waiting, words)
		}
	}
	g.until("it is kept", waits("while modern owns entities"))
	o.set(false, errors.New("no answer"))
	g.until("it is kept while nobody knows", waits("cannot be told whether modern owns entities: no answer"))
	g.step(3)
	if n := g.c.replicas("modern"); n != 2 {
		t.Errorf("modern has %d replicas left while it may own entities", n)
	}
	o.set(false, nil)
	g.settled("setup")
	if n := g.c.replicas("modern"); n > 0 {
		t.Errorf("modern has %d replicas at the end", n)
	}
}
