package sidelabel

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

var intents = schema.GroupVersionResource{Group: "nephoran.com", Version: "v1", Resource: "networkintents"}

// controller is a small one that obeys the label: it works on an object whose spec
// has changed, which takes a while, and writes what came of it into the status. Under
// validation modern's writes its own field, and nothing else.
type controller struct {
	side     plan.Side
	kube     dynamic.Interface
	label    string
	selector string
	// wrong makes another result of an object; nil: never.
	wrong func(*unstructured.Unstructured) bool
	busy  sync.Map
}

func (c *controller) run(ctx context.Context) {
	for ctx.Err() == nil {
		l, err := c.kube.Resource(intents).List(ctx, metav1.ListOptions{LabelSelector: c.selector})
		if err != nil {
			continue
		}
		for i := range l.Items {
			c.offer(ctx, &l.Items[i])
		}
		w, err := c.kube.Resource(intents).Watch(ctx, metav1.ListOptions{LabelSelector: c.selector, ResourceVersion: l.GetResourceVersion()})
		if err != nil {
			continue
		}
		for e := range w.ResultChan() {
			if u, ok := e.Object.(*unstructured.Unstructured); ok && e.Type != apiwatch.Deleted {
				c.offer(ctx, u)
			}
		}
		w.Stop()
	}
}

func (c *controller) offer(ctx context.Context, u *unstructured.Unstructured) {
	if c.due(u) == nothing {
		return
	}
	key := u.GetNamespace() + "/" + u.GetName()
	if _, working := c.busy.LoadOrStore(key, true); working {
		return
	}
	go func() {
		defer c.busy.Delete(key)
		c.work(ctx, u.GetNamespace(), u.GetName())
	}()
}

// What a controller has to do with an object.
const (
	nothing = iota
	begin
	finish
	dry
)

func (c *controller) due(u *unstructured.Unstructured) int {
	side := plan.EntitySide(u.GetLabels()[c.label])
	want := result(u)
	done, _, _ := unstructured.NestedString(u.Object, "status", string(c.side))
	worker, _, _ := unstructured.NestedString(u.Object, "status", "worker")
	processing := phase(u) == "Processing"
	mine := side == plan.EntitySide(c.side) || side == plan.SideValidation && c.side == plan.Legacy
	switch {
	case mine && processing && worker == string(c.side):
		return finish
	case mine && !processing && done != want && (c.wrong == nil || !c.wrong(u) || done == ""):
		return begin
	case side == plan.SideValidation && c.side == plan.Modern && done != c.made(u):
		return dry
	}
	return nothing
}

func phase(u *unstructured.Unstructured) string {
	s, _, _ := unstructured.NestedString(u.Object, "status", "phase")
	return s
}

// result is what either makes of an object.
func result(u *unstructured.Unstructured) string {
	rev, _, _ := unstructured.NestedInt64(u.Object, "spec", "rev")
	return fmt.Sprint("r", rev)
}

func (c *controller) made(u *unstructured.Unstructured) string {
	if c.wrong != nil && c.wrong(u) {
		return "wrong"
	}
	return result(u)
}

// work reads, changes and writes with the version that was read, until nothing is due.
func (c *controller) work(ctx context.Context, namespace, name string) {
	r := c.kube.Resource(intents).Namespace(namespace)
	for ctx.Err() == nil {
		u, err := r.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return
		}
		status, _, _ := unstructured.NestedMap(u.Object, "status")
		if status == nil {
			status = map[string]any{}
		}
		switch c.due(u) {
		case nothing:
			return
		case begin:
			status["phase"], status["worker"] = "Processing", string(c.side)
		case finish:
			time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond) // the work itself
			status["phase"], status[string(c.side)] = "Done", c.made(u)
		case dry:
			status[string(c.side)] = c.made(u)
		}
		u.Object["status"] = status
		_, _ = r.UpdateStatus(ctx, u, metav1.UpdateOptions{}) // a conflict: it is read again
	}
}

