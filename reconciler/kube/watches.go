package kube

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
)

const (
	// managed selects what Changeover applied.
	managed = render.ManagedLabel + "=true"
	// gather is for how long events of a plan are gathered into one wake.
	gather = 200 * time.Millisecond
	// tidy is how often plans that nobody asked for are looked for.
	tidy = time.Minute
)

// watchKey names a watch: the account that asks, empty for the daemon's own;
// the resource; and the namespace, empty for kinds without one.
type watchKey struct {
	account   string
	resource  schema.GroupVersionResource
	namespace string
}

// watchOn is what a watch needs beside its key. Of the id only group and kind
// count.
type watchOn struct {
	c  *client.Client
	id render.ID
}

// watches are the watches of all plans: one for an account, resource and
// namespace, as long as a plan uses it.
type watches struct {
	log   *slog.Logger
	now   func() time.Time
	waker *waker
	// wrote reports whether this process knows a version already.
	wrote func(key plan.Key, id render.ID, version string) bool

	mu    sync.Mutex
	ctx   context.Context // of Run; nil before
	group sync.WaitGroup
	all   map[watchKey]*watch
	plans map[plan.Key]map[watchKey]watchOn
}

func newWatches(o Options, wrote func(plan.Key, render.ID, string) bool) *watches {
	return &watches{
		log: o.Log, now: o.Now, waker: &waker{wake: o.Wake, due: map[plan.Key]*call{}}, wrote: wrote,
		all: map[watchKey]*watch{}, plans: map[plan.Key]map[watchKey]watchOn{},
	}
}

// run keeps the watches until ctx ends.
func (w *watches) run(ctx context.Context, idle func()) error {
	w.mu.Lock()
	w.ctx = ctx
	for _, on := range w.plans {
		w.start(on)
	}
	w.mu.Unlock()
	t := time.NewTicker(tidy)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			idle()
			continue
		case <-ctx.Done():
		}
		break
	}
	w.mu.Lock()
	w.ctx = nil
	clear(w.all)
	w.mu.Unlock()
	w.waker.stop()
	w.group.Wait()
	return ctx.Err()
}

// use replaces the watches that a plan uses. Those that no plan uses any more
// end.
func (w *watches) use(key plan.Key, on map[watchKey]watchOn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.plans[key]
	if len(on) == 0 {
		delete(w.plans, key)
	} else {
		w.plans[key] = on
	}
	w.start(on)
	for k := range before {
		if _, still := on[k]; still || w.used(k) {
			continue
		}
		if one := w.all[k]; one != nil {
			one.cancel()
			delete(w.all, k)
		}
	}
}

func (w *watches) used(k watchKey) bool {
	for _, on := range w.plans {
		if _, ok := on[k]; ok {
			return true
		}
	}
	return false
}

// start starts those that do not run. The caller holds mu.
func (w *watches) start(on map[watchKey]watchOn) {
	if w.ctx == nil {
		return
	}
	for k, o := range on {
		if w.all[k] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(w.ctx)
		one := &watch{key: k, on: o, parent: w, cancel: cancel, seen: map[name]entry{}}
		w.all[k] = one
		w.group.Go(func() { one.run(ctx) })
	}
}

// version is the resourceVersion of an object that has the label, as its watch
// saw it last; empty where it is not there. It is live only while the watch is
// connected.
func (w *watches) version(k watchKey, objectName string) (version string, live bool) {
	w.mu.Lock()
	one := w.all[k]
	w.mu.Unlock()
	if one == nil {
		return "", false
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.seen[name{k.namespace, objectName}].version, one.live
}

// trouble says which watches of a plan are refused.
func (w *watches) trouble(key plan.Key) string {
	w.mu.Lock()
	var list []*watch
	for k := range w.plans[key] {
		if one := w.all[k]; one != nil {
			list = append(list, one)
		}
	}
	w.mu.Unlock()
	var parts []string
	for _, one := range list {
		one.mu.Lock()
		if one.refused != "" {
			parts = append(parts, one.refused)
		}
		one.mu.Unlock()
	}
	slices.Sort(parts)
	return first(slices.Compact(parts))
}

// maxNews bounds the changes of one plan that are looked at one by one.
const maxNews = 64

// waker wakes plans, each at most once in the time of gather.
type waker struct {
	wake func(plan.Key)

	mu  sync.Mutex
	due map[plan.Key]*call
	off bool
}

// call is a wake to come.
type call struct {
	timer *time.Timer
	// news ask of each change for which it is whether it is news by then.
	news []func() bool
}

// soon wakes a plan if then there still is news. What this process wrote itself
// may be told by the watch before its own call has returned.
func (w *waker) soon(key plan.Key, news func() bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.off {
		return
	}
	if c := w.due[key]; c != nil {
		if c.news = append(c.news, news); len(c.news) > maxNews {
			c.news = []func() bool{func() bool { return true }}
		}
		return
	}
	c := &call{news: []func() bool{news}}
	w.due[key] = c
	c.timer = time.AfterFunc(gather, func() {
		w.mu.Lock()
		delete(w.due, key)
		off := w.off
		w.mu.Unlock()
		if !off && slices.ContainsFunc(c.news, func(news func() bool) bool { return news() }) {
			w.wake(key)
		}
	})
}

func (w *waker) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off = true
	for _, c := range w.due {
		c.timer.Stop()
	}
}

// parseKey reads the plan of an annotation.
func parseKey(s string) (plan.Key, bool) {
	namespace, planName, ok := strings.Cut(s, "/")
	return plan.Key{Namespace: namespace, Name: planName}, ok && namespace != "" && planName != ""
}
