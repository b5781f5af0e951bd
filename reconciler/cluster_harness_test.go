package reconciler_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/test/fakes"
)

const clusterPlan = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: setup}
  backends:
    legacy: {url: "http://127.0.0.1:8080"}
    modern: {url: "http://127.0.0.1:8000"}
  gateway: {nginx: {}}
  identity: {header: X-User}
  signals:
    errors: {query: errors}
    late: {query: late, maxAge: 10ms} # fresh evidence comes at once
  phases:
    - name: setup
      cluster: {path: k/legacy3.old}
      routes: [{to: legacy}]
    - name: gradual
      cluster: {path: k/legacy3.modern2}
      percents: [10, 50]
      routes: [{to: split}]
      gates:
        rollback:
          - {name: high, expr: "signal.errors > 0.03"}
          - {name: late, expr: "signal.late > 0.5"}
    - name: sunset
      cluster: {path: k/legacy0.modern4}
      routes: [{to: modern}]
      gates:
        rollback:
          - {name: high, expr: "signal.errors > 0.03"}
          - {name: late, expr: "signal.late > 0.5"}
`

// clusterOnly is the same plan without a gateway.
var clusterOnly = strings.NewReplacer(
	"  backends:\n    legacy: {url: \"http://127.0.0.1:8080\"}\n    modern: {url: \"http://127.0.0.1:8000\"}\n", "",
	"  gateway: {nginx: {}}\n", "", "  identity: {header: X-User}\n", "",
	"      routes: [{to: legacy}]\n", "", "      routes: [{to: split}]\n", "", "      routes: [{to: modern}]\n", "",
).Replace(clusterPlan)

// clusterRig is a rig with a cluster, whose loop is stepped by hand, and whose
// clock is the test's.
type clusterRig struct {
	*rig
	c       *fakeCluster
	j       *journal
	pages   *pages
	metrics *prometheus.Registry
	ahead   atomic.Int64          // of the clock
	fence   atomic.Pointer[error] // why nothing may be begun
	renders atomic.Pointer[func(plan.Version, plan.Position) ([]render.Object, error)]
	moving  func(reconciler.Mark)        // looks at the world when the traffic is about to move
	effect  atomic.Pointer[func(string)] // called before each effect of any port
}

func newClusterRig(t testing.TB, src string) *clusterRig {
	t.Helper()
	j := &journal{}
	g := &clusterRig{rig: newRig(t), c: newFakeCluster(j), j: j, pages: &pages{}}
	g.c.begins = g.begins
	g.write("shop.yaml", src)
	g.commit("with a cluster")
	g.wrap = g.wire
	return g
}

func (g *clusterRig) wire(o *reconciler.Options) {
	g.metrics = prometheus.NewRegistry()
	o.Cluster, o.Notifier, o.Now, o.Registerer, o.Fence = g.c, g.pages, g.now, g.metrics, g.fenced
	o.NGINX, o.Source = toldTraffic{g.traffic, g}, toldSource{o.Source, g}
	o.Manifests = func(_ context.Context, v plan.Version, stop plan.Position) ([]render.Object, error) {
		if f := g.renders.Load(); f != nil {
			return (*f)(v, stop)
		}
		return manifests(v, stop), nil
	}
}

func (g *clusterRig) now() time.Time { return time.Now().Add(time.Duration(g.ahead.Load())) }

func (g *clusterRig) pass(d time.Duration) {
	g.ahead.Add(int64(d))
	g.r.Poll(g.t.Context()) // or Git is stale
}

// begins is called before every effect.
func (g *clusterRig) begins(effect string) {
	if f := g.effect.Load(); f != nil {
		(*f)(effect)
	}
}

func (g *clusterRig) fenced() error {
	if err := g.fence.Load(); err != nil {
		return *err
	}
	return nil
}

// toldTraffic tells the journal when the traffic moves.
type toldTraffic struct {
	*fakes.Traffic
	g *clusterRig
}

func (t toldTraffic) Apply(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	t.g.begins("Apply")
	old := t.Served(m.Key)
	moves := old == nil || old.Stop != m.Stop
	if moves && t.g.moving != nil {
		t.g.moving(m)
	}
	err := t.Traffic.Apply(ctx, p, m)
	if err == nil && moves {
		t.g.j.add("traffic %s", m.Stop)
	}
	return err
}

// toldSource tells the journal when a revert is pushed.
type toldSource struct {
	reconciler.Source
	g *clusterRig
}

func (s toldSource) Push(ctx context.Context, us []reconciler.Undo) ([]reconciler.Pushed, error) {
	s.g.begins("Push")
	p, err := s.Source.Push(ctx, us)
	if err == nil {
		s.g.j.add("push")
	}
	return p, err
}

// ready makes the loop, to be stepped by hand; a second time is a restart.
func (g *clusterRig) ready() {
	g.t.Helper()
	if g.stop != nil {
		g.stop()
	}
	g.open()
	g.r.Prepare(g.t.Context())
}

// step works the plan some times, each until nothing is under way any more.
func (g *clusterRig) step(n int) reconciler.Status {
	g.t.Helper()
	for range n {
		g.r.Step(g.t.Context(), shop)
		g.r.WaitForPushes()
	}
	st, _ := g.r.Status(shop)
	return st
}

// until works the plan until its status is as wanted.
func (g *clusterRig) until(what string, ok func(reconciler.Status) bool) reconciler.Status {
	g.t.Helper()
	var st reconciler.Status
	for range 100 {
		if st = g.step(1); ok(st) {
			return st
		}
	}
	g.t.Fatalf("%s was not seen; the status is %s at %s (declared %s), %s %s: %s; waits for %q; error %q", what, st.State, st.Effective,
		st.Declared, st.Decision.Verb, st.Decision.Reason, st.Decision.Message, st.Waiting, st.Error)
	return st
}

// settled waits until everything is at a stop.
func (g *clusterRig) settled(stop string) reconciler.Status {
	g.t.Helper()
	return g.until("settled at "+stop, func(s reconciler.Status) bool {
		return (s.State == reconciler.StateSteady || s.State == reconciler.StateComplete) && s.Effective.String() == stop && s.Declared == s.Effective && s.Move == nil && s.Pending == nil
	})
}

// declare commits a position, and has it read.
func (g *clusterRig) declare(stop string) plan.Revision {
	g.t.Helper()
	rev := g.raise(stop)
	g.r.Poll(g.t.Context())
	return rev
}

// edit changes the plan's file at head by a commit, and has it read.
func (g *clusterRig) edit(subject, old, new string) plan.Revision {
	g.t.Helper()
	g.git("pull", "-q", "--rebase", "origin", "main")
	b, err := os.ReadFile(filepath.Join(g.clone, "shop.yaml"))
	if err != nil {
		g.t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		g.t.Fatalf("the plan's file has no %q", old)
	}
	g.write("shop.yaml", strings.Replace(string(b), old, new, 1))
	rev := g.commit(subject)
	g.r.Poll(g.t.Context())
	return rev
}

// to brings a new plan to a stop.
func (g *clusterRig) to(stop string) reconciler.Status {
	g.t.Helper()
	g.ready()
	g.settled("setup")
	g.declare(stop)
	st := g.settled(stop)
	g.j.take()
	return st
}

// did compares what was done since the last time.
func (g *clusterRig) did(want ...string) {
	g.t.Helper()
	if got := g.j.take(); !slices.Equal(got, want) {
		g.t.Errorf("done was %q, want %q", got, want)
	}
}

// counter is the sum of a counter over its labels.
func (g *clusterRig) counter(name string) float64 {
	g.t.Helper()
	families, err := g.metrics.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func (g *clusterRig) served() string {
	m := g.traffic.Served(shop)
	if m == nil {
		return "nothing"
	}
	return m.Stop.String()
}

// render puts another build in place of the usual one; nil ends that.
func (g *clusterRig) render(f func(plan.Version, plan.Position) ([]render.Object, error)) {
	if f == nil {
		g.renders.Store(nil)
		return
	}
	g.renders.Store(&f)
}

var errLost = errors.New("another daemon leads")

// lose takes the lease away, or gives it back.
func (g *clusterRig) lose(lost bool) {
	if !lost {
		g.fence.Store(nil)
		return
	}
	g.fence.Store(&errLost)
}
