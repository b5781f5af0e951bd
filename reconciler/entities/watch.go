package entities

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// WatchOptions of a Watcher.
type WatchOptions struct {
	// Open opens what a plan's entities need; Seed, Progress and Now are the
	// watcher's own.
	Open  func(p *plan.Plan) (Options, error)
	Locks *Locks
	Log   *slog.Logger
	Now   func() time.Time
	// Metrics; nil: none.
	Metrics *Metrics
}

// forgotten is how long a plan is worked that nobody asks about any more.
const forgotten = 5 * time.Minute

// Watcher compares and syncs the entities of plans, each at its own interval, for as
// long as somebody asks about them. Its methods may be called from any goroutine.
type Watcher struct {
	o WatchOptions

	mu    sync.Mutex
	plans map[plan.Key]*watched
	wait  sync.WaitGroup
	ended bool
}

// watched is one plan.
type watched struct {
	digest string
	stop   context.CancelFunc

	mu     sync.Mutex
	asked  time.Time
	writes bool
	facts  *gates.Entities
	at     time.Time // of facts
	synced time.Time // when the last round began that brought over everything
	noSync string    // why there was none; "" where there was
}

// NewWatcher returns a Watcher of no plan.
func NewWatcher(o WatchOptions) *Watcher {
	return &Watcher{o: o, plans: map[plan.Key]*watched{}}
}

// Run ends all work when the context does, and returns when it has ended.
func (w *Watcher) Run(ctx context.Context) error {
	<-ctx.Done()
	w.mu.Lock()
	w.ended = true
	for _, x := range w.plans {
		x.stop()
	}
	w.mu.Unlock()
	w.wait.Wait()
	return nil
}

// Tell is what is known of the entities of a plan, and has the watcher look after
// them from now on. Writes: it may add to the table and sync to modern, as this
// daemon leads and the plan is not suspended. Nil: the plan has no inventory.
func (w *Watcher) Tell(p *plan.Plan, writes bool) *gates.Entities {
	if p.Spec.Entities == nil || p.Spec.Entities.Source == nil {
		return nil
	}
	now := w.o.Now()
	x := w.watch(p, now)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.asked, x.writes = now, writes
	if x.facts == nil {
		return gates.NoEntities("the inventories were not compared yet")
	}
	e := *x.facts
	if old := 3*time.Duration(p.Spec.Entities.Interval) + time.Hour; e.Why == "" && now.Sub(x.at) > old {
		return gates.NoEntities("the last comparison of the inventories is too old")
	}
	if e.Why == "" && e.Untold["syncLag"] == "" {
		e.SyncLag = now.Sub(x.synced)
	}
	return &e
}