// watcher is independent of all others: it sees every version of every object, and
// says what must never be.
type watcher struct {
	key  plan.Key
	mu   sync.Mutex
	last map[string]*unstructured.Unstructured
	born map[string]time.Time
	// wrong is what must not have been.
	wrong []string
	// nobody is how long objects were nobody's.
	nobody []time.Duration
	flips  int
}

func watchAll(t *testing.T, kube dynamic.Interface, key plan.Key, selector string) *watcher {
	t.Helper()
	w := &watcher{key: key, last: map[string]*unstructured.Unstructured{}, born: map[string]time.Time{}}
	ctx, cancel := context.WithCancel(context.Background())
	l, err := kube.Resource(intents).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	version, ended := l.GetResourceVersion(), make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			events, err := kube.Resource(intents).Watch(ctx, metav1.ListOptions{LabelSelector: selector, ResourceVersion: version})
			if err != nil {
				continue
			}
			for e := range events.ResultChan() {
				u, ok := e.Object.(*unstructured.Unstructured)
				if !ok {
					w.say("the watcher missed something: %v", e.Object)
					continue
				}
				version = u.GetResourceVersion()
				w.see(u)
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return w
}

func (w *watcher) say(format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

func ownerOf(u *unstructured.Unstructured, key plan.Key) plan.Side {
	switch plan.EntitySide(u.GetLabels()[key.SideLabel()]) {
	case plan.SideModern:
		return plan.Modern
	case plan.SideLegacy, plan.SideValidation:
		return plan.Legacy
	}
	return ""
}

func (w *watcher) see(u *unstructured.Unstructured) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := u.GetNamespace() + "/" + u.GetName()
	was := w.last[name]
	w.last[name] = u
	owner, before := ownerOf(u, w.key), plan.Side("")
	if was != nil {
		before = ownerOf(was, w.key)
	} else {
		w.born[name] = time.Now()
	}
	if at, waiting := w.born[name]; waiting && owner != "" {
		w.nobody = append(w.nobody, time.Since(at))
		delete(w.born, name)
	}
	worker, _, _ := unstructured.NestedString(u.Object, "status", "worker")
	working := phase(u) == "Processing"
	if working && worker != string(owner) {
		w.say("%s is worked by %s, and is %q's", name, worker, owner)
	}
	if was == nil {
		return
	}
	switch {
	case before != "" && owner == "":
		w.say("%s is nobody's any more", name)
	case before != "" && owner != before:
		w.flips++
		if phase(was) == "Processing" {
			w.say("%s went to %s while in flight", name, owner)
		}
		if was.GetAnnotations()[w.key.OriginAnnotation()] == string(ownership.BornModern) {
			w.say("%s was born on modern and went to %s", name, owner)
		}
	}
	dry, _, _ := unstructured.NestedString(u.Object, "status", "modern")
	old, _, _ := unstructured.NestedString(was.Object, "status", "modern")
	if dry != old && u.GetLabels()[w.key.SideLabel()] == string(plan.SideLegacy) {
		w.say("modern wrote into %s, which is legacy's alone", name)
	}
}

// check fails the test for what must not have been.
func (w *watcher) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range w.wrong {
		if i < 10 {
			t.Error(s)
		}
	}
	for name, at := range w.born {
		if time.Since(at) > time.Minute {
			t.Errorf("%s is nobody's for %s", name, time.Since(at))
		}
	}
}

// touch changes the spec of an object, so that its owner works on it.
func touch(ctx context.Context, kube dynamic.Interface, namespace, name string, rev int) error {
	_, err := kube.Resource(intents).Namespace(namespace).Patch(ctx, name, types.MergePatchType, []byte(fmt.Sprintf(`{"spec": {"rev": %d}}`, rev)), metav1.PatchOptions{})
	return err
}
