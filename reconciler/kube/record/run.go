package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/api"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

const (
	// writers is how many objects are written at the same time.
	writers = 4
	// calm is how long an object must have been left alone until an edit of
	// it is put right without delay again.
	calm = 10 * time.Minute
	// sweepEvery is how often objects are looked for that the watch missed.
	sweepEvery = 30 * time.Second
)

// Run writes what was not written yet, and watches the objects: what others
// change or delete is put right. It returns nil when the context ends, after a
// last attempt to write; it may be called once.
func (r *Recorder) Run(ctx context.Context) error {
	dyn, err := dynamic.NewForConfig(r.o.Client.Config()) // watches: no timeout
	if err != nil {
		return fmt.Errorf("watch MigrationPlans: %w", err)
	}
	informer := dynamicinformer.NewFilteredDynamicInformer(dyn, api.Resource, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
	queue := workqueue.NewTypedDelayingQueue[plan.Key]()
	if err := r.observe(informer, queue); err != nil {
		return fmt.Errorf("watch MigrationPlans: %w", err)
	}
	r.mu.Lock()
	r.queue, r.live = queue, informer.GetStore()
	keys := slices.Collect(maps.Keys(r.objects))
	r.mu.Unlock()
	for _, key := range keys {
		queue.Add(key)
	}
	var all sync.WaitGroup
	all.Go(func() { informer.RunWithContext(ctx) })
	all.Go(func() { r.sweep(ctx, informer, queue) })
	for range writers {
		all.Go(func() { r.serve(ctx, queue) })
	}
	<-ctx.Done()
	queue.ShutDown()
	all.Wait()
	r.flush(context.WithoutCancel(ctx))
	return nil
}

// observe has the queue told of what happens to the objects.
func (r *Recorder) observe(informer cache.SharedIndexInformer, queue workqueue.TypedDelayingInterface[plan.Key]) error {
	changed := func(o any) {
		r.setWatch("")
		if m, ok := o.(*mirror); ok {
			queue.Add(m.plan())
		}
	}
	deleted := func(o any) {
		if last, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = last.Obj
		}
		m, ok := o.(*mirror)
		if !ok {
			return
		}
		if p, ok := r.lookup(m.plan()); ok {
			p.mu.Lock()
			p.gone = m.seen.uid
			p.mu.Unlock()
		}
		queue.Add(m.plan())
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: changed, UpdateFunc: func(_, o any) { changed(o) }, DeleteFunc: deleted,
	})
	return errors.Join(err, informer.SetTransform(reflected),
		informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { r.tellWatch(err) }))
}

// sweep looks for objects that were made and deleted while nothing was watched:
// nobody tells of those.
func (r *Recorder) sweep(ctx context.Context, informer cache.SharedIndexInformer, queue workqueue.TypedDelayingInterface[plan.Key]) {
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		r.mu.Lock()
		objects := slices.Collect(maps.Values(r.objects))
		r.mu.Unlock()
		for _, p := range objects {
			if _, ok := r.reflection(p.key); !ok && p.lose(informer.LastSyncResourceVersion()) {
				queue.Add(p.key)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// lose notes that the watch, which has come as far as a version, does not know
// the object, and reports whether it should. It may be about to learn of it.
func (p *object) lose(version string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live == nil {
		return false
	}
	later, err := resourceversion.CompareResourceVersion(version, p.live.version)
	p.lost = err == nil && later >= 0
	return p.lost
}

// tellWatch logs why the objects cannot be watched, once for each reason.
func (r *Recorder) tellWatch(err error) {
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || errors.Is(err, io.EOF) {
		return // watches end, and begin anew
	}
	why := "MigrationPlans cannot be watched: " + explain(err).Error()
	if r.setWatch(why) {
		r.o.Log.Warn("MigrationPlans cannot be watched; it is tried again", "err", explain(err).Error())
	}
}

// setWatch notes why the objects cannot be watched, and reports whether that is
// new.
func (r *Recorder) setWatch(why string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	had := r.watch
	r.watch = why
	return masked(had) != masked(why)
}

// mirror is what is kept in memory of each MigrationPlan in the cluster.
type mirror struct {
	metav1.ObjectMeta
	seen *seen
}

func (m *mirror) plan() plan.Key { return plan.Key{Namespace: m.Namespace, Name: m.Name} }

// reflected drops the contents of objects as they come in.
func reflected(o any) (any, error) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return o, nil
	}
	return &mirror{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion(),
		},
		seen: look(u),
	}, nil
}

