package handover

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

// Bridges route the requests of a plan's entities.
type Bridges interface {
	// Settle returns when every ready bridge has read the ownership table up to a
	// revision and has no write to the entity under way. That there is none, or
	// that one does not answer, is an error.
	Settle(ctx context.Context, p *plan.Plan, id string, revision int64) error
}

// Options of an Engine.
type Options struct {
	Store ownership.Store
	// Open opens the two sides of a plan.
	Open func(p *plan.Plan) (Sides, error)
	// Bridges of a plan; nil where the daemon knows none.
	Bridges func(p *plan.Plan) Bridges
	// Lock keeps others of this daemon from writing to an entity meanwhile; ok is
	// false where somebody does.
	Lock func(key plan.Key, id string) (unlock func(), ok bool)
	// Dir is where orders are kept.
	Dir string
	// Token makes the token of a block: a new one each time.
	Token   func() string
	Metrics *Metrics // nil: none
	Log     *slog.Logger
	Now     func() time.Time
	// Pause between two passes while something is left to do; 2s where zero. It
	// doubles up to a minute while everything fails.
	Pause time.Duration
	// Rest is how long a pass counts that found nothing to do; 30s where zero.
	Rest time.Duration
}

// Engine hands the entities of plans over, as their stops say.
type Engine struct {
	o Options

	mu   sync.Mutex
	runs map[plan.Key]*run
	wait sync.WaitGroup
	done bool
}

var _ reconciler.Work = (*Engine)(nil)

// New returns an Engine that does nothing yet.
func New(o Options) *Engine {
	if o.Pause == 0 {
		o.Pause = 2 * time.Second
	}
	if o.Rest == 0 {
		o.Rest = 30 * time.Second
	}
	return &Engine{o: o, runs: map[plan.Key]*run{}}
}

// Run ends all work when the context does, once the entities in hand are done.
func (e *Engine) Run(ctx context.Context) error {
	<-ctx.Done()
	e.mu.Lock()
	e.done = true
	for _, r := range e.runs {
		r.stop()
	}
	e.mu.Unlock()
	e.wait.Wait()
	return nil
}

// HandsOver reports whether a plan says how entities are handed over.
func HandsOver(p *plan.Plan) bool {
	return p.Spec.Entities != nil && len(p.Spec.Entities.HandOver) > 0
}

// Ensure begins or goes on with what a stop wants.
func (e *Engine) Ensure(_ context.Context, t reconciler.Task) (reconciler.Progress, error) {
	if !HandsOver(t.Version.Plan) {
		e.Pause(t.Version.Plan.Key()) // it may have before
		return reconciler.Progress{Done: true}, nil
	}
	return e.runOf(t).progress(e.o.Now())
}

// Undo has nothing to do: ownership follows the stop.
func (e *Engine) Undo(context.Context, reconciler.Task) (reconciler.Progress, error) {
	return reconciler.Progress{Done: true}, nil
}

// Pause ends what is under way for a plan.
func (e *Engine) Pause(key plan.Key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.runs[key]; r != nil {
		r.stop()
		delete(e.runs, key)
	}
}

// runOf is the run of a task: the one that is under way, or where the task is
// another, a new one that begins when the old one has let go.
func (e *Engine) runOf(t reconciler.Task) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := t.Version.Plan.Key()
	old := e.runs[key]
	if old != nil && old.stopAt == t.Stop && old.content == t.Version.Content {
		old.back.Store(t.Back)
		return old
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &run{
		e: e, key: key, plan: t.Version.Plan, content: t.Version.Content, stopAt: t.Stop, stop: stop, ended: make(chan struct{}),
		log: e.o.Log.With("plan", key.String(), "stop", t.Stop.String()),
	}
	r.back.Store(t.Back)
	r.now.Message = "the entities are looked at"
	e.runs[key] = r
	if old != nil {
		old.stop()
	}
	if e.done {
		stop()
	}
	e.wait.Go(func() {
		defer close(r.ended)
		if old != nil {
			<-old.ended
		}
		r.loop(ctx)
	})
	return r
}
