package reconciler_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/test/counts"
	"github.com/changeover-dev/changeover/test/fakes"
)

// lawWorld is a plan in a world whose parts fail at random. It checks at each
// effect that the loop may begin it.
type lawWorld struct {
	*clusterRig
	records *fakes.Recorder

	mu      sync.Mutex
	moving  *decide.Move // as last saved
	broken  []string
	faults  map[string]bool // by method
	render  bool            // builds give nothing
	unbuilt time.Time       // when a build last gave nothing
	unmoved time.Time       // when the gateway last failed
}

func newLawWorld(t *testing.T) *lawWorld {
	w := &lawWorld{clusterRig: newMemoryRig(t, clusterPlan), records: &fakes.Recorder{}, faults: map[string]bool{}}
	w.wrap = func(o *reconciler.Options) {
		w.wire(o)
		o.Recorder, o.Cluster, o.NGINX = lawRecorder{w.records, w}, lawCluster{w.c, w}, lawTraffic{o.NGINX, w}
	}
	w.clusterRig.render(func(v plan.Version, stop plan.Position) ([]render.Object, error) {
		if w.render {
			w.mu.Lock()
			w.unbuilt = w.now()
			w.mu.Unlock()
			return nil, errors.New("no such base")
		}
		return manifests(v, stop), nil
	})
	w.c.failWith(func(_ context.Context, method string) error { return w.fault(method) })
	w.ready()
	return w
}

func (w *lawWorld) fault(method string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.faults[method] {
		return errors.New(method + " does not work")
	}
	return nil
}

func (w *lawWorld) breaks(law string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, fmt.Sprintf(law, args...))
}

type lawRecorder struct {
	*fakes.Recorder
	w *lawWorld
}

func (r lawRecorder) Save(ctx context.Context, key plan.Key, rec decide.Record) error {
	r.w.mu.Lock()
	r.w.moving = rec.Move
	r.w.mu.Unlock()
	return r.Recorder.Save(ctx, key, rec)
}

type lawCluster struct {
	*fakeCluster
	w *lawWorld
}

func (c lawCluster) check(method string, d reconciler.Desired) {
	v, err := c.w.branch.Version(context.Background(), d.Mark.Key, d.Mark.Revision)
	if err != nil || fmt.Sprint(manifests(v, d.Mark.Stop)) != fmt.Sprint(d.Objects) {
		c.w.breaks("%s with other objects than those of %s at %s", method, d.Mark.Stop, d.Mark.Revision)
	}
}

func (c lawCluster) Expand(ctx context.Context, d reconciler.Desired) error {
	c.check("Expand", d)
	return c.fakeCluster.Expand(ctx, d)
}

func (c lawCluster) Contract(ctx context.Context, d reconciler.Desired) error {
	c.check("Contract", d)
	if m := c.w.traffic.Served(d.Mark.Key); m == nil || m.Stop != d.Mark.Stop {
		c.w.breaks("contracted for %s while %s was served", d.Mark.Stop, c.w.served())
	}
	return c.fakeCluster.Contract(ctx, d)
}

type lawTraffic struct {
	reconciler.Traffic
	w *lawWorld
}

func (t lawTraffic) Apply(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	if err := t.w.fault("Apply"); err != nil {
		t.w.mu.Lock()
		t.w.unmoved = t.w.now()
		t.w.mu.Unlock()
		return err
	}
	t.w.arrives(m)
	return t.Traffic.Apply(ctx, p, m)
}

// arrives checks that what the traffic is about to rely on is there: forward
// all of it, backward what the stop that it leaves did without, unless that was
// waited for long enough, or could not be built.
func (w *lawWorld) arrives(m reconciler.Mark) {
	from := w.traffic.Served(m.Key)
	if from == nil {
		return
	}
	now, _ := w.branch.Version(context.Background(), m.Key, from.Revision)
	next, _ := w.branch.Version(context.Background(), m.Key, m.Revision)
	want := manifests(next, m.Stop)
	if from.Stop == m.Stop && now.Live == next.Live {
		return
	}
	w.mu.Lock()
	move, unbuilt, unmoved := *w.moving, w.unbuilt, w.unmoved
	w.mu.Unlock()
	if move.Verb == decide.Rollback || move.Verb == decide.Retreat {
		want = render.Lacking(manifests(now, from.Stop), want)
		if !unbuilt.Before(move.Started) || w.now().Sub(move.Started) > 2*time.Minute {
			return
		}
	}
	for _, o := range want {
		live, why := w.c.Live(o.ID()), w.c.why(o.ID().Name)
		if !unmoved.Before(move.Started) {
			why = "" // it was ready when it was asked for
		}
		if live == nil || replicasOf(live) < replicasOf(o) || why != "" && replicasOf(o) > 0 {
			w.breaks("the traffic went from %s to %s without %s: %v %s", from.Stop, m.Stop, o.ID(), live["spec"], why)
		}
	}
}

