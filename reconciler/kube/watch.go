package kube

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
)

const (
	// pageSize bounds the answers to lists.
	pageSize = 500
	// listing bounds how long one page of a list may take.
	listingTimeout = 30 * time.Second
	// refusedAgain is when a watch that was refused is tried again: somebody
	// may have granted the right.
	refusedAgain = time.Minute
)

type name struct{ namespace, name string }

// entry is all that is kept of an object that is watched.
type entry struct {
	version string
	plan    plan.Key
}

// watch follows the metadata of what Changeover applied of one resource in one
// namespace.
type watch struct {
	key    watchKey
	on     watchOn
	parent *watches
	cancel context.CancelFunc

	mu      sync.Mutex
	seen    map[name]entry
	live    bool   // connected: seen is as the API server has it
	refused string // why it is not, in words for operators; empty otherwise
}

func (w *watch) run(ctx context.Context) {
	defer w.cancel()
	failures := 0
	for ctx.Err() == nil {
		connected, err := w.follow(ctx)
		w.setLive(false)
		if connected {
			failures = 0
		}
		failures++
		wait := w.problem(ctx, err, failures)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// problem notes why the watch ended, and says when to try again.
func (w *watch) problem(ctx context.Context, err error, failures int) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	wait := min(time.Second<<min(failures-1, 5), 30*time.Second)
	wait -= rand.N(wait / 4)
	if !apierrors.IsForbidden(err) {
		return wait
	}
	where := ""
	if w.key.namespace != "" {
		where = " in namespace " + w.key.namespace
	}
	text := fmt.Sprintf("%s%s are not watched, but read at every look: %s", w.key.resource.Resource, where, client.Explain(err))
	w.mu.Lock()
	news := w.refused != text
	w.refused = text
	w.mu.Unlock()
	if news {
		w.parent.log.Warn("a watch is refused", "why", text)
	}
	return refusedAgain
}

func (w *watch) setLive(live bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live = live
	if live {
		w.refused = ""
	}
}

// errExpired: what was missed cannot be sent any more.
var errExpired = errors.New("the version is too old")

// follow lists and then watches until that fails. Connected: it was live for a
// while.
func (w *watch) follow(ctx context.Context) (connected bool, err error) {
	version, err := w.list(ctx)
	if err != nil {
		return false, err
	}
	for {
		next, err := w.watchFrom(ctx, version)
		w.setLive(false)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil { // errExpired as well: it begins anew
			return connected || errors.Is(err, errExpired), err
		}
		// The server ends watches after some minutes.
		connected, version = true, next
	}
}

// list reads all, and wakes the plans of what changed since it was last known.
func (w *watch) list(ctx context.Context) (version string, err error) {
	fresh := map[name]entry{}
	next := ""
	for {
		lctx, cancel := context.WithTimeout(ctx, listingTimeout)
		list, err := w.on.c.Metadata().Resource(w.key.resource).Namespace(w.key.namespace).List(lctx,
			metav1.ListOptions{LabelSelector: managed, Limit: pageSize, Continue: next})
		cancel()
		if err != nil {
			return "", err
		}
		for i := range list.Items {
			o := &list.Items[i]
			fresh[name{o.Namespace, o.Name}] = entryOf(o)
		}
		version = list.ResourceVersion
		if next = list.Continue; next == "" {
			break
		}
	}
	w.mu.Lock()
	old := w.seen
	w.seen = fresh
	w.mu.Unlock()
	for n, e := range fresh {
		if was, ok := old[n]; !ok || was != e {
			w.changed(n, was, e)
		}
	}
	for n, was := range old {
		if _, ok := fresh[n]; !ok {
			w.changed(n, was, entry{})
		}
	}
	return version, nil
}

func entryOf(o *metav1.PartialObjectMetadata) entry {
	key, _ := parseKey(o.Annotations[render.PlanAnnotation])
	return entry{version: o.ResourceVersion, plan: key}
}

// watchFrom follows the changes after a version until the connection ends, and
// returns the last version.
func (w *watch) watchFrom(ctx context.Context, version string) (string, error) {
	timeout := int64(300 + rand.IntN(300))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Establishing it is bounded; once it stands it may last.
	connecting := time.AfterFunc(listingTimeout, cancel)
	events, err := w.on.c.Metadata().Resource(w.key.resource).Namespace(w.key.namespace).Watch(ctx, metav1.ListOptions{
		LabelSelector: managed, ResourceVersion: version, AllowWatchBookmarks: true, TimeoutSeconds: &timeout,
	})
	if !connecting.Stop() || err != nil {
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			return "", errExpired
		}
		if err == nil {
			events.Stop()
			err = context.DeadlineExceeded
		}
		return "", err
	}
	defer events.Stop()
	w.setLive(true)
	for e := range events.ResultChan() {
		if e.Type == apiwatch.Error {
			return "", errExpired // whatever it is, what was missed is not known
		}
		o, ok := e.Object.(*metav1.PartialObjectMetadata)
		if !ok {
			return "", errExpired
		}
		version = o.ResourceVersion
		w.event(e.Type, o)
	}
	return version, nil
}

func (w *watch) event(kind apiwatch.EventType, o *metav1.PartialObjectMetadata) {
	n := name{o.Namespace, o.Name}
	var is entry
	w.mu.Lock()
	was := w.seen[n]
	switch kind {
	case apiwatch.Added, apiwatch.Modified:
		is = entryOf(o)
		w.seen[n] = is
	case apiwatch.Deleted:
		delete(w.seen, n)
	case apiwatch.Bookmark, apiwatch.Error:
		w.mu.Unlock()
		return
	}
	w.mu.Unlock()
	if was != is {
		w.changed(n, was, is)
	}
}

// changed wakes the plans of an object, before and after, but not for what this
// process did itself.
func (w *watch) changed(n name, was, is entry) {
	id := render.ID{Group: w.on.id.Group, Kind: w.on.id.Kind, Namespace: n.namespace, Name: n.name}
	for i, e := range []entry{was, is} {
		if e.plan == (plan.Key{}) || i == 1 && was.plan == is.plan {
			continue
		}
		w.parent.waker.soon(e.plan, func() bool { return is.version == "" || !w.parent.wrote(e.plan, id, is.version) })
	}
}
