package fakes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
)

// Cluster is a reconciler.Cluster in memory. What is applied is live at once and
// ready, but for Deployments whose pods select a node, and what Hold names. Its
// zero value is empty. It is safe for use by several goroutines.
type Cluster struct {
	mu          sync.Mutex
	live        map[render.ID]render.Object
	inventories map[plan.Key]*fakeInventory
	unready     map[render.ID]string
	lacks       []string
	log         []string
	fail        func(method string) error
	wake        func(plan.Key)
}

type fakeInventory struct {
	ids  map[render.ID]bool
	mark *reconciler.Mark
}

var _ reconciler.Cluster = (*Cluster)(nil)

// FailWith makes every later call ask f first, with the method's name; an error
// is returned in place of the call. A nil f ends that.
func (c *Cluster) FailWith(f func(method string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = f
}

// Hold keeps an object from being ready, for a reason; an empty one lets it be.
func (c *Cluster) Hold(id render.ID, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.init()
	c.unready[id] = why
	if why == "" {
		delete(c.unready, id)
	}
}

// Lack has Unmet answer this to every plan.
func (c *Cluster) Lack(what ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lacks = what
}

// WakeWith has a function told of plans whose objects Edit, Remove or Lose
// changed.
func (c *Cluster) WakeWith(f func(plan.Key)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake = f
}

// Log lists what was done, oldest first: "expand STOP", "lower NAME", "delete
// NAME" and "mark STOP". What changed nothing is not in it.
func (c *Cluster) Log() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.log)
}

// Live is a copy of a live object; nil where it is not there.
func (c *Cluster) Live(id render.ID) render.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	return copied(c.live[id])
}

// Edit changes a live object behind the back of the plan, or makes it.
func (c *Cluster) Edit(id render.ID, change func(render.Object)) {
	c.behind(id, func() {
		o := copied(c.live[id])
		if o == nil {
			o = render.Object{"metadata": map[string]any{}}
		}
		change(o)
		c.live[id] = o
	})
}

// Remove deletes a live object behind the back of the plan.
func (c *Cluster) Remove(id render.ID) { c.behind(id, func() { delete(c.live, id) }) }

// Lose forgets the inventory of a plan, and with it the mark.
func (c *Cluster) Lose(key plan.Key) {
	c.mu.Lock()
	delete(c.inventories, key)
	wake := c.wake
	c.mu.Unlock()
	if wake != nil {
		wake(key)
	}
}

func (c *Cluster) behind(id render.ID, do func()) {
	c.mu.Lock()
	c.init()
	key, owned := ownerOf(c.live[id])
	do()
	wake := c.wake
	c.mu.Unlock()
	if wake != nil && owned {
		wake(key)
	}
}

func (c *Cluster) init() {
	if c.live == nil {
		c.live, c.inventories, c.unready = map[render.ID]render.Object{}, map[plan.Key]*fakeInventory{}, map[render.ID]string{}
	}
}

// enter locks, and asks whether the method shall fail.
func (c *Cluster) enter(ctx context.Context, method string) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.init()
	if c.fail != nil {
		if err := c.fail(method); err != nil {
			c.mu.Unlock()
			return nil, err
		}
	}
	return c.mu.Unlock, nil
}

func (c *Cluster) inventory(key plan.Key) *fakeInventory {
	inv := c.inventories[key]
	if inv == nil {
		inv = &fakeInventory{ids: map[render.ID]bool{}}
		c.inventories[key] = inv
	}
	return inv
}

// Expand implements reconciler.Cluster.
func (c *Cluster) Expand(ctx context.Context, d reconciler.Desired) error {
	leave, err := c.enter(ctx, "Expand")
	if err != nil {
		return err
	}
	defer leave()
	objects, err := prepared(d)
	if err != nil {
		return err
	}
	inv, changed := c.inventory(d.Mark.Key), false
	var errs []error
	for _, o := range objects {
		if !c.served(o, objects) {
			continue
		}
		inv.ids[o.ID()] = true
	}
	for _, o := range objects {
		did, err := c.apply(d.Mark.Key, o, objects, true)
		changed = changed || did
		errs = append(errs, err)
	}
	if changed {
		c.log = append(c.log, "expand "+d.Mark.Stop.String())
	}
	return errors.Join(errs...)
}

// apply applies one object; raise keeps replicas from falling.
func (c *Cluster) apply(key plan.Key, o render.Object, all []render.Object, raise bool) (changed bool, err error) {
	id := o.ID()
	if !c.served(o, all) {
		return false, fmt.Errorf("%s: the API server does not serve the kind", title(id))
	}
	old := c.live[id]
	if owner, ok := ownerOf(old); ok && owner != key {
		return false, fmt.Errorf("%s: it belongs to plan %s and is not touched", title(id), owner)
	}
	o = copied(o)
	if raise && replicasIn(old) > replicasIn(o) {
		setReplicas(o, replicasIn(old))
	}
	if old != nil && keepsAll(map[string]any(o), map[string]any(old)) && keepsAll(map[string]any(old), map[string]any(o)) {
		return false, nil
	}
	c.live[id] = o
	return true, nil
}

// Healthy implements reconciler.Cluster.
func (c *Cluster) Healthy(ctx context.Context, d reconciler.Desired) (bool, string, error) {
	leave, err := c.enter(ctx, "Healthy")
	if err != nil {
		return false, "", err
	}
	defer leave()
	objects, err := prepared(d)
	if err != nil {
		return false, "", err
	}
	why := c.notReady(objects)
	return why == "", why, nil
}