// happen lets one thing happen.
func (w *lawWorld) happen(rt *rapid.T) {
	it := []string{"setup", "gradual@10", "gradual@50", "sunset"}
	toggle := func(on *bool) { *on = !*on }
	switch rapid.SampledFrom([]string{"declare", "declare", "breach", "sick", "fault", "fault", "render", "push", "content", "halfway", "lease", "restart", "mend"}).Draw(rt, "event") {
	case "declare":
		pos, _ := plan.ParsePosition(rapid.SampledFrom(it).Draw(rt, "stop"))
		w.branch.declare(pos)
	case "breach":
		w.sampler.Set(rapid.SampledFrom([]string{"errors", "late"}).Draw(rt, "signal"), 0.9)
	case "sick":
		w.c.sicken(rapid.SampledFrom([]string{"legacy", "modern"}).Draw(rt, "workload"), "0 replicas are ready")
	case "fault":
		method := rapid.SampledFrom([]string{"Expand", "Healthy", "Contract", "Observe", "SetMark", "Apply"}).Draw(rt, "method")
		w.mu.Lock()
		w.faults[method] = !w.faults[method]
		w.mu.Unlock()
	case "render":
		toggle(&w.render)
	case "push":
		w.branch.unreachable(errors.New("connection refused"))
	case "content":
		w.content(rt)
	case "halfway":
		w.c.set(func() { w.c.halfway = errors.New("the API server went away") })
	case "lease":
		w.lose(w.fence.Load() == nil)
	case "restart":
		w.ready()
	case "mend":
		w.mend()
	}
}

// content changes what a phase wants in the cluster.
func (w *lawWorld) content(rt *rapid.T) {
	head := w.branch.head()
	was := rapid.SampledFrom([]string{"legacy3.modern2", "legacy0.modern4", "legacy0.modern2", "legacy3.modern4"}).Draw(rt, "was")
	now := rapid.SampledFrom([]string{"legacy3.modern2", "legacy0.modern4", "legacy0.modern2", "legacy3.modern4"}).Draw(rt, "now")
	if next := strings.Replace(head, was, now, 1); next != head {
		w.branch.commit(next, "")
	}
}

func (w *lawWorld) mend() {
	w.sampler.Set("errors", 0)
	w.sampler.Set("late", 0)
	w.c.heal("legacy")
	w.c.heal("modern")
	w.c.set(func() { w.c.halfway = nil })
	w.mu.Lock()
	clear(w.faults)
	w.mu.Unlock()
	w.render = false
	w.branch.unreachable(nil)
	w.lose(false)
}

func TestInARollbackTheTrafficComesFirst(t *testing.T) {
	counts.Rapid(t, 100, 25)
	rapid.Check(t, func(rt *rapid.T) {
		w := newLawWorld(t)
		defer func() { w.stop() }()
		begins := func(effect string) {
			if w.fence.Load() != nil {
				w.breaks("%s was begun without the lease", effect)
			}
		}
		w.effect.Store(&begins)
		for range rapid.IntRange(5, 20).Draw(rt, "events") {
			w.happen(rt)
			w.r.Poll(t.Context())
			w.work(rapid.IntRange(1, 2).Draw(rt, "steps"), rapid.SampledFrom([]time.Duration{0, 30 * time.Second, 3 * time.Minute}).Draw(rt, "apart"))
			if len(w.broken) > 0 {
				rt.Fatalf("%s", strings.Join(w.broken, "\n"))
			}
		}
		w.mend()
		w.work(20, time.Minute)
		st := w.step(1)
		if len(w.broken) > 0 {
			rt.Fatalf("%s", strings.Join(w.broken, "\n"))
		}
		// A raise that did not know of a rollback of content is a person's to mend.
		owing := st.Pending != nil && (st.Halt == nil || st.Halt.Reason != decide.RevertMismatch)
		if st.Move != nil || owing || w.served() != st.Effective.String() || w.position() != st.Effective.String() || st.Observed.Cluster.Ill() {
			rt.Fatalf("at the end the plan is %s at %s (declared %s), served is %s, the cluster is at %s: %+v; move %+v, pending %+v, error %q", st.State,
				st.Effective, st.Declared, w.served(), w.position(), st.Observed.Cluster, st.Move, st.Pending, st.Error)
		}
		seen := map[plan.Revision]bool{}
		for _, rev := range w.branch.reverts() {
			if seen[rev] {
				rt.Fatalf("%s was reverted twice", rev)
			}
			seen[rev] = true
		}
	})
}
