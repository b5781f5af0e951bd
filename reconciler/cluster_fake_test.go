package reconciler_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/test/fakes"
)

// manifests stands for a kustomization: the last element of its path says what
// is in it, as `legacy3.modern2.extra`: workloads with their replicas, and
// what has none.
func manifests(v plan.Version, stop plan.Position) []render.Object {
	object := func(kind, name string) render.Object {
		// Each plan's objects are its own.
		return render.Object{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": v.Plan.Metadata.Name}}
	}
	position := object("ConfigMap", "position")
	position["data"] = map[string]any{"stop": stop.String()}
	out := []render.Object{position}
	for part := range strings.SplitSeq(path.Base(v.Plan.Phase(stop.Phase).Cluster.Path), ".") {
		name := strings.TrimRight(part, "0123456789")
		if n, err := strconv.ParseInt(part[len(name):], 10, 64); err == nil {
			o := object("Deployment", name)
			o["apiVersion"], o["spec"] = "apps/v1", map[string]any{"replicas": n}
			out = append(out, o)
			continue
		}
		out = append(out, object("ConfigMap", name))
	}
	return out
}

// workload and config name objects of the plan shop.
func workload(name string) render.ID {
	return render.ID{Group: "apps", Kind: "Deployment", Namespace: shop.Name, Name: name}
}

func config(name string) render.ID {
	return render.ID{Kind: "ConfigMap", Namespace: shop.Name, Name: name}
}

func replicasOf(o render.Object) int64 {
	spec, _ := o["spec"].(map[string]any)
	n, _ := spec["replicas"].(int64)
	return n
}

// journal is what was changed in the world, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

// take returns what was done since the last time, the same thing done again and
// again as one line.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := slices.Compact(j.lines)
	j.lines = nil
	return out
}

// fakeCluster is a cluster in memory that tells the journal what it changed,
// counts its calls, and fails when told.
type fakeCluster struct {
	*fakes.Cluster
	j      *journal
	begins func(effect string) // called before each effect; may be nil

	mu    sync.Mutex
	calls map[string]int
	reads [][]string
	sick  map[string]string // workloads that are not ready: why
	// fail, when set, is asked before each method; halfway, when set, ends a
	// Contract after the replicas were lowered.
	fail    func(ctx context.Context, method string) error
	halfway error
}

var _ reconciler.Cluster = (*fakeCluster)(nil)

func newFakeCluster(j *journal) *fakeCluster {
	return &fakeCluster{Cluster: &fakes.Cluster{}, j: j, calls: map[string]int{}, sick: map[string]string{}}
}

// set changes the fake while it is in use.
func (c *fakeCluster) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// down makes every call fail, as without an API server, until up.
func (c *fakeCluster) down() {
	c.failWith(func(_ context.Context, method string) error { return errors.New(method + ": connection refused") })
}

func (c *fakeCluster) up() { c.failWith(nil) }

func (c *fakeCluster) failWith(f func(context.Context, string) error) { c.set(func() { c.fail = f }) }

// failAt makes one method fail, as for a webhook.
func (c *fakeCluster) failAt(method string) {
	c.failWith(func(_ context.Context, m string) error {
		if m == method {
			return errors.New("the webhook does not answer")
		}
		return nil
	})
}

func (c *fakeCluster) sicken(name, why string) {
	c.set(func() { c.sick[name] = why })
	c.Hold(workload(name), why)
}

func (c *fakeCluster) heal(name string) {
	c.set(func() { delete(c.sick, name) })
	c.Hold(workload(name), "")
}

// why a workload is not ready; empty where it is.
func (c *fakeCluster) why(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sick[name]
}

// count is how often a method was called.
func (c *fakeCluster) count(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[method]
}

// effects are the methods that change anything.
var effects = []string{"Expand", "Contract", "SetMark"}

