package gatewaytest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// judged is what the fixture thinks of a generation of a route, and serves.
type judged struct {
	generation int64
	verdicts   map[parentRef]verdict
	entries    map[string][]entry // by NAMESPACE/NAME of the Gateway
}

// sighting is when a generation was first seen.
type sighting struct {
	generation int64
	at         time.Time
}

// again is how long the fixture waits after an error, as a conflict.
const again = 50 * time.Millisecond

// informers hold what the API server has.
type informers map[schema.GroupVersionResource]cache.SharedIndexInformer

func (g *Gateway) watch(ctx context.Context) (informers, error) {
	factory := dynamicinformer.NewDynamicSharedInformerFactory(g.client, 0)
	all := informers{}
	for _, gvr := range []schema.GroupVersionResource{gatewayClasses, gateways, httpRoutes, referenceGrants, services, namespaces} {
		i := factory.ForResource(gvr).Informer()
		// An API server that is killed is what some tests are about.
		err := i.SetWatchErrorHandler(func(*cache.Reflector, error) {})
		if err == nil {
			_, err = i.AddEventHandler(cache.ResourceEventHandlerFuncs{
				AddFunc: func(any) { g.poke() }, UpdateFunc: func(any, any) { g.poke() }, DeleteFunc: func(any) { g.poke() },
			})
		}
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", gvr.Resource, err)
		}
		all[gvr] = i
	}
	factory.Start(ctx.Done())
	for gvr, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return nil, fmt.Errorf("watch %s: %w", gvr.Resource, ctx.Err())
		}
	}
	return all, nil
}

// run is the controller's goroutine.
func (g *Gateway) run(ctx context.Context) {
	all, err := g.watch(ctx)
	if err != nil {
		g.tell(err)
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		case <-timer.C:
		}
		g.mu.Lock()
		paused := g.paused
		g.mu.Unlock()
		if paused {
			continue // Resume wakes it
		}
		due, err := g.reconcile(ctx, all)
		if err != nil && ctx.Err() == nil {
			g.tell(err)
			due = again
		}
		if due > 0 {
			timer.Reset(due)
		}
	}
}

// tell remembers trouble; a conflict is none.
func (g *Gateway) tell(err error) {
	if apierrors.IsConflict(err) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trouble = err
}

// read makes a typed copy of everything of a kind, in the order of its names.
func read[T any](all informers, gvr schema.GroupVersionResource, each func(*unstructured.Unstructured, *T, error)) {
	list := all[gvr].GetStore().List()
	objects := make([]*unstructured.Unstructured, 0, len(list))
	for _, o := range list {
		objects = append(objects, o.(*unstructured.Unstructured))
	}
	slices.SortFunc(objects, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	for _, o := range objects {
		into := new(T)
		each(o, into, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, into, true))
	}
}

// raw are the objects as the API server has them, for writing their status.
type raw struct {
	class            *unstructured.Unstructured // nil where there is none
	gateways, routes map[types.UID]*unstructured.Unstructured
}

