package owner

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

// Options of a Keeper.
type Options struct {
	Store ownership.Store
	// Spool is the folder for births that wait for the store.
	Spool    string
	Registry prometheus.Registerer
	Log      *slog.Logger
	Now      func() time.Time
	// Lease is how long a block may last; BlockLease where zero.
	Lease time.Duration
}

// Keeper knows the owners of one plan's entities and records births. Its methods
// may be called from any goroutine.
type Keeper struct {
	o        Options
	metrics  *metrics
	recorder *recorder
	writes   *writes

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex // held while another plan is followed
	stop      context.CancelFunc
	following atomic.Pointer[following]
}

// following is the plan whose owners are known.
type following struct {
	key plan.Key
	*ownership.Follower
}

// adoptEvery is how often the files of processes are looked for that ended
// meanwhile.
const adoptEvery = 15 * time.Second

// New opens the spool and takes up what is in it. Close ends it.
func New(o Options) (*Keeper, error) {
	if o.Lease == 0 {
		o.Lease = BlockLease
	}
	s, err := openSpool(o.Spool)
	if err != nil {
		return nil, err
	}
	k := &Keeper{o: o, recorder: newRecorder(o.Store, s, o.Log, o.Now), writes: newWrites()}
	k.metrics = newMetrics(o.Registry, k)
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.recorder.adopt()
	k.wg.Add(3)
	go func() { defer k.wg.Done(); k.expire(k.ctx) }()
	go func() { defer k.wg.Done(); k.recorder.run(k.ctx) }()
	go func() { defer k.wg.Done(); k.adoptLater() }()
	return k, nil
}

func (k *Keeper) adoptLater() {
	tick := time.NewTicker(adoptEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.recorder.adopt()
		case <-k.ctx.Done():
			return
		}
	}
}

// Close ends following and recording. What the store does not have yet stays in
// the spool.
func (k *Keeper) Close() {
	k.cancel()
	k.wg.Wait()
}

// Follow has the owners of a plan known, and waits until they are, but no longer
// than given. The plan that is followed already is not disturbed.
func (k *Keeper) Follow(key plan.Key, wait time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.following.Load(); f == nil || f.key != key {
		k.change(key)
	}
	select {
	case <-k.following.Load().Loaded():
	case <-time.After(wait):
		k.o.Log.Warn("the owners are not known yet: requests that name an entity are answered with 503 until they are", "plan", key.String())
	case <-k.ctx.Done():
	}
}

func (k *Keeper) change(key plan.Key) {
	if k.stop != nil {
		k.stop()
	}
	f := ownership.NewFollower(ownership.FollowOptions{
		Store: k.o.Store, Plan: key, Log: k.o.Log, Now: k.o.Now, Extra: func() []string { return k.recorder.ids(key) },
	})
	var ctx context.Context
	ctx, k.stop = context.WithCancel(k.ctx)
	k.following.Store(&following{key: key, Follower: f})
	k.wg.Add(1)
	go func() { defer k.wg.Done(); f.Run(ctx) }()
}

// Ready reports whether the owners were read once since the start.
func (k *Keeper) Ready() bool {
	f := k.following.Load()
	if f == nil {
		return false
	}
	select {
	case <-f.Loaded():
		return true
	default:
		return false
	}
}

// Owner of an id; known is false where nobody is known to own it.
func (k *Keeper) Owner(id string) (side plan.Side, known bool) {
	f := k.following.Load()
	if f == nil {
		return "", false
	}
	return f.Index().Owner(id)
}

// ModernOwns reports whether modern owns anything.
func (k *Keeper) ModernOwns() bool {
	f := k.following.Load()
	return f != nil && f.Index().Count(plan.Modern) > 0
}

// CanRecord says why a birth could not be recorded now; nil: it could.
func (k *Keeper) CanRecord(ctx context.Context) error { return k.recorder.ready(ctx) }

// Record notes that modern created an entity. When it returns nil, the birth
// survives a crash.
func (k *Keeper) Record(ctx context.Context, key plan.Key, id string) error {
	if err := plan.CheckEntityID(id); err != nil {
		return err
	}
	start := k.o.Now()
	if f := k.following.Load(); f != nil && f.key == key {
		// It is there, whatever comes of noting it.
		f.Index().Add(id, plan.Modern)
	}
	result, err := k.recorder.record(ctx, key, id)
	k.metrics.births.WithLabelValues(result).Inc()
	k.metrics.duration.Observe(k.o.Now().Sub(start).Seconds())
	return err
}

// Unreadable counts a create whose answer has no id.
func (k *Keeper) Unreadable() { k.metrics.births.WithLabelValues("unreadable").Inc() }

// Health is what the bridge tells of the owners.
type Health struct {
	Loaded   bool      `json:"loaded"`
	Legacy   int64     `json:"legacy"`
	Modern   int64     `json:"modern"`
	Revision int64     `json:"revision"`
	Spooled  int       `json:"spooled"`
	Error    string    `json:"error,omitempty"`
	Since    time.Time `json:"since,omitzero"`
}

// Health is the state now; the zero value where no plan is followed.
func (k *Keeper) Health() Health {
	var h Health
	if f := k.following.Load(); f != nil {
		s, x := f.Status(), f.Index()
		h = Health{Loaded: s.Loaded, Legacy: x.Count(plan.Legacy), Modern: x.Count(plan.Modern), Revision: s.Revision, Error: s.Error, Since: s.Since}
	}
	var down string
	if h.Spooled, down = k.recorder.state(); h.Error == "" {
		h.Error = down
	}
	return h
}