// effects is how often anything was changed, or tried to be.
func (c *fakeCluster) effects() int {
	return c.count("Expand") + c.count("Contract") + c.count("SetMark")
}

// replicas of a live workload; -1 where it is not there.
func (c *fakeCluster) replicas(name string) int64 {
	o := c.Live(workload(name))
	if o == nil {
		return -1
	}
	return replicasOf(o)
}

// has reports whether an object without replicas is live.
func (c *fakeCluster) has(name string) bool { return c.Live(config(name)) != nil }

// mark is that in the inventory.
func (c *fakeCluster) mark() reconciler.Mark {
	m, err := c.Cluster.Mark(context.Background(), shop)
	if err != nil || m == nil {
		return reconciler.Mark{}
	}
	return *m
}

// enter counts a call, and asks whether it shall fail.
func (c *fakeCluster) enter(ctx context.Context, method string) error {
	c.mu.Lock()
	c.calls[method]++
	fail := c.fail
	c.mu.Unlock()
	if slices.Contains(effects, method) && c.begins != nil {
		c.begins(method)
	}
	if fail != nil {
		return fail(ctx, method)
	}
	return nil
}

// told tells the journal of an effect where it changed something.
func (c *fakeCluster) told(line string, effect func() error) error {
	before := len(c.Log())
	err := effect()
	if len(c.Log()) > before {
		c.j.add("%s", line)
	}
	return err
}

func (c *fakeCluster) Expand(ctx context.Context, d reconciler.Desired) error {
	if err := c.enter(ctx, "Expand"); err != nil {
		return err
	}
	return c.told("expand "+d.Mark.Stop.String(), func() error { return c.Cluster.Expand(ctx, d) })
}

func (c *fakeCluster) Healthy(ctx context.Context, d reconciler.Desired) (bool, string, error) {
	if err := c.enter(ctx, "Healthy"); err != nil {
		return false, "", err
	}
	return c.Cluster.Healthy(ctx, d)
}

func (c *fakeCluster) Contract(ctx context.Context, d reconciler.Desired) error {
	if err := c.enter(ctx, "Contract"); err != nil {
		return err
	}
	c.mu.Lock()
	halfway := c.halfway
	c.mu.Unlock()
	if halfway != nil {
		d.Prune = false
	}
	err := c.told("contract "+d.Mark.Stop.String(), func() error { return c.Cluster.Contract(ctx, d) })
	return errors.Join(err, halfway)
}

func (c *fakeCluster) Observe(ctx context.Context, d reconciler.Desired) (reconciler.ClusterState, error) {
	if err := c.enter(ctx, "Observe"); err != nil {
		return reconciler.ClusterState{}, err
	}
	return c.Cluster.Observe(ctx, d)
}

func (c *fakeCluster) Mark(ctx context.Context, key plan.Key) (*reconciler.Mark, error) {
	if err := c.enter(ctx, "Mark"); err != nil {
		return nil, err
	}
	return c.Cluster.Mark(ctx, key)
}

func (c *fakeCluster) SetMark(ctx context.Context, d reconciler.Desired) error {
	if err := c.enter(ctx, "SetMark"); err != nil {
		return err
	}
	return c.Cluster.SetMark(ctx, d)
}

func (c *fakeCluster) Read(ctx context.Context, p *plan.Plan, names []string) map[string]gates.Object {
	out := map[string]gates.Object{}
	if err := c.enter(ctx, "Read"); err != nil {
		for _, n := range names {
			out[n] = gates.Object{Err: err}
		}
		return out
	}
	c.set(func() { c.reads = append(c.reads, slices.Sorted(slices.Values(names))) })
	return c.Cluster.Read(ctx, p, names)
}

func (c *fakeCluster) Unmet(ctx context.Context, p *plan.Plan) ([]string, error) {
	if err := c.enter(ctx, "Unmet"); err != nil {
		return nil, err
	}
	return c.Cluster.Unmet(ctx, p)
}
