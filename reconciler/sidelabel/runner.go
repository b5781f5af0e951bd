package sidelabel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render/entity"
)

// Options of a Runner. Client is required.
type Options struct {
	Client *client.Client
	Log    *slog.Logger     // nil: nothing is logged
	Now    func() time.Time // nil: the clock
	// Wake is told of plans whose objects have come to where their stop wants them;
	// nil: nobody is.
	Wake       func(plan.Key)
	Registerer prometheus.Registerer // nil: metrics are not exposed
}

// Runner labels the objects of any number of plans. It is safe for use by several
// goroutines.
type Runner struct {
	o       Options
	metrics *metrics

	mu     sync.Mutex
	ending bool
	jobs   map[plan.Key]*job
	wait   sync.WaitGroup
}

var _ reconciler.Work = (*Runner)(nil)

// New makes a Runner. It makes no call.
func New(o Options) (*Runner, error) {
	if o.Client == nil {
		return nil, errors.New("label entities: there is no cluster")
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
	return &Runner{o: o, metrics: m, jobs: map[plan.Key]*job{}}, nil
}

// Run ends all work when ctx ends, and returns when it has ended. It is to be called
// once.
func (r *Runner) Run(ctx context.Context) error {
	<-ctx.Done()
	r.mu.Lock()
	r.ending = true
	for _, j := range r.jobs {
		j.cancel()
	}
	r.mu.Unlock()
	r.wait.Wait()
	return ctx.Err()
}

// Wants reports whether a plan has entities for this package.
func Wants(p *plan.Plan) bool {
	return p != nil && p.Spec.Entities != nil && !p.Spec.Entities.Routed()
}

// Ensure implements reconciler.Work. It is done when only objects that are in flight
// are left; they change later, as long as the stop is the same.
func (r *Runner) Ensure(_ context.Context, t reconciler.Task) (reconciler.Progress, error) {
	p := t.Version.Plan
	if !Wants(p) {
		if p != nil {
			r.forget(p.Key())
		}
		return reconciler.Progress{Done: true}, nil
	}
	j, err := r.job(p)
	if err != nil {
		return reconciler.Progress{}, err
	}
	s := stopOf(t)
	s.Ordered = j.objects.Ordered()
	j.ask(s)
	return j.progress()
}

// Undo implements reconciler.Work: that objects go back is part of Ensure.
func (r *Runner) Undo(context.Context, reconciler.Task) (reconciler.Progress, error) {
	return reconciler.Progress{Done: true}, nil
}

// Pause implements reconciler.Work. The objects are watched on.
func (r *Runner) Pause(key plan.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j := r.jobs[key]; j != nil {
		j.pause()
	}
}

// Survey is how a plan's objects stand to the stop that was last asked for; ok is
// false, with why, where that is not known.
func (r *Runner) Survey(key plan.Key) (s Survey, why string, ok bool) {
	r.mu.Lock()
	j := r.jobs[key]
	r.mu.Unlock()
	if j == nil {
		return Survey{}, "the objects were not read yet", false
	}
	return j.look()
}

func stopOf(t reconciler.Task) Stop {
	p := t.Version.Plan
	s := Stop{Percent: p.EntityPercent(t.Stop), Back: t.Back, Since: t.Since.UTC().Round(0), Salt: p.Salt()}
	if ph := p.Phase(t.Stop.Phase); ph != nil && ph.Entities != nil {
		s.Validation = ph.Entities.Side == plan.SideValidation
	}
	return s
}

func (r *Runner) forget(key plan.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j := r.jobs[key]; j != nil {
		j.cancel()
		delete(r.jobs, key)
	}
}

// job is that of a plan, begun anew where what it is made of has changed.
func (r *Runner) job(p *plan.Plan) (*job, error) {
	made, err := json.Marshal([]any{p.Spec.Entities, p.Spec.ServiceAccountName})
	if err != nil {
		return nil, fmt.Errorf("label entities: %w", err)
	}
	key := p.Key()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ending {
		return nil, errors.New("label entities: the daemon is ending")
	}
	old := r.jobs[key]
	if old != nil && old.made == string(made) {
		return old, nil
	}
	objects, err := entity.CompileObjects(p.Spec.Entities)
	if err != nil {
		return nil, err
	}
	acc, err := r.o.Client.ForPlan(p)
	if err != nil {
		return nil, err
	}
	j, err := newJob(r, p, acc, objects, string(made))
	if err != nil {
		return nil, err
	}
	var before <-chan struct{}
	if old != nil {
		old.cancel()
		before = old.done
	}
	r.jobs[key] = j
	r.wait.Add(1)
	go func() {
		defer r.wait.Done()
		j.run(before)
	}()
	return j, nil
}
