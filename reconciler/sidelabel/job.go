package sidelabel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render/entity"
)

// fieldManager under which labels are written.
const fieldManager = "changeover"

// job labels the objects of one plan.
type job struct {
	r           *Runner
	key         plan.Key
	made        string // of what: another plan needs another job
	acc         *client.Client
	watching    dynamic.Interface // without a timeout
	objects     *entity.Objects
	source      plan.KubernetesInventory
	concurrency int
	limit       *rate.Limiter

	ctx          context.Context // of all the work; it outlives every question
	cancel       context.CancelFunc
	done         chan struct{}
	births, flip chan struct{} // there may be something to do

	mu     sync.Mutex
	gvr    schema.GroupVersionResource
	seen   map[Name]Object
	read   bool   // they were all read once
	live   bool   // they are watched
	why    string // they are not
	stop   *Stop  // nil: paused
	failed map[Name]failure
	// wrote are the versions that patches made, of objects whose events up to then
	// tell of what was before.
	wrote map[Name]string
	flips []time.Time // the last ones, for the rate
	was   bool        // done, when last looked
}

// failure of a patch.
type failure struct {
	why      string
	attempts int
	again    time.Time
}

func newJob(r *Runner, p *plan.Plan, acc *client.Client, objects *entity.Objects, made string) (*job, error) {
	watching, err := dynamic.NewForConfig(acc.Config())
	if err != nil {
		return nil, fmt.Errorf("label entities: %w", err)
	}
	e := p.Spec.Entities
	ctx, cancel := context.WithCancel(context.Background())
	return &job{
		r: r, key: p.Key(), made: made, acc: acc, watching: watching, objects: objects, source: *e.Source.Kubernetes, concurrency: max(1, e.Concurrency),
		limit: rate.NewLimiter(rate.Limit(e.Rate), 1), ctx: ctx, cancel: cancel, done: make(chan struct{}),
		births: make(chan struct{}, 1), flip: make(chan struct{}, 1),
		seen: map[Name]Object{}, failed: map[Name]failure{}, wrote: map[Name]string{},
	}, nil
}

// run works until the job is cancelled. Before: that of the job that it replaces.
func (j *job) run(before <-chan struct{}) {
	defer close(j.done)
	defer j.cancel()
	if before != nil {
		<-before
	}
	var g sync.WaitGroup
	g.Go(func() { j.follow(j.ctx) })
	g.Go(func() { j.work(j.ctx, j.births, false) })
	g.Go(func() { j.work(j.ctx, j.flip, true) })
	g.Wait()
}

// ask says which stop is wanted.
func (j *job) ask(s Stop) {
	j.mu.Lock()
	same := j.stop != nil && *j.stop == s
	j.stop = &s
	j.mu.Unlock()
	if !same {
		j.kick()
	}
}

func (j *job) pause() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stop = nil
}

func (j *job) kick() {
	for _, c := range []chan struct{}{j.births, j.flip} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (j *job) listed(fresh map[Name]Object) {
	j.mu.Lock()
	j.seen, j.read = fresh, true
	clear(j.wrote)
	j.mu.Unlock()
	j.kick()
}

func (j *job) setLive() {
	j.mu.Lock()
	j.live, j.why = true, ""
	j.mu.Unlock()
	j.kick()
}

func (j *job) lost(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.live = false
	if err != nil {
		if why := explained(err); why != j.why && j.ctx.Err() == nil {
			j.why = why
			j.r.o.Log.Warn("the objects whose owner is a label are not watched, and it is tried again", "plan", j.key.String(), "why", why)
		}
	}
}

func (j *job) saw(o Object) {
	j.mu.Lock()
	if v, ok := j.wrote[o.Name]; ok {
		if v != o.Version {
			j.mu.Unlock()
			return // before our own patch
		}
		delete(j.wrote, o.Name)
	}
	j.seen[o.Name] = o
	j.mu.Unlock()
	j.kick()
}

func (j *job) gone(n Name) {
	j.mu.Lock()
	delete(j.seen, n)
	delete(j.wrote, n)
	delete(j.failed, n)
	j.mu.Unlock()
	j.kick()
}

// survey is how the objects stand now; ok is false where nothing may be done.
func (j *job) survey() (s Survey, stop Stop, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.stop == nil || !j.read {
		return Survey{}, Stop{}, false
	}
	return j.stop.Survey(slices.Collect(maps.Values(j.seen))), *j.stop, j.live
}

func (j *job) look() (s Survey, why string, ok bool) {
	s, _, ok = j.survey()
	if !ok {
		j.mu.Lock()
		why = j.why
		j.mu.Unlock()
		if why == "" {
			why = "the objects are being read, or the plan waits"
		}
	}
	return s, why, ok
}

// again is how long after a failure, or a conflict, the objects are looked at again.
const again = time.Second

// work carries out the changes of one kind: births or flips.
func (j *job) work(ctx context.Context, woken <-chan struct{}, flips bool) {
	retry := time.NewTimer(again)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-woken:
		case <-retry.C:
		}
		left := j.pass(ctx, flips)
		if left {
			retry.Reset(again)
		}
		j.tell(flips)
	}
}

