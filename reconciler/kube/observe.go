package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/reconciler/kube/status"
	"github.com/changeover-dev/changeover/render"
)

// view is how one object stands.
type view struct {
	differs string // empty: it is as desired
	unready string // empty: it is ready
	live    map[string]any
}

// quiet reports whether an object is as desired and ready without reading it:
// it was when it was last read, and a watch says that it has not changed since.
func (p *pass) quiet(it *item) bool {
	k, ok := p.s.get(it.id)
	if !ok || it.mapping == nil || !k.settled || k.sent != it.digest || p.c.o.Now().Sub(k.at) >= reread {
		return false
	}
	version, live := p.c.watches.version(p.watchOf(it.mapping, it.id.Namespace), it.id.Name)
	return live && version == k.version
}

// look reads one object where it has to. The error says that it could not be
// read.
func (p *pass) look(ctx context.Context, it *item) (view, error) {
	switch {
	case it.err != nil:
		return view{differs: it.err.Error(), unready: it.err.Error()}, nil //nolint:nilerr // it is what was found
	case p.quiet(it):
		return view{}, nil
	}
	live, err := p.read(ctx, it)
	const gone = "it is not there"
	switch {
	case errors.Is(err, client.ErrNoKind):
		return view{differs: err.Error(), unready: err.Error()}, nil
	case err != nil:
		return view{}, err
	case live == nil && p.isFinished(it):
		p.s.set(it.id, known{sent: it.digest, settled: true})
		return view{}, nil
	case live == nil && fleeting(it) != "":
		const early = gone + ": it may have gone by its ttlSecondsAfterFinished before it was seen to be complete; give it some minutes"
		return view{differs: early, unready: early}, nil
	case live == nil:
		return view{differs: gone, unready: gone}, nil
	}
	v := view{live: live}
	if err := p.mayTouch(live); err != nil {
		v.differs = err.Error()
	} else if at := p.compare(it, it.object, it.digest, live); at != "" {
		v.differs = p.difference(it, at, live)
	}
	if ok, why := status.Of(live, it.replicas); !ok {
		v.unready = why
	}
	if v.differs == "" && v.unready == "" {
		p.s.settle(it.id)
	}
	return v, nil
}

func (p *pass) difference(it *item, at string, live map[string]any) string {
	if n := replicasOf(live); at == "spec.replicas" && n != status.Unsaid && it.replicas != status.Unsaid {
		return fmt.Sprintf("it has %d replicas, %d are wanted", n, it.replicas)
	}
	return at + " is not as it was applied"
}

// survey looks at all items of a list.
func (p *pass) survey(ctx context.Context, items []*item) ([]view, error) {
	views := make([]view, len(items))
	places := make([]int, len(items))
	for i := range places {
		places[i] = i
	}
	errs := each(ctx, p.c.o.Log, places, func(ctx context.Context, i int) error {
		var err error
		if views[i], err = p.look(ctx, items[i]); err != nil {
			return fmt.Errorf("%s: %w", title(items[i].id), err)
		}
		return nil
	})
	return views, joined(errs)
}

// Healthy implements reconciler.Cluster. It notes in the inventory the Jobs that
// it sees to be complete and that will go by themselves.
func (c *Cluster) Healthy(ctx context.Context, d reconciler.Desired) (bool, string, error) {
	p, err := c.begin(ctx, d)
	if err != nil {
		return false, "", err
	}
	return p.healthy(ctx)
}

func (p *pass) healthy(ctx context.Context) (bool, string, error) {
	var awaited []*item
	for _, it := range p.items {
		if it.err != nil || it.mapping == nil || status.Awaited(it.id.Group, it.id.Kind) {
			awaited = append(awaited, it)
		}
	}
	views, err := p.survey(ctx, awaited)
	if err != nil {
		return false, "", err
	}
	if err := p.noteFinished(ctx, awaited, views); err != nil {
		return false, "", err
	}
	why := p.unready(ctx, awaited, views)
	return why == "", why, nil
}