func (c *Cluster) notReady(objects []render.Object) string {
	var parts []string
	for _, o := range objects {
		id := o.ID()
		why := c.unready[id]
		switch {
		case c.live[id] == nil:
			why = "it is not there"
		case why == "" && stuck(c.live[id]):
			why = fmt.Sprintf("0 of %d replicas are ready", replicasIn(o))
		}
		if why != "" {
			parts = append(parts, title(id)+": "+why)
		}
	}
	return strings.Join(parts, "; ")
}

// Contract implements reconciler.Cluster.
func (c *Cluster) Contract(ctx context.Context, d reconciler.Desired) error {
	leave, err := c.enter(ctx, "Contract")
	if err != nil {
		return err
	}
	defer leave()
	objects, err := prepared(d)
	if err != nil {
		return err
	}
	if why := c.notReady(objects); why != "" {
		return fmt.Errorf("nothing is lowered or deleted before everything is ready: %s", why)
	}
	for _, o := range objects {
		lowers := replicasIn(c.live[o.ID()]) > replicasIn(o)
		if _, err := c.apply(d.Mark.Key, o, objects, false); err != nil {
			return err
		}
		if lowers {
			c.log = append(c.log, "lower "+o.ID().Name)
		}
	}
	return c.prune(d, objects)
}

func (c *Cluster) prune(d reconciler.Desired, objects []render.Object) error {
	inv := c.inventory(d.Mark.Key)
	doomed, _ := c.leftovers(d.Mark.Key, objects)
	if d.Prune && len(doomed) > d.MaxPrune {
		return fmt.Errorf("nothing is deleted: %d objects are not wanted any more, and this stop may delete %d; if that is meant, raise maxPrune", len(doomed), d.MaxPrune)
	}
	for _, id := range doomed {
		if d.Prune {
			delete(c.live, id)
			c.log = append(c.log, "delete "+id.Name)
		}
	}
	maps.DeleteFunc(inv.ids, func(id render.ID, _ bool) bool { owner, ok := ownerOf(c.live[id]); return !ok || owner != d.Mark.Key })
	return nil
}

// Observe implements reconciler.Cluster.
func (c *Cluster) Observe(ctx context.Context, d reconciler.Desired) (reconciler.ClusterState, error) {
	leave, err := c.enter(ctx, "Observe")
	if err != nil {
		return reconciler.ClusterState{}, err
	}
	defer leave()
	objects, err := prepared(d)
	if err != nil {
		return reconciler.ClusterState{}, err
	}
	inv := c.inventory(d.Mark.Key)
	var parts []string
	for _, o := range objects {
		switch live := c.live[o.ID()]; {
		case live == nil:
			parts = append(parts, title(o.ID())+": it is not there")
		case !keepsAll(map[string]any(o), map[string]any(live)):
			parts = append(parts, title(o.ID())+": it is not as it was applied")
		case !inv.ids[o.ID()]:
			parts = append(parts, title(o.ID())+": the inventory does not list it")
		}
	}
	doomed, kept := c.leftovers(d.Mark.Key, objects)
	for _, id := range doomed {
		if d.Prune {
			parts = append(parts, title(id)+": it is not wanted any more")
		} else {
			kept = append(kept, id)
		}
	}
	unready := c.notReady(objects)
	st := reconciler.ClusterState{InSync: len(parts) == 0, Healthy: unready == "", Mark: copyMark(inv.mark)}
	if unready != "" {
		parts = append(parts, unready)
	}
	for _, id := range kept {
		parts = append(parts, title(id)+" is not wanted any more, and stays")
	}
	st.Message = strings.Join(parts, "; ")
	return st, nil
}

// Mark implements reconciler.Cluster.
func (c *Cluster) Mark(ctx context.Context, key plan.Key) (*reconciler.Mark, error) {
	leave, err := c.enter(ctx, "Mark")
	if err != nil {
		return nil, err
	}
	defer leave()
	return copyMark(c.inventory(key).mark), nil
}

// SetMark implements reconciler.Cluster.
func (c *Cluster) SetMark(ctx context.Context, d reconciler.Desired) error {
	leave, err := c.enter(ctx, "SetMark")
	if err != nil {
		return err
	}
	defer leave()
	inv := c.inventory(d.Mark.Key)
	if len(inv.ids) == 0 {
		return errors.New("mark the inventory: it is not there")
	}
	inv.mark = copyMark(&d.Mark)
	c.log = append(c.log, "mark "+d.Mark.Stop.String())
	return nil
}

// Read implements reconciler.Cluster.
func (c *Cluster) Read(ctx context.Context, p *plan.Plan, names []string) map[string]gates.Object {
	out := make(map[string]gates.Object, len(names))
	leave, err := c.enter(ctx, "Read")
	if err == nil {
		defer leave()
	}
	for _, n := range names {
		ref, ok := p.Spec.Objects[n]
		switch {
		case err != nil:
			out[n] = gates.Object{Err: err}
		case !ok:
			out[n] = gates.Object{Err: fmt.Errorf("read object %q: the plan does not name it", n)}
		default:
			o := render.Object{"apiVersion": ref.APIVersion, "kind": ref.Kind, "metadata": map[string]any{"name": ref.Name, "namespace": ref.Namespace}}
			place(o, p.Metadata.Namespace)
			out[n] = gates.Object{Value: copied(c.live[o.ID()])}
		}
	}
	return out
}

// Unmet implements reconciler.Cluster.
func (c *Cluster) Unmet(ctx context.Context, _ *plan.Plan) ([]string, error) {
	leave, err := c.enter(ctx, "Unmet")
	if err != nil {
		return nil, err
	}
	defer leave()
	return slices.Clone(c.lacks), nil
}