// pass carries out what is due, and reports whether something is left.
func (j *job) pass(ctx context.Context, flips bool) (left bool) {
	s, stop, ok := j.survey()
	if !ok {
		return false // what comes kicks
	}
	var g errgroup.Group
	g.SetLimit(j.concurrency)
	var mu sync.Mutex
	for _, c := range s.Changes {
		if c.Flip != flips {
			continue
		}
		if j.waits(c.Object.Name) {
			left = true
			continue
		}
		if flips && j.limit.Wait(ctx) != nil || !j.wants(stop) {
			break
		}
		g.Go(func() error {
			if !j.write(ctx, c) {
				mu.Lock()
				left = true
				mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait() // none returns an error
	return left
}

// waits reports whether an object failed a short while ago.
func (j *job) waits(n Name) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	f, ok := j.failed[n]
	return ok && j.r.o.Now().Before(f.again)
}

// wants reports whether a stop is still the one that is wanted.
func (j *job) wants(s Stop) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stop != nil && *j.stop == s && j.live
}

// write changes the mark of one object, if it still is what was judged.
func (j *job) write(ctx context.Context, c Change) (ok bool) {
	n := c.Object.Name
	j.mu.Lock()
	now, there := j.seen[n]
	gvr := j.gvr
	j.mu.Unlock()
	if !there || now.Version != c.Object.Version {
		return true // its event has come, and kicked
	}
	body, err := json.Marshal(patchOf(j.key, c.Object.Version, c.To))
	if err == nil {
		pctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		var after *metav1.PartialObjectMetadata
		after, err = j.acc.Metadata().Resource(gvr).Namespace(n.Namespace).Patch(pctx, n.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: fieldManager})
		if err == nil {
			j.changed(c, after.ResourceVersion)
			return true
		}
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return false // somebody wrote meanwhile, and the event tells what
	case ctx.Err() != nil, errors.Is(err, context.Canceled):
		return false
	}
	j.r.metrics.failures.WithLabelValues(j.key.String()).Inc()
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.failed[n]
	f.why, f.attempts, f.again = explained(err), f.attempts+1, j.r.o.Now().Add(min(time.Second<<min(f.attempts, 6), time.Minute))
	j.failed[n] = f
	return false
}

// ratePast is over how many flips the rate is measured.
const ratePast = 100

func (j *job) changed(c Change, version string) {
	j.r.metrics.changed(j.key, c)
	j.mu.Lock()
	defer j.mu.Unlock()
	n := c.Object.Name
	delete(j.failed, n)
	if c.Flip {
		j.flips = append(j.flips, j.r.o.Now())
		j.flips = j.flips[max(0, len(j.flips)-ratePast):]
	}
	o, ok := j.seen[n]
	if !ok || o.Version != c.Object.Version || version == o.Version {
		return // its event was faster, or there is none
	}
	o.Mark, o.Version = c.To, version
	j.seen[n], j.wrote[n] = o, version
}

// tell wakes the plan when its objects have come to where the stop wants them.
func (j *job) tell(flips bool) {
	p, err := j.progress()
	if !flips {
		return
	}
	j.mu.Lock()
	news := err == nil && p.Done && !j.was
	j.was = err == nil && p.Done
	j.mu.Unlock()
	if news {
		j.r.o.Wake(j.key)
	}
}

func (j *job) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// progress towards the stop.
func (j *job) progress() (reconciler.Progress, error) {
	s, stop, ok := j.survey()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !ok {
		if !j.live && j.why != "" {
			return reconciler.Progress{}, fmt.Errorf("watch the objects of kind %s: %s", j.source.Kind, j.why)
		}
		return reconciler.Progress{Message: "the objects are being read"}, nil
	}
	j.r.metrics.survey(j.key, s)
	p := reconciler.Progress{Total: s.Total, Finished: s.Settled, Failed: len(s.Failed) + len(j.failed)}
	p.Done = len(s.Changes) == 0 && p.Failed == 0
	if n := len(j.flips); n > 1 && !p.Done {
		if d := j.flips[n-1].Sub(j.flips[0]).Seconds(); d > 0 {
			p.Rate = float64(n-1) / d
		}
	}
	p.Message = j.message(s, stop)
	return p, nil
}

func (j *job) message(s Survey, stop Stop) string {
	parts := []string{fmt.Sprintf("%d of %d objects are on the side that %s %% wants", s.Settled, s.Total, stop.Percent)}
	if n := len(s.Queued); n > 0 {
		parts = append(parts, fmt.Sprintf("%d in flight change later, such as %s", n, s.Queued[0]))
	}
	if n := len(s.Failed); n > 0 {
		parts = append(parts, fmt.Sprintf("%d cannot be judged and stay, such as %s: %v", n, s.Failed[0].Name, s.Failed[0].Err))
	}
	if n := len(j.failed); n > 0 {
		name := slices.SortedFunc(maps.Keys(j.failed), Name.compare)[0]
		parts = append(parts, fmt.Sprintf("%d could not be labelled and are tried again, such as %s: %s", n, name, j.failed[name].why))
	}
	return strings.Join(parts, "; ")
}
