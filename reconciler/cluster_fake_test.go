package reconciler_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
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

// fakeCluster is an API server in memory. An object is ready as soon as it is
// there, but those that a test names.
type fakeCluster struct {
	j      *journal
	begins func(effect string) // called before each effect; may be nil

	mu      sync.Mutex
	live    map[render.ID]render.Object
	applied map[plan.Key]map[render.ID]bool // the inventory
	marks   map[plan.Key]reconciler.Mark
	unready map[string]string // by name: why
	objects map[string]gates.Object
	unmet   []string
	calls   map[string]int
	reads   [][]string
	// fail, when set, is asked before each method; halfway, when set, ends a
	// Contract after the replicas were lowered.
	fail    func(ctx context.Context, method string) error
	halfway error
}

var _ reconciler.Cluster = (*fakeCluster)(nil)

func newFakeCluster(j *journal) *fakeCluster {
	return &fakeCluster{
		j: j, live: map[render.ID]render.Object{}, applied: map[plan.Key]map[render.ID]bool{}, marks: map[plan.Key]reconciler.Mark{},
		unready: map[string]string{}, calls: map[string]int{},
	}
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

func (c *fakeCluster) sicken(name, why string) { c.set(func() { c.unready[name] = why }) }

func (c *fakeCluster) ready(name string) { c.set(func() { delete(c.unready, name) }) }

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
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.live[workload(name)]
	if !ok {
		return -1
	}
	return replicasOf(o)
}

// has reports whether an object without replicas is live.
func (c *fakeCluster) has(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.live[config(name)]
	return ok
}

