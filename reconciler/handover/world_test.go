package handover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/entities"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

const source = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: so}
spec:
  position: {phase: setup}
  backends:
    legacy: {url: "http://127.0.0.1:8080"}
    modern: {url: "http://127.0.0.1:8000"}
  gateway: {bridge: {}}
  identity: {header: X-User}
  entities:
    match: {path: "/deployments/{id}"}
    source: {http: {url: "http://127.0.0.1:8080/deployments", item: "'http://127.0.0.1:8080/deployments/' + id"}}
    handOver: [{http: {url: "'http://127.0.0.1:8000/deployments/' + id"}}]
    handBack: [{http: {url: "'http://127.0.0.1:8080/deployments/' + id"}}]
    rate: 10000
    concurrency: 1
  phases:
    - {name: setup, routes: [{to: legacy}]}
    - {name: gradual, percents: [10, 25, 50, 100], routes: [{to: split}]}
    - {name: sunset, routes: [{to: modern}]}
`

// world is what the fakes and the store know of entities.
type world struct {
	t     *testing.T
	store ownership.Store
	dir   string
	plan  plan.Version

	mu       sync.Mutex
	ids      []string // legacy's, oldest first
	state    map[string]State
	fails    map[string]int // how often Give fails yet
	silent   bool           // a bridge does not answer
	given    []string       // id>side, in order
	crash    int            // the call at which the process dies; 0: it does not
	calls    int
	unlocked map[string]bool // blocked and settled
	slow     time.Duration   // how long Give takes
	deleted  map[string]bool // on modern
}

func newWorld(t *testing.T, n int) *world {
	t.Helper()
	dir := t.TempDir()
	s, err := ownership.Open(filepath.Join(dir, "owners.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	doc, problems := plan.Decode("so.yaml", []byte(source))
	if plan.HasErrors(problems) {
		t.Fatal(problems[0].Render())
	}
	w := &world{t: t, store: s, dir: dir, state: map[string]State{}, fails: map[string]int{}, unlocked: map[string]bool{}}
	w.plan = plan.Version{Plan: doc.Plan, Revision: "r1", Content: plan.ContentDigest(doc.Plan)}
	for i := range n {
		w.ids = append(w.ids, fmt.Sprintf("e%03d", i))
	}
	return w
}

var errDead = errors.New("the process is dead")

// effect is one call that leaves the process.
func (w *world) effect() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if w.crash > 0 && w.calls >= w.crash {
		return errDead
	}
	return nil
}

// dying is a store whose process may die before or after any call.
type dying struct {
	ownership.Store
	w *world
}

func (d dying) Block(ctx context.Context, k plan.Key, id, token string) (int64, error) {
	if err := d.w.effect(); err != nil {
		return 0, err
	}
	rev, err := d.Store.Block(ctx, k, id, token)
	return rev, errors.Join(err, d.w.effect())
}

func (d dying) Unblock(ctx context.Context, k plan.Key, id, token string) error {
	if err := d.w.effect(); err != nil {
		return err
	}
	return d.Store.Unblock(ctx, k, id, token)
}

func (d dying) Flip(ctx context.Context, k plan.Key, e ownership.Entity, token string) (int64, error) {
	if err := d.w.effect(); err != nil {
		return 0, err
	}
	rev, err := d.Store.Flip(ctx, k, e, token)
	return rev, errors.Join(err, d.w.effect())
}

func (d dying) Add(ctx context.Context, k plan.Key, es []ownership.Entity) error {
	if err := d.w.effect(); err != nil {
		return err
	}
	return errors.Join(d.Store.Add(ctx, k, es), d.w.effect())
}

func (w *world) List(context.Context) (out []candidate, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range w.ids {
		if w.state[id] != Absent {
			out = append(out, candidate{id: id})
		}
	}
	return out, nil
}

func (w *world) State(_ context.Context, id string, to plan.Side) (State, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if to == plan.Legacy {
		if w.deleted[id] {
			return Absent, nil
		}
		return Ready, nil
	}
	if s := w.state[id]; s != "" {
		return s, nil
	}
	return Ready, nil
}

func (w *world) Give(ctx context.Context, id string, to plan.Side) error {
	time.Sleep(w.slow)
	if err := w.effect(); err != nil {
		return err
	}
	e, _, err := w.store.Get(ctx, w.plan.Plan.Key(), id)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || e.Block == "" || !w.unlocked[id] || e.Owner == to {
		w.t.Errorf("%s is given to %s while its row is %+v, settled %v: %v", id, to, e, w.unlocked[id], err)
	}
	if w.fails[id] > 0 {
		w.fails[id]--
		return errors.New("no answer")
	}
	w.given = append(w.given, id+">"+string(to))
	return nil
}

func (w *world) Settle(ctx context.Context, p *plan.Plan, id string, revision int64) error {
	if err := w.effect(); err != nil {
		return err
	}
	e, _, err := w.store.Get(ctx, p.Key(), id)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent {
		return errors.New("http://10.0.0.7:8081 cannot be reached")
	}
	w.unlocked[id] = e.Block != "" && e.Revision >= revision
	return err
}

// engine is a process that works on the world.
func (w *world) engine() (*Engine, func()) {
	n := 0
	locks := &entities.Locks{}
	e := New(Options{
		Store: dying{w.store, w}, Open: func(*plan.Plan) (Sides, error) { return w, nil }, Bridges: func(*plan.Plan) Bridges { return w },
		Lock: locks.TryLock, Dir: w.orders(), Token: func() string { n++; return fmt.Sprint("t", time.Now().UnixNano(), n) },
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Pause: time.Millisecond, Rest: 5 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = e.Run(ctx) }()
	return e, func() { cancel(); <-ended }
}

func task(w *world, stop string, back bool) reconciler.Task {
	p, err := plan.ParsePosition(stop)
	if err != nil {
		w.t.Fatal(err)
	}
	return reconciler.Task{Version: w.plan, Stop: p, Back: back}
}

// until asks until the progress is as wanted.
func until(t *testing.T, e *Engine, task reconciler.Task, what string, ok func(reconciler.Progress, error) bool) reconciler.Progress {
	t.Helper()
	var p reconciler.Progress
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if p, err = e.Ensure(context.Background(), task); ok(p, err) {
			return p
		}
	}
	t.Fatalf("%s was not seen: %+v, %v", what, p, err)
	return p
}

func done(p reconciler.Progress, err error) bool { return p.Done && err == nil }

// owned are the ids that modern owns, sorted.
func (w *world) owned() (ids []string) {
	w.t.Helper()
	p, err := w.store.Changes(context.Background(), w.plan.Plan.Key(), 0, 100_000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range p.Entities {
		if e.Block != "" {
			w.t.Errorf("%s is still blocked", e.ID)
		}
		if e.Owner == plan.Modern {
			ids = append(ids, e.ID)
		}
	}
	slices.Sort(ids)
	return ids
}
