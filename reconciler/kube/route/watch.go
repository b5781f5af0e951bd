package route

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
)

const (
	// idle is for how long a watch is kept that nobody asks.
	idle = 15 * time.Minute
	// connecting bounds a list, and the beginning of a watch.
	connecting = 30 * time.Second
	// again is when a watch that was refused is tried anew.
	again = time.Minute
)

// watches follow the metadata of Changeover's routes: one for each account and
// namespace.
type watches struct {
	log     *slog.Logger
	now     func() time.Time
	changed func(key plan.Key, version string)

	mu    sync.Mutex
	ctx   context.Context // of run; nil where it does not run
	all   map[watchKey]*watch
	group sync.WaitGroup
}

type watchKey struct{ account, namespace string }

type watch struct {
	routes  metadata.ResourceInterface
	parent  *watches
	where   watchKey
	cancel  context.CancelFunc
	used    time.Time // under the parent's mu
	mu      sync.Mutex
	current bool // connected: seen is as the API server has it
	seen    map[string]entry
}

// entry is what is kept of a route.
type entry struct {
	key     plan.Key
	version string
}

func newWatches(log *slog.Logger, now func() time.Time, changed func(plan.Key, string)) *watches {
	return &watches{log: log, now: now, changed: changed, all: map[watchKey]*watch{}}
}

// run keeps the watches until ctx ends.
func (w *watches) run(ctx context.Context) {
	w.mu.Lock()
	w.ctx = ctx
	w.mu.Unlock()
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-t.C:
			w.tidy()
		}
	}
	w.mu.Lock()
	w.ctx = nil
	clear(w.all)
	w.mu.Unlock()
	w.group.Wait()
}

// tidy ends the watches that nobody asks any more.
func (w *watches) tidy() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, one := range w.all {
		if w.now().Sub(one.used) > idle {
			one.cancel()
			delete(w.all, k)
		}
	}
}

// use has a namespace watched as an account.
func (w *watches) use(c *client.Client, namespace string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := watchKey{c.Account(), namespace}
	one := w.all[k]
	if one == nil && w.ctx != nil {
		ctx, cancel := context.WithCancel(w.ctx)
		one = &watch{routes: c.Metadata().Resource(routes).Namespace(namespace), parent: w, where: k, cancel: cancel, seen: map[string]entry{}}
		w.all[k] = one
		w.group.Go(func() { one.run(ctx) })
	}
	if one != nil {
		one.used = w.now()
	}
}

// version of a route as its watch saw it last; empty where that is not
// connected, or knows no such route.
func (w *watches) version(account, namespace, name string) string {
	w.mu.Lock()
	one := w.all[watchKey{account, namespace}]
	w.mu.Unlock()
	if one == nil {
		return ""
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	if !one.current {
		return ""
	}
	return one.seen[name].version
}

func (w *watch) run(ctx context.Context) {
	defer w.cancel()
	told := ""
	for failures := 0; ctx.Err() == nil; {
		err := w.follow(ctx)
		w.mu.Lock()
		if w.current {
			w.current, failures = false, 0
		}
		w.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		pause := min(time.Second<<failures, 30*time.Second)
		failures = min(failures+1, 5)
		if apierrors.IsForbidden(err) || notServed(err) {
			pause = again
			if words := client.Explain(err).Error(); words != told {
				told = words
				w.parent.log.Warn("HTTPRoutes are not watched, but read at every look", "namespace", w.where.namespace, "err", words)
			}
		}
		sleep(ctx, pause-rand.N(pause/4))
	}
}

// follow lists and then watches until the connection ends.
func (w *watch) follow(ctx context.Context) error {
	selector := metav1.ListOptions{LabelSelector: render.ManagedLabel + "=true"}
	lctx, cancel := context.WithTimeout(ctx, connecting)
	list, err := w.routes.List(lctx, selector)
	cancel()
	if err != nil {
		return err
	}
	w.replace(list.Items)
	timeout := int64(300 + rand.IntN(300))
	selector.ResourceVersion, selector.TimeoutSeconds, selector.AllowWatchBookmarks = list.ResourceVersion, &timeout, true
	ctx, cancel = context.WithCancel(ctx)
	defer cancel()
	begin := time.AfterFunc(connecting, cancel) // once it stands it may last
	events, err := w.routes.Watch(ctx, selector)
	if err != nil {
		return err
	}
	defer events.Stop()
	if !begin.Stop() {
		return context.DeadlineExceeded
	}
	w.mu.Lock()
	w.current = true
	w.mu.Unlock()
	for e := range events.ResultChan() {
		o, ok := e.Object.(*metav1.PartialObjectMetadata)
		if !ok {
			return nil // too old: it is listed again
		}
		w.event(e.Type, o)
	}
	return nil
}

func entryOf(o *metav1.PartialObjectMetadata) entry {
	namespace, name, _ := strings.Cut(o.Annotations[render.PlanAnnotation], "/")
	return entry{key: plan.Key{Namespace: namespace, Name: name}, version: o.ResourceVersion}
}

// replace takes in a list, and tells of what differs from before.
func (w *watch) replace(items []metav1.PartialObjectMetadata) {
	fresh := map[string]entry{}
	for i := range items {
		fresh[items[i].Name] = entryOf(&items[i])
	}
	w.mu.Lock()
	old := w.seen
	w.seen = fresh
	w.mu.Unlock()
	for name, e := range fresh {
		if old[name] != e {
			w.parent.changed(e.key, e.version)
		}
	}
	for name, e := range old {
		if _, ok := fresh[name]; !ok {
			w.parent.changed(e.key, "")
		}
	}
}

func (w *watch) event(kind apiwatch.EventType, o *metav1.PartialObjectMetadata) {
	e := entryOf(o)
	w.mu.Lock()
	was := w.seen[o.Name]
	switch kind {
	case apiwatch.Added, apiwatch.Modified:
		w.seen[o.Name] = e
	case apiwatch.Deleted:
		delete(w.seen, o.Name)
		e.version = ""
	case apiwatch.Bookmark, apiwatch.Error:
		w.mu.Unlock()
		return
	}
	w.mu.Unlock()
	if was != e {
		w.parent.changed(e.key, e.version)
	}
	if was.key != e.key && was.key != (plan.Key{}) {
		w.parent.changed(was.key, e.version)
	}
}