// look reads the world. Unknown fields matter in routes alone.
func (g *Gateway) look(all informers) (*world, raw) {
	w := &world{
		gateways: map[string]*gatewayObject{}, foreign: map[string]bool{}, services: map[string]*service{},
		namespaces: map[string]*namespace{}, features: map[string]bool{}, unknown: map[string]error{},
	}
	r := raw{gateways: map[types.UID]*unstructured.Unstructured{}, routes: map[types.UID]*unstructured.Unstructured{}}
	read(all, gatewayClasses, func(u *unstructured.Unstructured, c *gatewayClass, _ error) {
		if u.GetName() == g.o.ClassName && c.Spec.ControllerName == g.o.ControllerName {
			w.class, r.class = c, u
		}
	})
	read(all, gateways, func(u *unstructured.Unstructured, o *gatewayObject, _ error) {
		switch {
		case o.Metadata.DeletionTimestamp != nil:
		case o.Spec.GatewayClassName != g.o.ClassName:
			w.foreign[o.key()] = true
		case w.class != nil:
			w.gateways[o.key()], r.gateways[u.GetUID()] = o, u
		}
	})
	read(all, httpRoutes, func(u *unstructured.Unstructured, o *httpRoute, unknown error) {
		if o.Metadata.DeletionTimestamp == nil {
			w.unknown[o.key()] = unknown
			w.routes, r.routes[u.GetUID()] = append(w.routes, o), u
		}
	})
	read(all, services, func(u *unstructured.Unstructured, s *service, _ error) { w.services[s.key()] = s })
	read(all, referenceGrants, func(_ *unstructured.Unstructured, o *referenceGrant, _ error) { w.grants = append(w.grants, o) })
	read(all, namespaces, func(u *unstructured.Unstructured, n *namespace, _ error) { w.namespaces[u.GetName()] = n })
	for _, f := range g.o.Features {
		w.features[f] = true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	w.reject, w.backends = g.reject, maps.Clone(g.backends)
	return w, r
}

// reconcile serves what the API server has, and then says so. It returns when
// it is to look again without being woken; 0 for never.
func (g *Gateway) reconcile(ctx context.Context, all informers) (due time.Duration, err error) {
	w, r := g.look(all)
	now := time.Now()
	var ready []*httpRoute
	for _, route := range w.routes {
		if wait := g.notYet(route, now); wait > 0 {
			due = min(cmp.Or(due, wait), wait)
			continue
		}
		g.judged[route.Metadata.UID] = w.verdictsOn(route)
		ready = append(ready, route)
	}
	maps.DeleteFunc(g.judged, func(uid types.UID, _ *judged) bool { return r.routes[uid] == nil })
	maps.DeleteFunc(g.seen, func(uid types.UID, _ sighting) bool { return r.routes[uid] == nil })
	if err := g.program(w); err != nil {
		return due, err
	}
	return due, g.report(ctx, w, r, ready, now)
}

// notYet is how long a route has to wait for SetAcceptDelay.
func (g *Gateway) notYet(r *httpRoute, now time.Time) time.Duration {
	uid, generation := r.Metadata.UID, r.Metadata.Generation
	if j := g.judged[uid]; j != nil && j.generation == generation {
		return 0
	}
	if g.seen[uid].generation != generation {
		g.seen[uid] = sighting{generation, now}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen[uid].at.Add(g.delay).Sub(now)
}

// verdictsOn judges a route for every parent of this fixture.
func (w *world) verdictsOn(r *httpRoute) *judged {
	j := &judged{generation: r.Metadata.Generation, verdicts: map[parentRef]verdict{}, entries: map[string][]entry{}}
	hosts := map[string][]string{}
	for _, ref := range r.Spec.ParentRefs {
		gateway := gatewayOf(r, ref)
		if w.gateways[gateway] == nil {
			continue
		}
		v := w.judge(r, ref)
		j.verdicts[ref] = v
		hosts[gateway] = append(hosts[gateway], v.hosts...)
	}
	for gateway, names := range hosts {
		slices.Sort(names)
		j.entries[gateway] = w.compile(r, slices.Compact(names))
	}
	return j
}

// program makes the servers serve what was judged.
func (g *Gateway) program(w *world) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, s := range g.servers {
		if w.gateways[key] == nil {
			s.table.Store(&[]entry{})
			_ = s.http.Close() // nobody is promised an answer of a Gateway that is gone
			delete(g.servers, key)
		}
	}
	for key := range w.gateways {
		s := g.servers[key]
		if s == nil {
			var err error
			if s, err = g.plane.listen(); err != nil {
				return err
			}
			g.servers[key] = s
		}
		var table []entry
		for _, j := range g.judged {
			table = append(table, j.entries[key]...)
		}
		order(table)
		g.plane.counts.expect(table)
		s.table.Store(&table)
	}
	return nil
}

// report writes the statuses. One that fails does not keep the others.
func (g *Gateway) report(ctx context.Context, w *world, r raw, ready []*httpRoute, now time.Time) error {
	var errs []error
	if w.class != nil {
		after := g.classStatus(w.class, now)
		err := g.write(ctx, gatewayClasses, r.class, &w.class.Status, &after)
		errs = append(errs, err)
		g.mu.Lock()
		g.ready = g.ready || err == nil
		g.mu.Unlock()
	}
	for uid, u := range r.gateways {
		o := w.gateways[u.GetNamespace()+"/"+u.GetName()]
		attached := map[string]int64{}
		for _, route := range w.routes {
			for ref, v := range g.verdicts(route) {
				if gatewayOf(route, ref) == o.key() {
					for _, l := range v.listeners {
						attached[l]++
					}
				}
			}
		}
		g.mu.Lock()
		url := g.servers[o.key()].url
		g.mu.Unlock()
		after := g.gatewayStatus(o, url, attached, now)
		errs = append(errs, g.write(ctx, gateways, r.gateways[uid], &o.Status, &after))
	}
	for _, route := range ready {
		after := route.Status
		after.Parents = g.parents(w, route, g.judged[route.Metadata.UID], now)
		errs = append(errs, g.write(ctx, httpRoutes, r.routes[route.Metadata.UID], &route.Status, &after))
	}
	return errors.Join(errs...)
}

func (g *Gateway) verdicts(r *httpRoute) map[parentRef]verdict {
	if j := g.judged[r.Metadata.UID]; j != nil {
		return j.verdicts
	}
	return nil
}
