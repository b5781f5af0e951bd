package ownership

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// FollowOptions of a Follower.
type FollowOptions struct {
	Store Store
	Plan  plan.Key
	// Extra are ids that modern owns and the store may not have yet; asked when
	// an index is begun. nil: none.
	Extra func() []string
	// Page is how many rows are read at once; 10000.
	Page int
	Log  *slog.Logger
	Now  func() time.Time
}

// Follower keeps an Index in step with a store. While the store is down it goes
// on with what it has, and says so. Its methods may be called from any goroutine.
type Follower struct {
	o      FollowOptions
	index  atomic.Pointer[Index]
	loaded chan struct{} // closed when the whole table was read once

	reading sync.Mutex // held while rows are taken in, so that they are in their order

	mu     sync.Mutex
	after  int64
	status Status
}

// Status says how an index and its store stand to each other.
type Status struct {
	// Loaded: the whole table was read, at least once.
	Loaded bool
	// Error is why the store cannot be read; empty while it can.
	Error string
	// Since when it cannot.
	Since time.Time
	// Revision up to which the table was read.
	Revision int64
}

// NewFollower returns a Follower that has not read anything. Run reads.
func NewFollower(o FollowOptions) *Follower {
	if o.Page == 0 {
		o.Page = 10_000
	}
	f := &Follower{o: o, loaded: make(chan struct{})}
	f.index.Store(f.begin())
	return f
}

// begin is an index with what the store may not have.
func (f *Follower) begin() *Index {
	x := NewIndex()
	if f.o.Extra != nil {
		for _, id := range f.o.Extra() {
			x.Add(id, plan.Modern)
		}
	}
	return x
}

// Index as it is now. It is another one after the store was restored.
func (f *Follower) Index() *Index { return f.index.Load() }

// Loaded is closed when the whole table was read.
func (f *Follower) Loaded() <-chan struct{} { return f.loaded }

// Status is the state after the last reading.
func (f *Follower) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.status
	s.Revision = f.after
	return s
}

// How long a store that failed is left alone.
const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 2 * time.Second
)

// Run follows the store until the context ends.
func (f *Follower) Run(ctx context.Context) {
	for pause := retryFirst; ctx.Err() == nil; {
		err := f.read(ctx)
		if err == nil {
			err = f.o.Store.Wait(ctx, f.o.Plan, f.revision())
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			pause = retryFirst
			continue
		}
		f.failed(err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, retryLast)
	}
}

func (f *Follower) revision() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.after
}

// CatchUp returns when the table was read up to a revision, at once and without
// waiting for the store to tell of it.
func (f *Follower) CatchUp(ctx context.Context, revision int64) error {
	if f.revision() >= revision && f.Status().Loaded {
		return nil
	}
	if err := f.read(ctx); err != nil {
		return err
	}
	if r := f.revision(); r < revision {
		return fmt.Errorf("the table is at revision %d, and %d is wanted: is it another store?", r, revision)
	}
	return nil
}

// read takes in what changed, until nothing more has.
func (f *Follower) read(ctx context.Context) error {
	f.reading.Lock()
	defer f.reading.Unlock()
	x, after := f.index.Load(), f.revision()
	for {
		p, err := f.o.Store.Changes(ctx, f.o.Plan, after, f.o.Page)
		if err != nil {
			return err
		}
		if p.Head < after {
			f.o.Log.Warn("the ownership table is older than what was read of it, reading it anew", "plan", f.o.Plan.String(), "revision", p.Head, "read", after)
			x, after = f.begin(), 0
			continue
		}
		for _, e := range p.Entities {
			x.Set(e.ID, e.Owner)
			x.SetBlock(e.ID, e.Block)
			after = e.Revision
		}
		if len(p.Entities) < f.o.Page {
			// What was added to be left as it is has revisions without rows.
			f.readUpTo(x, max(after, p.Head))
			return nil
		}
		if x == f.index.Load() {
			f.advance(after)
		}
	}
}

func (f *Follower) advance(after int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = after
}

func (f *Follower) readUpTo(x *Index, after int64) {
	f.index.Store(x)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = after
	if f.status.Error != "" {
		f.o.Log.Info("the ownership store is back", "plan", f.o.Plan.String(), "revision", after)
	}
	if !f.status.Loaded {
		close(f.loaded)
		f.o.Log.Info("owners loaded", "plan", f.o.Plan.String(), "legacy", x.Count(plan.Legacy), "modern", x.Count(plan.Modern))
	}
	f.status = Status{Loaded: true}
}

// failed notes an outage, once for as long as it lasts.
func (f *Follower) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status.Error == "" {
		f.status.Since = f.o.Now()
		f.o.Log.Error("the ownership store cannot be read, the owners known so far go on", "plan", f.o.Plan.String(), "error", err.Error())
	}
	f.status.Error = err.Error()
}