// enter counts a call, and asks whether it shall fail.
func (c *fakeCluster) enter(ctx context.Context, method string) (leave func(), err error) {
	c.mu.Lock()
	c.calls[method]++
	fail := c.fail
	c.mu.Unlock()
	if slices.Contains(effects, method) && c.begins != nil {
		c.begins(method)
	}
	if fail != nil {
		if err := fail(ctx, method); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	return c.mu.Unlock, nil
}

// Expand implements reconciler.Cluster.
func (c *fakeCluster) Expand(ctx context.Context, d reconciler.Desired) error {
	leave, err := c.enter(ctx, "Expand")
	if err != nil {
		return err
	}
	defer leave()
	changed := false
	if c.applied[d.Mark.Key] == nil {
		c.applied[d.Mark.Key] = map[render.ID]bool{}
	}
	for _, o := range d.Objects {
		id := o.ID()
		c.applied[d.Mark.Key][id] = true
		old, ok := c.live[id]
		if ok && (replicasOf(old) > replicasOf(o) || fmt.Sprint(old) == fmt.Sprint(o)) {
			continue
		}
		c.live[id], changed = o, true
	}
	if changed {
		c.j.add("expand %s", d.Mark.Stop)
	}
	return nil
}

// Healthy implements reconciler.Cluster.
func (c *fakeCluster) Healthy(ctx context.Context, d reconciler.Desired) (bool, string, error) {
	leave, err := c.enter(ctx, "Healthy")
	if err != nil {
		return false, "", err
	}
	defer leave()
	why := c.ill(d)
	return why == "", why, nil
}

// ill says what is not ready of what is desired.
func (c *fakeCluster) ill(d reconciler.Desired) string {
	for _, o := range d.Objects {
		if _, ok := c.live[o.ID()]; !ok {
			return fmt.Sprintf("%s is not there", o.ID())
		}
		if why := c.unready[o.ID().Name]; why != "" && (o.Kind() != "Deployment" || replicasOf(o) > 0) {
			return fmt.Sprintf("%s: %s", o.ID(), why)
		}
	}
	return ""
}

// Contract implements reconciler.Cluster.
func (c *fakeCluster) Contract(ctx context.Context, d reconciler.Desired) error {
	leave, err := c.enter(ctx, "Contract")
	if err != nil {
		return err
	}
	defer leave()
	if why := c.ill(d); why != "" {
		return fmt.Errorf("nothing is lowered or deleted before everything is ready: %s", why)
	}
	changed := false
	for _, o := range d.Objects {
		changed = changed || fmt.Sprint(c.live[o.ID()]) != fmt.Sprint(o)
		c.live[o.ID()] = o
	}
	if c.halfway != nil {
		c.j.add("contract %s halfway", d.Mark.Stop)
		return c.halfway
	}
	doomed := c.leftovers(d)
	if d.Prune && len(doomed) > d.MaxPrune {
		return fmt.Errorf("nothing is deleted: %d objects are not wanted any more, and this stop may delete %d", len(doomed), d.MaxPrune)
	}
	if changed || d.Prune && len(doomed) > 0 {
		c.j.add("contract %s", d.Mark.Stop)
	}
	if d.Prune {
		for _, id := range doomed {
			delete(c.live, id)
			delete(c.applied[d.Mark.Key], id)
		}
	}
	return nil
}

func (c *fakeCluster) leftovers(d reconciler.Desired) []render.ID {
	var out []render.ID
	for id := range c.applied[d.Mark.Key] {
		if !slices.ContainsFunc(d.Objects, func(o render.Object) bool { return o.ID() == id }) {
			out = append(out, id)
		}
	}
	return out
}

// Observe implements reconciler.Cluster.
func (c *fakeCluster) Observe(ctx context.Context, d reconciler.Desired) (reconciler.ClusterState, error) {
	leave, err := c.enter(ctx, "Observe")
	if err != nil {
		return reconciler.ClusterState{}, err
	}
	defer leave()
	st := reconciler.ClusterState{InSync: true, Message: c.ill(d)}
	st.Healthy = st.Message == ""
	if m, ok := c.marks[d.Mark.Key]; ok {
		st.Mark = &m
	}
	for _, o := range d.Objects {
		if live, ok := c.live[o.ID()]; !ok || fmt.Sprint(live) != fmt.Sprint(o) {
			st.InSync, st.Message = false, fmt.Sprintf("%s differs", o.ID())
		}
	}
	if left := c.leftovers(d); d.Prune && len(left) > 0 {
		st.InSync, st.Message = false, fmt.Sprintf("%d objects are left", len(left))
	}
	return st, nil
}

// Mark implements reconciler.Cluster.
func (c *fakeCluster) Mark(ctx context.Context, key plan.Key) (*reconciler.Mark, error) {
	leave, err := c.enter(ctx, "Mark")
	if err != nil {
		return nil, err
	}
	defer leave()
	m, ok := c.marks[key]
	if !ok {
		return nil, nil
	}
	return &m, nil
}

// SetMark implements reconciler.Cluster. Nothing else writes the mark.
func (c *fakeCluster) SetMark(ctx context.Context, d reconciler.Desired) error {
	leave, err := c.enter(ctx, "SetMark")
	if err != nil {
		return err
	}
	defer leave()
	m := d.Mark
	m.Holds = slices.Clone(m.Holds)
	c.marks[m.Key] = m
	return nil
}

// Read implements reconciler.Cluster.
func (c *fakeCluster) Read(ctx context.Context, _ *plan.Plan, names []string) map[string]gates.Object {
	out := map[string]gates.Object{}
	leave, err := c.enter(ctx, "Read")
	if err != nil {
		for _, n := range names {
			out[n] = gates.Object{Err: err}
		}
		return out
	}
	defer leave()
	c.reads = append(c.reads, slices.Sorted(slices.Values(names)))
	for _, n := range names {
		out[n] = gates.Object{Value: maps.Clone(c.objects[n].Value), Err: c.objects[n].Err}
	}
	return out
}

// Unmet implements reconciler.Cluster.
func (c *fakeCluster) Unmet(ctx context.Context, _ *plan.Plan) ([]string, error) {
	leave, err := c.enter(ctx, "Unmet")
	if err != nil {
		return nil, err
	}
	defer leave()
	return slices.Clone(c.unmet), nil
}
