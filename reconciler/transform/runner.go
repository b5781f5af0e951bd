package transform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// Options of a Runner. Client and Dir are required.
type Options struct {
	Client *client.Client
	// Dir is where the records are kept; it is made where it is not there.
	Dir string
	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: the clock
	// Wake is told of plans whose work has ended; nil: nobody is.
	Wake       func(plan.Key)
	Registerer prometheus.Registerer // nil: metrics are not exposed
}

// Runner is a reconciler.Work over the API server of a client. It is safe for use
// by several goroutines.
type Runner struct {
	o       Options
	metrics *metrics

	mu     sync.Mutex
	ending bool
	work   map[plan.Key]*work
	wait   sync.WaitGroup
}

var _ reconciler.Work = (*Runner)(nil)

// work is what goes on for one plan.
type work struct {
	task   string
	undo   bool
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	progress reconciler.Progress
	reports  map[string]Report          // by transform
	facts    map[string]gates.Transform // of those that are being worked, by name
}

func (w *work) set(p reconciler.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.Name = "transforms"
	w.progress = p
}

func (w *work) now() reconciler.Progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.progress
}

// New makes a Runner. It makes no call.
func New(o Options) (*Runner, error) {
	if o.Client == nil || o.Dir == "" {
		return nil, errors.New("make the transforms: there is no client or no folder for the records")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wake == nil {
		o.Wake = func(plan.Key) {}
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Runner{o: o, metrics: m, work: map[plan.Key]*work{}}, nil
}

// Run ends all work when ctx ends, and returns when it has ended. It is to be
// called once.
func (r *Runner) Run(ctx context.Context) error {
	<-ctx.Done()
	r.mu.Lock()
	r.ending = true
	for _, w := range r.work {
		w.cancel()
	}
	r.mu.Unlock()
	r.wait.Wait()
	return ctx.Err()
}

// entered are the transforms that a task asks for: those of a phase that is
// entered forward, or whose content is changed while it is the one applied. Within
// a phase modern has taken the targets over, and they are its own to change.
func entered(t reconciler.Task) []plan.Transform {
	if t.Back || t.Version.Plan == nil || t.From.Phase == t.Stop.Phase && t.From != t.Stop {
		return nil
	}
	if ph := t.Version.Plan.Phase(t.Stop.Phase); ph != nil {
		return ph.Transforms
	}
	return nil
}

// left are the transforms of the phases that a backward move has left and whose
// targets are to be removed, the last phase first.
func left(t reconciler.Task) (out []plan.Transform) {
	if t.Version.Plan == nil {
		return nil
	}
	phases := t.Version.Plan.Spec.Phases
	at := func(name string) int {
		return slices.IndexFunc(phases, func(ph plan.Phase) bool { return ph.Name == name })
	}
	for i := at(t.From.Phase); i > at(t.Stop.Phase); i-- {
		if phases[i].Rollback.RemoveTransformed {
			out = append(out, phases[i].Transforms...)
		}
	}
	return out
}

// Ensure implements reconciler.Work.
func (r *Runner) Ensure(_ context.Context, t reconciler.Task) (reconciler.Progress, error) {
	return r.do(t, entered(t), false)
}

// Undo implements reconciler.Work.
func (r *Runner) Undo(_ context.Context, t reconciler.Task) (reconciler.Progress, error) {
	return r.do(t, left(t), true)
}

// Pause implements reconciler.Work.
func (r *Runner) Pause(key plan.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.work[key]; w != nil {
		w.cancel()
		w.task = "" // whatever is asked for next begins anew, after it
	}
}

// Reports are what came of the transforms that were last worked for a plan, by
// name.
func (r *Runner) Reports(key plan.Key) map[string]Report {
	r.mu.Lock()
	w := r.work[key]
	r.mu.Unlock()
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make(map[string]Report, len(w.reports))
	for k, v := range w.reports {
		out[k] = v
	}
	return out
}

func (r *Runner) do(t reconciler.Task, transforms []plan.Transform, undo bool) (reconciler.Progress, error) {
	if len(transforms) == 0 {
		if t.Version.Plan != nil {
			r.Pause(t.Version.Plan.Key())
		}
		return reconciler.Progress{Name: "transforms", Done: true}, nil
	}
	key := t.Version.Plan.Key()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ending {
		return reconciler.Progress{}, errors.New("work on transforms: the daemon is ending")
	}
	id := taskID(t)
	w := r.work[key]
	if w == nil || w.task != id || w.undo != undo {
		var before <-chan struct{}
		if w != nil {
			w.cancel()
			before = w.done
		}
		w = r.start(t, id, transforms, undo, before)
		r.work[key] = w
	}
	return w.now(), nil
}

// start begins the work of a task once that before it has ended.
func (r *Runner) start(t reconciler.Task, id string, transforms []plan.Transform, undo bool, before <-chan struct{}) *work {
	ctx, cancel := context.WithCancel(context.Background())
	w := &work{task: id, undo: undo, cancel: cancel, done: make(chan struct{}), reports: map[string]Report{}, facts: map[string]gates.Transform{}}
	w.set(reconciler.Progress{Message: "beginning"})
	r.wait.Add(1)
	go func() {
		defer r.wait.Done()
		defer close(w.done)
		defer cancel()
		if before != nil {
			<-before
		}
		r.run(ctx, w, t, id, transforms)
		if ctx.Err() == nil {
			r.o.Wake(t.Version.Plan.Key())
		}
	}()
	return w
}

// run works one transform after the other, and begins again where one fails.
func (r *Runner) run(ctx context.Context, w *work, t reconciler.Task, id string, transforms []plan.Transform) {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		err := r.all(ctx, w, t, id, transforms)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			return
		}
		r.o.Log.Warn("a transform failed and is tried again", "plan", t.Version.Plan.Key().String(), "err", err.Error())
		p := w.now()
		p.Message = err.Error()
		w.set(p)
		sleep(ctx, backoff(attempt))
	}
}

func (r *Runner) all(ctx context.Context, w *work, t reconciler.Task, id string, transforms []plan.Transform) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	var sum reconciler.Progress
	for _, x := range transforms {
		j, err := newJob(r, w, t, x, sum)
		if err != nil {
			return err
		}
		do := j.ensure
		if w.undo {
			do = j.undo
		}
		if err := do(ctx, id); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.mu.Lock()
		w.reports[x.Name] = j.s.head.Report
		sum = w.progress
		w.mu.Unlock()
	}
	sum.Done = true
	sum.Message = summary(transforms, w)
	w.set(sum)
	r.o.Log.Info("transforms are done", "plan", t.Version.Plan.Key().String(), "undo", w.undo, "result", sum.Message)
	return nil
}

// backoff before attempt n+1, from 0: 1 s, doubled up to a minute.
func backoff(n int) time.Duration { return min(time.Second<<min(n, 6), time.Minute) }

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
