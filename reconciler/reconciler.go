package reconciler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/util/workqueue"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/render"
)

// Options are the ports and the bounds of a Reconciler. Source, Check, Sampler,
// Recorder, Notifier, Now and Log are required.
type Options struct {
	Source Source
	NGINX  Traffic // nil where the daemon has no nginx
	Bridge Traffic // nil where the daemon has no bridge
	// BridgedNGINX and BridgedGatewayAPI are nil where the daemon has not both.
	BridgedNGINX, BridgedGatewayAPI Traffic
	// GatewayAPI is nil where the daemon has no cluster.
	GatewayAPI Traffic
	// Cluster is nil where the daemon has none; with one, Manifests is
	// required. It builds what a stop wants there, in the order in which it
	// is applied, and is called from several goroutines.
	Cluster   Cluster
	Manifests func(ctx context.Context, v plan.Version, stop plan.Position) ([]render.Object, error)
	// Backup, Transforms and Entities do the long work of moves; each is nil
	// where the daemon was started without, and Check refuses plans that need it.
	Backup, Transforms, Entities Work
	// Flags is nil where the daemon has nowhere to put them.
	Flags Flags
	// EntityFacts knows what gates ask of entities; nil where the daemon has no
	// table of their owners.
	EntityFacts EntityTeller
	// TransformFacts knows what gates ask of transforms; nil where the daemon has
	// no cluster.
	TransformFacts TransformTeller
	// Fence is asked before every effect: an error says why none may be
	// begun, as when another daemon leads. Nil: all may.
	Fence func() error
	// Check finds what is wrong with a plan's file beside what its decoder
	// does: its gates, and what its gateway cannot do.
	Check    func(*plan.Document) []plan.Problem
	Sampler  Sampler
	Recorder Recorder
	Notifier Notifier
	// PullRequests is nil where no forge is configured.
	PullRequests PullRequests
	// Shown is told every status as it is made; it must not block. May be nil.
	Shown func(Status)
	Now   func() time.Time
	Log   *slog.Logger

	Interval      time.Duration // between evaluations of a plan; 15s where zero
	GitInterval   time.Duration // between readings of the remote; 15s where zero
	DriftInterval time.Duration // between comparisons with the data plane; 1m where zero
	Limits        decide.Limits

	Registerer prometheus.Registerer // nil: metrics are not exposed
}

// concurrency is how many plans are worked at the same time.
const concurrency = 4

// Deadlines of the calls that a plan's work makes.
const (
	gitDeadline     = 60 * time.Second
	sampleDeadline  = 20 * time.Second
	trafficDeadline = 45 * time.Second
	driftDeadline   = 3 * time.Second // nobody waits for it, but a commit may come
	observeDeadline = 10 * time.Second
	clusterDeadline = 2 * time.Minute
	storeDeadline   = 10 * time.Second
)

// Reconciler brings every plan of a branch toward what Git declares. Its
// methods may be called from several goroutines.
type Reconciler struct {
	o       Options
	queue   workqueue.TypedDelayingInterface[plan.Key]
	metrics *metrics
	pushes  sync.WaitGroup
	polling chan struct{} // holds one: the reading of the branch that is under way
	refresh chan struct{} // holds one: a reading that was asked for
	// warnedAt is when a failed reading was last logged; the reading's own.
	warnedAt time.Time

	mu     sync.Mutex
	branch branch
	plans  map[plan.Key]*worker
	groups map[plan.Key][]plan.Key // of connected plans, by each of them
}

// New checks the options. It starts nothing.
func New(o Options) (*Reconciler, error) {
	for name, missing := range map[string]bool{
		"Source": o.Source == nil, "Check": o.Check == nil, "Sampler": o.Sampler == nil, "Recorder": o.Recorder == nil,
		"Notifier": o.Notifier == nil, "Now": o.Now == nil, "Log": o.Log == nil,
	} {
		if missing {
			return nil, fmt.Errorf("start the reconciler: option %s is not set", name)
		}
	}
	if o.Cluster != nil && o.Manifests == nil {
		return nil, errors.New("start the reconciler: option Manifests is not set, which Cluster needs")
	}
	setDefault(&o.Interval, 15*time.Second)
	setDefault(&o.GitInterval, 15*time.Second)
	setDefault(&o.DriftInterval, time.Minute)
	setDefault(&o.Limits.GitMaxAge, 5*time.Minute)
	setDefault(&o.Limits.NoDataAlert, 10*time.Minute)
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Reconciler{o: o, metrics: m, polling: make(chan struct{}, 1), refresh: make(chan struct{}, 1), plans: map[plan.Key]*worker{}}, nil
}

func setDefault(d *time.Duration, v time.Duration) {
	if *d == 0 {
		*d = v
	}
}

// Run works until the context ends. An effect that was begun is finished, the
// next is not begun.
func (r *Reconciler) Run(ctx context.Context) error {
	r.queue = workqueue.NewTypedDelayingQueue[plan.Key]()
	if err := r.loadKeys(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.watch(ctx) })
	for range concurrency {
		g.Go(func() error { return r.serve(ctx) })
	}
	g.Go(func() error {
		<-ctx.Done()
		r.queue.ShutDown()
		return nil
	})
	err := g.Wait()
	r.pushes.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// loadKeys finds the plans that have a record, so that they are worked even
// while Git cannot be read.
func (r *Reconciler) loadKeys(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	keys, err := r.o.Recorder.Keys(ctx)
	if err != nil {
		return fmt.Errorf("list the records: %w", err)
	}
	for _, k := range keys {
		r.worker(k)
		r.enqueue(k)
	}
	return nil
}

// serve works plans as the queue gives them. The queue never gives one plan to
// two workers at once.
func (r *Reconciler) serve(ctx context.Context) error {
	for {
		key, stop := r.queue.Get()
		if stop {
			return nil
		}
		if ctx.Err() == nil {
			group := r.groupOf(key)
			again := r.workOnce(ctx, key)
			for _, k := range group {
				r.enqueueAfter(k, again) // it may belong to another now
			}
		}
		r.queue.Done(key)
	}
}

// worker returns the plan's state in memory, made where it is new.
func (r *Reconciler) worker(key plan.Key) *worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, ok := r.plans[key]
	if !ok {
		w = newWorker(r, key)
		r.plans[key] = w
	}
	return w
}