// unready says which objects are not ready, and why; empty where all are.
func (p *pass) unready(ctx context.Context, items []*item, views []view) string {
	var parts []string
	for i, v := range views {
		if v.unready == "" {
			continue
		}
		s := title(items[i].id) + ": " + v.unready
		if len(parts) < shown {
			if pod := p.podOf(ctx, v.live); pod != "" {
				s += " (" + pod + ")"
			}
		}
		parts = append(parts, s)
	}
	return first(parts)
}

// Observe implements reconciler.Cluster.
func (c *Cluster) Observe(ctx context.Context, d reconciler.Desired) (reconciler.ClusterState, error) {
	p, err := c.begin(ctx, d)
	if err != nil {
		return reconciler.ClusterState{}, err
	}
	defer p.end()
	views, err := p.survey(ctx, p.items)
	if err != nil {
		return reconciler.ClusterState{}, err
	}
	lefts, err := p.leftovers(ctx)
	if err != nil {
		return reconciler.ClusterState{}, err
	}
	inv, _, _ := p.s.inventory() // leftovers has read it
	unready := p.unready(ctx, p.items, views)
	differs := p.differences(views, inv, lefts)
	st := reconciler.ClusterState{InSync: len(differs) == 0, Healthy: unready == "", Mark: inv.mark}
	var parts []string
	for _, s := range []string{first(differs), unready, first(p.leftAlone(lefts)), c.watches.trouble(p.s.key)} {
		if s != "" && !strings.Contains(strings.Join(parts, "\n"), s) {
			parts = append(parts, s)
		}
	}
	st.Message = strings.Join(parts, "; ")
	return st, nil
}

// differences are what keeps the cluster from being as desired.
func (p *pass) differences(views []view, inv inventory, lefts []*leftover) []string {
	var parts []string
	unlisted := false
	for i, v := range views {
		if v.differs != "" {
			parts = append(parts, title(p.items[i].id)+": "+v.differs)
		} else if !inv.ids[p.items[i].id] {
			unlisted = true
		}
	}
	if unlisted {
		parts = append(parts, title(inventoryID(p.s.key))+": it does not list all that was applied")
	}
	for _, l := range lefts {
		if l.fate == fateDelete && p.d.Prune {
			parts = append(parts, title(l.id)+": it is not wanted any more")
		}
	}
	return parts
}

// leftAlone says what is there beside what is desired, and why it stays.
func (p *pass) leftAlone(lefts []*leftover) []string {
	var parts []string
	for _, l := range lefts {
		switch {
		case l.fate == fateKept, l.fate == fateDeleting:
			parts = append(parts, title(l.id)+" is not wanted any more: "+l.why)
		case l.fate == fateDelete && !p.d.Prune:
			parts = append(parts, title(l.id)+" is not wanted any more, and stays as prune is false")
		}
	}
	return parts
}

// shown is how many of many things a message names.
const shown = 3

// first are the first few of many, in words.
func first(parts []string) string {
	if len(parts) <= shown {
		return strings.Join(parts, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(parts[:shown], "; "), len(parts)-shown)
}

// watched are the watches that tell of all that is or was applied for the plan.
func (p *pass) watched() map[watchKey]watchOn {
	out := map[watchKey]watchOn{}
	id := inventoryID(p.s.key)
	out[watchKey{resource: configMaps, namespace: id.Namespace}] = watchOn{c: p.c.o.Client, id: render.ID{Kind: id.Kind}}
	add := func(m *meta.RESTMapping, id render.ID) {
		if m != nil {
			out[p.watchOf(m, id.Namespace)] = watchOn{c: p.acc, id: render.ID{Group: id.Group, Kind: id.Kind}}
		}
	}
	for _, it := range p.items {
		if it.err == nil {
			add(it.mapping, it.id)
		}
	}
	for id, m := range p.s.leftMappings() {
		add(m, id)
	}
	return out
}

// watchOf is the watch that tells of the objects of a resource.
func (p *pass) watchOf(m *meta.RESTMapping, namespace string) watchKey {
	if m.Scope.Name() != meta.RESTScopeNameNamespace {
		namespace = ""
	}
	return watchKey{account: p.acc.Account(), resource: m.Resource, namespace: namespace}
}
