package owner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Bounds of a hand-over, as a bridge sees it.
const (
	// BlockLease is how long a block may last. Then any bridge lifts it, whoever
	// set it: see ownership.Blocker.
	BlockLease = 800 * time.Millisecond
	// blockLook is how often blocks are looked at.
	blockLook = 50 * time.Millisecond
	// UnsureFor is how long a write counts as under way to which the backend did
	// not answer: it may still be at it. So do those of a bridge that was killed.
	UnsureFor = 10 * time.Second
)

// writes are those under way, by entity.
type writes struct {
	mu    sync.Mutex
	count map[string]int
	// ended is closed, and made anew, when a write ends that was the last one
	// of its entity.
	ended chan struct{}
}

func newWrites() *writes { return &writes{count: map[string]int{}, ended: make(chan struct{})} }

func (w *writes) begin(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count[id]++
}

func (w *writes) end(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count[id]--; w.count[id] > 0 {
		return
	}
	delete(w.count, id)
	close(w.ended)
	w.ended = make(chan struct{})
}

// none waits until none is under way to an entity.
func (w *writes) none(ctx context.Context, id string) error {
	for {
		w.mu.Lock()
		n, ended := w.count[id], w.ended
		w.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return fmt.Errorf("%d writes to %q are under way", n, id)
		}
	}
}

// Write notes that a write to an entity begins; ok is false where it must not, as
// the entity is handed over just now. It is noted before it is looked for a block,
// and Settle sees a block before it looks for writes: so one of the two sees the
// other. Leave ends it; sure is false where the backend may still be at it.
func (k *Keeper) Write(id string) (leave func(sure bool), ok bool) {
	k.writes.begin(id)
	if f := k.following.Load(); f != nil && f.Index().Block(id) != "" {
		k.writes.end(id)
		return nil, false
	}
	return func(sure bool) {
		if sure {
			k.writes.end(id)
			return
		}
		time.AfterFunc(UnsureFor, func() { k.writes.end(id) })
	}, true
}

var errNoPlan = errors.New("no plan's owners are followed")

// Settle returns when the table was read up to a revision, and no write to an
// entity is under way.
func (k *Keeper) Settle(ctx context.Context, id string, revision int64) error {
	f := k.following.Load()
	if f == nil {
		return errNoPlan
	}
	if err := f.CatchUp(ctx, revision); err != nil {
		return err
	}
	return k.writes.none(ctx, id)
}

// block is one that was seen, and since when.
type block struct {
	token string
	since time.Time
}

// expire lifts blocks that last for too long, until the context ends. While the
// store is down they stay: nobody may write who does not know the owner.
func (k *Keeper) expire(ctx context.Context) {
	seen := map[string]block{}
	tick := time.NewTicker(blockLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if f := k.following.Load(); f != nil {
				seen = k.lift(ctx, f, seen)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (k *Keeper) lift(ctx context.Context, f *following, seen map[string]block) map[string]block {
	now := k.o.Now()
	next := map[string]block{}
	for id, token := range f.Index().Blocks() {
		b, ok := seen[id]
		if !ok || b.token != token {
			b = block{token: token, since: now}
		}
		next[id] = b
		if now.Sub(b.since) < k.o.Lease {
			continue
		}
		if err := k.o.Store.Unblock(ctx, f.key, id, token); err != nil {
			k.o.Log.Warn("a block that lasts for too long could not be lifted", "id", id, "error", err.Error())
			continue
		}
		k.o.Log.Warn("a hand-over took too long: writes to the entity go to its owner again", "id", id, "plan", f.key.String())
		k.metrics.broken.Inc()
	}
	return next
}
