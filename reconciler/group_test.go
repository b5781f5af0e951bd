package reconciler_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// tracks are five plans of which each depends on the one before.
var tracks = []string{"llm", "resource", "manifest", "gitops", "verification"}

func track(i int) string {
	depends := ""
	if i > 0 {
		depends = fmt.Sprintf("\n  dependsOn: [{plan: %s, phase: gradual}]", tracks[i-1])
	}
	return strings.NewReplacer(
		"{name: shop}", "{name: "+tracks[i]+"}",
		"\n  position:", depends+"\n  position:",
		"query: errors", "query: "+tracks[i],
	).Replace(shopPlan)
}

func trackKey(name string) plan.Key { return plan.Key{Namespace: "default", Name: name} }

// journey is a rig over the five tracks, whose gateway notes which plan went
// where.
type journey struct {
	*rig
	mu    sync.Mutex
	moves []string // PLAN STOP, as the gateway was told
	fail  string   // the plan whose traffic cannot move
}

func newJourney(t *testing.T) *journey {
	j := &journey{rig: newRig(t)}
	j.git("rm", "-q", "shop.yaml")
	for i, name := range tracks {
		j.write(name+".yaml", track(i))
		j.sampler.Set(name, 0)
	}
	j.commit("five tracks")
	j.wrap = func(o *reconciler.Options) { o.NGINX = noting{o.NGINX, j} }
	return j
}

type noting struct {
	reconciler.Traffic
	j *journey
}

func (n noting) Apply(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	n.j.mu.Lock()
	fails := n.j.fail == m.Key.Name
	n.j.mu.Unlock()
	if fails {
		<-ctx.Done() // as a gateway that never answers
		return ctx.Err()
	}
	if err := n.Traffic.Apply(ctx, p, m); err != nil {
		return err
	}
	n.j.mu.Lock()
	defer n.j.mu.Unlock()
	if s := m.Key.Name + " " + m.Stop.String(); !slices.Contains(n.j.moves, s) {
		n.j.moves = append(n.j.moves, s)
	}
	return nil
}

// since returns the moves from here on.
func (j *journey) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.moves = nil
}

func (j *journey) moved() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.moves)
}

// declare raises or lowers some tracks in one commit.
func (j *journey) declare(stop string, names ...string) plan.Revision {
	j.t.Helper()
	j.git("pull", "-q", "--rebase", "origin", "main")
	pos, err := plan.ParsePosition(stop)
	if err != nil {
		j.t.Fatal(err)
	}
	for _, name := range names {
		b, err := plan.SetPosition([]byte(j.git("show", "HEAD:"+name+".yaml")+"\n"), pos)
		if err != nil {
			j.t.Fatal(err)
		}
		j.write(name+".yaml", string(b))
	}
	return j.commit(strings.Join(names, ", ") + ": " + stop)
}

// awaitAll waits until every track is as wanted.
func (j *journey) awaitAll(what string, ok func(name string, s reconciler.Status) bool) {
	j.t.Helper()
	var not []string
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		not = nil
		for _, name := range tracks {
			if s, _ := j.r.Status(trackKey(name)); !ok(name, s) {
				not = append(not, fmt.Sprintf("%s: %s at %s (declared %s), %s %s: %s; %s", name, s.State, s.Effective, s.Declared,
					s.Decision.Verb, s.Decision.Reason, s.Decision.Message, s.Error))
			}
		}
		if not == nil {
			return
		}
	}
	j.t.Fatalf("%s was not seen:\n%s", what, strings.Join(not, "\n"))
}

func (j *journey) awaitAt(stops map[string]string) {
	j.t.Helper()
	j.awaitAll(fmt.Sprint(stops), func(name string, s reconciler.Status) bool {
		return s.State == reconciler.StateSteady && s.Effective.String() == stops[name] && s.Declared == s.Effective
	})
}

// all are the tracks at one stop, but for those given.
func all(stop string, but map[string]string) map[string]string {
	out := map[string]string{}
	for _, name := range tracks {
		out[name] = stop
		if s, ok := but[name]; ok {
			out[name] = s
		}
	}
	return out
}

func TestDependentsGoBackFirstWhenOneIsRolledBack(t *testing.T) {
	j := newJourney(t)
	j.start()
	j.declare("gradual@25", tracks...)
	j.awaitAt(all("gradual@25", nil))
	j.forget()
	before := len(j.subjects())
	hook := "#!/bin/sh\nwhile read old new ref; do echo $ref >> pushed; done\n"
	if err := os.WriteFile(filepath.Join(j.remote, "hooks", "post-receive"), []byte(hook), 0o700); err != nil {
		t.Fatal(err)
	}
	j.sampler.Set("resource", 0.5)
	back := all("setup", map[string]string{"llm": "gradual@25"})
	j.awaitAll("the later four are back", func(name string, s reconciler.Status) bool {
		return s.Effective.String() == back[name] && s.Declared == s.Effective
	})
	want := []string{"verification setup", "gitops setup", "manifest setup", "resource setup"}
	if diff := cmp.Diff(want, j.moved()); diff != "" {
		t.Errorf("the order in which the traffic moved (-want +got):\n%s", diff)
	}
	if n := len(j.subjects()) - before; n != 4 {
		t.Errorf("%d commits, want one for each of the four: %v", n, j.subjects())
	}
	if b, err := os.ReadFile(filepath.Join(j.remote, "pushed")); err != nil || string(b) != "refs/heads/main\n" {
		t.Errorf("pushes to %q, %v; want one, to main", b, err)
	}
	j.run(j.remote, "git", "fsck", "--strict")
	for _, name := range tracks[2:] {
		if s, _ := j.r.Status(trackKey(name)); len(s.Holds) != 1 {
			t.Errorf("%s has holds %+v, want one", name, s.Holds)
		}
	}
}