func (r *Recorder) serve(ctx context.Context, queue workqueue.TypedDelayingInterface[plan.Key]) {
	for {
		key, stop := queue.Get()
		if stop {
			return
		}
		if ctx.Err() == nil && r.isFenced() == nil {
			if again := r.process(ctx, key); again > 0 {
				queue.AddAfter(key, again)
			}
		}
		queue.Done(key)
	}
}

// process brings one object to what is wanted, and returns when to look again;
// zero: when something happens.
func (r *Recorder) process(ctx context.Context, key plan.Key) (again time.Duration) {
	p, ok := r.lookup(key)
	if !ok {
		if m, ok := r.reflection(key); ok && m.recorded {
			r.o.Wake(key)
		}
		return 0
	}
	if d := r.wait(p); d > 0 {
		return d
	}
	ctx, cancel := context.WithTimeout(ctx, writeDeadline)
	defer cancel()
	if p.take(ctx) != nil {
		return settle
	}
	defer p.give()
	drifted := r.follow(p)
	if drifted {
		r.drift(p)
	}
	// What comes from here on is told by how long it is to wait.
	nothing := p.settled(r.id) && !p.foreign(r.id) && !p.troubled()
	if wait := p.pause(r.o.Now(), drifted); wait > 0 || nothing {
		return wait
	}
	err := r.write(ctx, p)
	if err != nil && !errors.Is(err, errNoSpec) && !errors.Is(err, ErrFenced) {
		return max(r.wait(p), settle)
	}
	return 0
}

// troubled reports whether the last write did not work.
func (p *object) troubled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.problem != ""
}

// pause is for how long the object is not written: somebody edits it again and
// again, or more is to come.
func (p *object) pause(now time.Time, drifted bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.patience.Sub(now); d > 0 {
		return d
	}
	if d := p.due.Sub(now); d > 0 && !drifted {
		return d
	}
	p.due = time.Time{} // the wait is over, whether or not there is something to write
	return 0
}

// reflection is what the watch knows of an object.
func (r *Recorder) reflection(key plan.Key) (*seen, bool) {
	r.mu.Lock()
	store := r.live
	r.mu.Unlock()
	if store == nil {
		return nil, false
	}
	o, ok, err := store.GetByKey(key.String())
	m, is := o.(*mirror)
	if err != nil || !ok || !is {
		return nil, false
	}
	return m.seen, true
}

// follow takes in what the watch says of the object, where that is newer than
// what this daemon last saw, and reports whether others changed what it wrote.
func (r *Recorder) follow(p *object) (drifted bool) {
	if !p.read {
		return false // it is read when it is written
	}
	p.mu.Lock()
	gone, lost := p.gone, p.lost
	p.gone, p.lost = "", false
	p.mu.Unlock()
	if lost {
		p.read = false
		return false
	}
	if p.live != nil && gone == p.live.uid {
		p.setLive(nil)
		drifted = true
	}
	l, ok := r.reflection(p.key)
	if !ok || l.uid == gone {
		return drifted
	}
	if p.live != nil {
		if newer, err := resourceversion.CompareResourceVersion(l.version, p.live.version); err != nil || newer <= 0 {
			return drifted
		}
	}
	p.setLive(l)
	return drifted || !p.mirrors() || l.status != p.stored
}

// drift tells that the object was changed by others. It is put right at once the
// first time, and later and later where somebody does it again and again. A
// record that is to be saved waits for nobody.
func (r *Recorder) drift(p *object) {
	now := r.o.Now()
	if p.settled(r.id) || p.foreign(r.id) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.driftAt) > calm {
		r.drifts.Forget(p.key)
	}
	p.driftAt = now
	what := "changed"
	if p.live == nil {
		what = "deleted"
	}
	r.o.Log.Info("the MigrationPlan is put right: others have touched it", "plan", p.key.String(), "what", what)
	first := r.drifts.NumRequeues(p.key) == 0
	if wait := r.drifts.When(p.key); !first {
		p.patience = now.Add(wait)
	}
}

// flush writes what is left, as the daemon stops.
func (r *Recorder) flush(ctx context.Context) {
	r.mu.Lock()
	r.queue = nil
	objects := slices.Collect(maps.Values(r.objects))
	r.mu.Unlock()
	if r.isDown() || r.isFenced() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, saveDeadline)
	defer cancel()
	for _, p := range objects {
		if p.take(ctx) != nil {
			return
		}
		if p.read { // once, as another daemon may lead by now
			if err := r.tryWrite(ctx, p); err != nil && !errors.Is(err, errNoSpec) {
				r.o.Log.Warn("the last status was not written to the cluster", "plan", p.key.String(), "err", client.Explain(err).Error())
			}
		}
		p.give()
	}
}
