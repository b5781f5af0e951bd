package reconciler_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/render"
)

const objectsPlan = `  objects:
    here: {apiVersion: v1, kind: ConfigMap, name: here}
    there: {apiVersion: v1, kind: ConfigMap, name: there}
    never: {apiVersion: v1, kind: ConfigMap, name: never}
  phases:
    - name: setup
      gates:
        advance: [{name: go, expr: 'object.here.data.go == "yes"'}]
`

func TestGatesReadTheObjectsThatTheyNameAndNoOthers(t *testing.T) {
	t.Parallel()
	src := strings.Replace(clusterPlan, "  phases:\n    - name: setup\n", objectsPlan, 1)
	src = strings.Replace(src, "        rollback:\n", "        enter: [{name: there, expr: 'object.there.data.open == \"yes\"'}]\n        rollback:\n", 1)
	g := newClusterRig(t, src)
	g.to("setup")
	read := func(want ...[]string) {
		t.Helper()
		g.c.set(func() { g.c.reads = nil })
		g.step(1)
		g.c.set(func() {
			if !reflect.DeepEqual(g.c.reads, want) {
				t.Errorf("read was %q, want %q", g.c.reads, want)
			}
		})
	}
	read([]string{"here"})
	g.declare("gradual@10")
	g.step(1)
	read([]string{"here"}, []string{"there"})
	holds := func(want decide.Reason, words string) {
		t.Helper()
		if st := g.step(2); st.Decision.Reason != want || !strings.Contains(st.Decision.Message, words) || st.Move != nil {
			t.Errorf("the decision is %s: %s; want %s with %q", st.Decision.Reason, st.Decision.Message, want, words)
		}
	}
	holds(decide.GateNoData, "here")
	g.c.failWith(func(_ context.Context, method string) error {
		if method == "Read" {
			return errors.New("configmaps is forbidden")
		}
		return nil
	})
	holds(decide.GateError, "configmaps is forbidden")
	g.c.up()
	give := func(name string, data map[string]any) {
		id := render.ID{Kind: "ConfigMap", Namespace: "default", Name: name}
		g.c.Edit(id, func(o render.Object) { o["data"] = data })
	}
	give("here", map[string]any{})
	holds(decide.GateError, "go")
	give("here", map[string]any{"go": "no"})
	give("there", map[string]any{"open": "yes"})
	holds(decide.GateFailed, "go")
	give("here", map[string]any{"go": "yes"})
	g.settled("gradual@10")
	read()
}

// TestAChangeOfALiveObjectIsSeenAtOnce does not wait for the next comparison,
// which is an hour away.
func TestAChangeOfALiveObjectIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterPlan)
	g.wrap = func(o *reconciler.Options) {
		g.wire(o)
		o.Interval, o.DriftInterval = time.Hour, time.Hour
	}
	g.start()
	g.awaitSteady("setup")
	g.await("a quiet cluster", func(reconciler.Status) bool { return g.c.replicas("old") == -1 && g.c.has("old") })
	g.c.Remove(config("old"))
	time.Sleep(100 * time.Millisecond)
	if g.c.has("old") {
		t.Fatal("the drift was found before anyone told")
	}
	g.r.Wake(shop)
	g.await("the drift to be corrected", func(reconciler.Status) bool { return g.c.has("old") })
	g.r.Wake(plan.Key{Namespace: "default", Name: "unknown"})
}

// TestAMoveThatWaitsDoesNotSpin: the cluster is asked now and then.
func TestAMoveThatWaitsDoesNotSpin(t *testing.T) {
	t.Parallel()
	g := newClusterRig(t, clusterPlan)
	g.wrap = func(o *reconciler.Options) {
		g.wire(o)
		o.Interval, o.DriftInterval = time.Hour, time.Hour
	}
	g.c.sicken("modern", "0 of 2 replicas are ready")
	g.raise("gradual@10")
	g.start()
	g.await("the wait", func(s reconciler.Status) bool { return s.Waiting != "" })
	before := g.c.count("Healthy")
	time.Sleep(500 * time.Millisecond)
	if n := g.c.count("Healthy") - before; n > 4 {
		t.Errorf("health was asked %d times in half a second", n)
	}
	// Somebody who sees a change says so, and otherwise it is asked again.
	g.c.heal("modern")
	g.awaitSteady("gradual@10")
}

// writes counts what is written.
type writes struct {
	reconciler.Recorder
	n *atomic.Int64
}

func (w writes) Save(ctx context.Context, key plan.Key, rec decide.Record) error {
	w.n.Add(1)
	return w.Recorder.Save(ctx, key, rec)
}

func (w writes) SaveStatus(ctx context.Context, s reconciler.Status) error {
	w.n.Add(1)
	return w.Recorder.SaveStatus(ctx, s)
}

func (w writes) Append(ctx context.Context, key plan.Key, e reconciler.Entry) error {
	w.n.Add(1)
	return w.Recorder.Append(ctx, key, e)
}

func TestFiftyPlansThatDoNotChangeWriteNothing(t *testing.T) {
	g := newClusterRig(t, clusterPlan)
	var written atomic.Int64
	g.wrap = func(o *reconciler.Options) {
		g.wire(o)
		o.Interval, o.DriftInterval = 100*time.Millisecond, 200*time.Millisecond
		o.Recorder = writes{o.Recorder, &written}
	}
	begins := func(string) { written.Add(1) }
	g.effect.Store(&begins)
	only := strings.ReplaceAll(clusterOnly, "signal.errors > 0.03", "!health.cluster")
	for i := range 49 {
		src := clusterPlan
		if i%2 == 0 {
			src = only
		}
		g.write(fmt.Sprintf("shop%d.yaml", i), strings.Replace(src, "name: shop", fmt.Sprintf("name: shop%d", i), 1))
	}
	g.raise("gradual@10")
	g.start()
	g.await("all to be steady", func(reconciler.Status) bool {
		all := g.r.Statuses()
		for _, s := range all {
			if s.State != reconciler.StateSteady {
				return false
			}
		}
		return len(all) == 50
	})
	time.Sleep(300 * time.Millisecond)
	before, observed := written.Load(), g.c.count("Observe")
	time.Sleep(time.Second)
	if n := written.Load() - before; n != 0 {
		t.Errorf("%d writes while nothing changed", n)
	}
	if n := g.c.count("Observe") - observed; n < 100 || n > 300 {
		t.Errorf("the cluster was read %d times in a second, want about 250", n)
	}
}