// watch is the watched plan, begun anew where its entities are others now.
func (w *Watcher) watch(p *plan.Plan, now time.Time) *watched {
	b, err := json.Marshal(p.Spec.Entities)
	if err != nil {
		b = fmt.Appendf(nil, "%+v", p.Spec.Entities)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.plans[p.Key()]
	if x != nil && x.digest == string(b) {
		return x
	}
	if x != nil {
		x.stop()
	}
	ctx, cancel := context.WithCancel(context.Background())
	x = &watched{digest: string(b), stop: cancel, asked: now, noSync: "no round of the sync has ended yet"}
	w.plans[p.Key()] = x
	if w.ended {
		cancel()
		return x
	}
	w.wait.Go(func() { w.check(ctx, p, x) })
	if p.Spec.Entities.Sync != nil {
		w.wait.Go(func() { w.sync(ctx, p, x) })
	}
	return x
}

// may reports whether a plan is still asked about, and whether it may be written.
func (w *Watcher) may(p *plan.Plan, x *watched) (asked, writes bool) {
	x.mu.Lock()
	asked, writes = w.o.Now().Sub(x.asked) < forgotten, x.writes
	x.mu.Unlock()
	if !asked {
		w.mu.Lock()
		if w.plans[p.Key()] == x {
			delete(w.plans, p.Key())
			w.o.Metrics.forget(p.Key())
		}
		w.mu.Unlock()
		x.stop()
	}
	return asked, writes
}

// check compares at the plan's interval.
func (w *Watcher) check(ctx context.Context, p *plan.Plan, x *watched) {
	o, err := w.open(p)
	c := New(o)
	for ctx.Err() == nil {
		asked, writes := w.may(p, x)
		if !asked {
			return
		}
		var counts Counts
		if err == nil {
			c.o.Seed = writes
			counts, err = c.Check(ctx, func(f Finding) {
				w.o.Log.Warn("an entity is not as it should be", "plan", p.Key().String(), "found", string(f.Kind), "id", f.ID, "owner", string(f.Owner), "why", f.Why)
			})
		}
		if ctx.Err() != nil {
			return
		}
		w.note(p, x, counts, err)
		if !pause(ctx, time.Duration(p.Spec.Entities.Interval)) {
			return
		}
		if o, err = w.open(p); err == nil {
			o.Pause, o.Memory = c.o.Pause, c.o.Memory
			c.o = o
		}
	}
}

// open opens what the plan's entities need.
func (w *Watcher) open(p *plan.Plan) (Options, error) {
	o, err := w.o.Open(p)
	o.Now = w.o.Now
	return o, err
}

// note keeps what a comparison found, for those who ask.
func (w *Watcher) note(p *plan.Plan, x *watched, c Counts, err error) {
	facts := gates.NoEntities("")
	if err != nil {
		facts.Why = err.Error()
		w.o.Log.Error("the inventories of entities cannot be compared", "plan", p.Key().String(), "error", err.Error())
	} else {
		*facts = factsOf(p.Spec.Entities, c)
		w.o.Log.Info("inventories of entities compared", "plan", p.Key().String(), "total", c.Total, "legacy", c.Legacy, "modern", c.Modern, "in_flight", c.InFlight,
			"orphaned", c.Orphaned, "unknown", c.Unknown, "double_claimed", c.DoubleClaimed, "mismatched", c.Mismatched)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if facts.Why == "" && p.Spec.Entities.Sync != nil && x.noSync != "" {
		facts.Untold["syncLag"] = x.noSync
	}
	x.facts, x.at = facts, w.o.Now()
	w.o.Metrics.set(p.Key(), facts, err)
}

// factsOf are the facts that counts give. What the plan does not say how to find
// is unknown, and not zero.
func factsOf(e *plan.Entities, c Counts) gates.Entities {
	f := gates.Entities{
		Total: c.Total, Legacy: c.Legacy, Modern: c.Modern, InFlight: c.InFlight, Orphaned: c.Orphaned, Unknown: c.Unknown,
		DoubleClaimed: c.DoubleClaimed, Mismatched: c.Mismatched, Untold: map[string]string{},
	}
	if e.Modern == nil {
		f.Untold["orphaned"] = "the plan names no inventory of modern: spec.entities.modern"
		f.Untold["doubleClaimed"] = f.Untold["orphaned"]
	}
	switch {
	case e.Verify == nil:
		f.Untold["mismatched"] = "the plan does not say what must be equal: spec.entities.verify"
	case c.Unasked > 0:
		f.Untold["mismatched"] = "a side could not be asked for all of the entities"
	}
	if e.Sync == nil {
		f.Untold["syncLag"] = "the plan has no spec.entities.sync"
	}
	return f
}

// sync syncs at the plan's interval.
func (w *Watcher) sync(ctx context.Context, p *plan.Plan, x *watched) {
	for ctx.Err() == nil {
		asked, writes := w.may(p, x)
		if !asked {
			return
		}
		wait := time.Duration(p.Spec.Entities.Sync.Interval)
		if writes {
			w.round(ctx, p, x)
		} else {
			wait = min(wait, time.Second) // until it may
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

func (w *Watcher) round(ctx context.Context, p *plan.Plan, x *watched) {
	began := w.o.Now()
	o, err := w.open(p)
	var c SyncCounts
	if err == nil {
		c, err = NewSyncer(o, w.o.Locks).Round(ctx)
	}
	if ctx.Err() != nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case err != nil:
		w.o.Log.Error("entities cannot be synced to modern", "plan", p.Key().String(), "error", err.Error())
	case c.Failed > 0:
		w.o.Log.Error("not all entities could be synced to modern", "plan", p.Key().String(), "written", c.Written, "failed", c.Failed, "error", c.Error)
	default:
		w.o.Log.Info("entities synced to modern", "plan", p.Key().String(), "written", c.Written, "skipped", c.Skipped)
		x.synced, x.noSync = began, ""
		if x.facts != nil && x.facts.Why == "" {
			known := *x.facts
			known.Untold = map[string]string{}
			for f, why := range x.facts.Untold {
				if f != "syncLag" {
					known.Untold[f] = why
				}
			}
			x.facts = &known
		}
	}
}