func TestDependentsGoBackFirstWhenAPersonLowersOne(t *testing.T) {
	j := newJourney(t)
	j.start()
	j.declare("gradual@10", tracks...)
	j.awaitAt(all("gradual@10", nil))
	j.forget()
	j.declare("setup", "resource")
	j.awaitAt(all("setup", map[string]string{"llm": "gradual@10"}))
	want := []string{"verification setup", "gitops setup", "manifest setup", "resource setup"}
	if diff := cmp.Diff(want, j.moved()); diff != "" {
		t.Errorf("the order in which the traffic moved (-want +got):\n%s", diff)
	}
}

func TestAFailureOfOneDependentHoldsUpNoOther(t *testing.T) {
	j := newJourney(t)
	j.start()
	j.declare("gradual@10", tracks...)
	j.awaitAt(all("gradual@10", nil))
	j.forget()
	j.mu.Lock()
	j.fail = "gitops"
	j.mu.Unlock()
	j.sampler.Set("resource", 0.5)
	begun := time.Now()
	j.awaitAll("the others are back", func(name string, s reconciler.Status) bool {
		return name == "gitops" || name == "llm" || s.Effective.String() == "setup"
	})
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("the others took %s, as one of them hung", took)
	}
	j.mu.Lock()
	j.fail = ""
	j.mu.Unlock()
	j.awaitAll("it is back too", func(name string, s reconciler.Status) bool { return name == "llm" || s.Effective.String() == "setup" })
}

func TestPlansMoveForwardInTheOrderOfTheirDependencies(t *testing.T) {
	j := newJourney(t)
	j.start()
	j.awaitAt(all("setup", nil))
	j.forget()
	j.declare("gradual@10", tracks[1:]...)
	j.awaitAll("waiting for llm", func(name string, s reconciler.Status) bool {
		return name == "llm" || s.Decision.Reason == decide.DependencyUnmet && s.Effective.String() == "setup"
	})
	j.declare("gradual@10", "llm")
	j.awaitAt(all("gradual@10", nil))
	want := []string{"llm gradual@10", "resource gradual@10", "manifest gradual@10", "gitops gradual@10", "verification gradual@10"}
	forward := slices.DeleteFunc(j.moved(), func(m string) bool { return strings.HasSuffix(m, " setup") }) // marks
	if diff := cmp.Diff(want, forward); diff != "" {
		t.Errorf("the order in which the traffic moved (-want +got):\n%s", diff)
	}
}

func TestOnlyOneOfTwoPlansThatConflictGoesForward(t *testing.T) {
	g := newRig(t)
	g.write("shop.yaml", strings.Replace(shopPlan, "\n  position:", "\n  conflictsWith: [till]\n  position:", 1))
	g.write("till.yaml", strings.Replace(shopPlan, "{name: shop}", "{name: till}", 1))
	g.commit("two that conflict")
	g.start()
	g.awaitSteady("setup")
	for _, name := range []string{"shop", "till"} {
		b, err := plan.SetPosition([]byte(g.git("show", "HEAD:"+name+".yaml")+"\n"), plan.Position{Phase: "gradual", Percent: 10})
		if err != nil {
			t.Fatal(err)
		}
		g.write(name+".yaml", string(b))
	}
	g.commit("both at once")
	g.awaitSteady("gradual@10")
	st, _ := g.r.Status(trackKey("till"))
	if st.Decision.Reason != decide.Conflict || st.Effective.String() != "setup" {
		t.Errorf("the other is at %s: %s %s", st.Effective, st.Decision.Reason, st.Decision.Message)
	}
	g.raise("setup")
	g.awaitSteady("setup")
	for deadline := time.Now().Add(30 * time.Second); st.Effective.String() != "gradual@10"; time.Sleep(10 * time.Millisecond) {
		if st, _ = g.r.Status(trackKey("till")); time.Now().After(deadline) {
			t.Fatalf("the other did not follow: %s %s", st.Decision.Reason, st.Decision.Message)
		}
	}
}

func TestADependencyOnItselfByWayOfAnotherIsInvalid(t *testing.T) {
	g := newRig(t)
	g.write("shop.yaml", strings.Replace(shopPlan, "\n  position:", "\n  dependsOn: [{plan: till, phase: gradual}]\n  position:", 1))
	g.write("till.yaml", strings.NewReplacer("{name: shop}", "{name: till}",
		"\n  position:", "\n  dependsOn: [{plan: shop, phase: gradual}]\n  position:").Replace(shopPlan))
	g.commit("a cycle")
	g.start()
	st := g.await("the cycle", func(s reconciler.Status) bool { return len(s.Problems) > 0 })
	if st.Problems[0].Code != "dependency-cycle" || !plan.HasErrors(st.Problems) {
		t.Errorf("problems are %v", st.Problems)
	}
}
