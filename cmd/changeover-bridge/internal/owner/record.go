package owner

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

// Bounds of recording.
const (
	// storeWait is how long a birth waits for the store before the spool alone
	// counts. A store that is known to be down is not waited for.
	storeWait = 2 * time.Second
	// recordWait is how long a birth waits for anything.
	recordWait = 5 * time.Second
	// atOnce is how many births are written together.
	atOnce = 500
	// maxPending is how many births may wait for the store. With more, nothing
	// is created on modern.
	maxPending = 100_000
	// storeRetry is how long a store that failed is left alone.
	storeRetry = 500 * time.Millisecond
)

// birth is an entity on its way to the store.
type birth struct {
	entry
	from *file // of a process that is gone; nil: of this one
	// Each gets one value, or is closed.
	spooled, stored chan error
}

// file is a file that was left behind, with how many of its births the store does
// not have yet.
type file struct {
	left
	open int
}

// recorder makes births durable.
type recorder struct {
	store ownership.Store
	log   *slog.Logger
	now   func() time.Time

	toSpool chan *birth
	spool   *spool

	mu      sync.Mutex
	wake    chan struct{} // there is something pending
	pending []*birth      // not in the store yet, oldest first
	down    string        // why the store cannot be written; empty while it can
	broken  error         // of the last birth that was not kept at all
}

func newRecorder(store ownership.Store, s *spool, log *slog.Logger, now func() time.Time) *recorder {
	return &recorder{store: store, spool: s, log: log, now: now, toSpool: make(chan *birth, atOnce), wake: make(chan struct{}, 1)}
}

// run writes until the context ends. What is pending then stays in the spool.
func (r *recorder) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Add(2)
	go func() { defer wg.Done(); r.spoolAll(ctx) }()
	go func() { defer wg.Done(); r.storeAll(ctx) }()
	wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.spool.close(len(r.pending) == 0); err != nil {
		r.log.Warn("the spool of births was not closed", "error", err.Error())
	}
}

// adopt takes up what processes that are gone have not told the store.
func (r *recorder) adopt() {
	found, err := r.spool.adopt()
	if err != nil {
		r.log.Error("births may wait in a file that cannot be read", "error", err.Error())
	}
	for _, l := range found {
		if l.bad > 0 {
			r.log.Warn("a spool of births has lines that were cut off: their clients got no answer", "file", l.file.Name(), "lines", l.bad)
		}
		f := &file{left: l, open: len(l.entries)}
		if f.open == 0 {
			r.finish(f)
			continue
		}
		r.log.Info("births of an earlier process go to the store", "file", l.file.Name(), "births", f.open)
		for _, e := range l.entries {
			r.enqueue(&birth{entry: e, from: f})
		}
	}
}

func (r *recorder) finish(f *file) {
	if err := f.done(); err != nil {
		r.log.Warn("a spool of births was not removed: it is read again at the next start", "error", err.Error())
	}
}

func (r *recorder) enqueue(b *birth) {
	r.mu.Lock()
	r.pending = append(r.pending, b)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// ids are those of a plan that are pending.
func (r *recorder) ids(key plan.Key) (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.pending {
		if b.Plan == key {
			out = append(out, b.ID)
		}
	}
	return out
}

// state is how many births wait for the store, and why.
func (r *recorder) state() (pending int, down string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pending), r.down
}

// What became of a birth.
const (
	resultStored  = "stored"
	resultSpooled = "spooled"
	resultFailed  = "failed"
)

// record returns when the birth survives a crash of this process and machine.
func (r *recorder) record(ctx context.Context, key plan.Key, id string) (result string, err error) {
	ctx, cancel := context.WithTimeout(ctx, recordWait)
	defer cancel()
	b := &birth{entry: entry{Plan: key, ID: id, At: r.now()}, spooled: make(chan error, 1), stored: make(chan error, 1)}
	r.enqueue(b)
	select {
	case r.toSpool <- b:
	case <-ctx.Done():
	}
	result, err = await(ctx, b)
	r.mu.Lock()
	r.broken = err
	r.mu.Unlock()
	return result, err
}

func await(ctx context.Context, b *birth) (result string, err error) {
	patience := time.NewTimer(storeWait)
	defer patience.Stop()
	var storeErr error
	select {
	case storeErr = <-b.stored:
		if storeErr == nil {
			return resultStored, nil
		}
	case <-patience.C:
		storeErr = errors.New("the ownership store takes too long")
	case <-ctx.Done():
		storeErr = ctx.Err()
	}
	select {
	case err = <-b.spooled:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return resultFailed, errors.Join(storeErr, err)
	}
	return resultSpooled, nil
}

// ready says why a birth could not be recorded now; nil: it could.
func (r *recorder) ready(ctx context.Context) error {
	r.mu.Lock()
	broken, down, pending := r.broken, r.down, len(r.pending)
	r.mu.Unlock()
	switch {
	case pending >= maxPending:
		return errors.New("too many births wait for the ownership store")
	case broken == nil || down == "":
		return nil
	}
	// The last one was not kept: try without one, before modern is asked.
	probe := &birth{spooled: make(chan error, 1)}
	select {
	case r.toSpool <- probe:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-probe.spooled:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// spoolAll writes births to the disk, those that come together by one sync.
func (r *recorder) spoolAll(ctx context.Context) {
	for {
		var batch []*birth
		select {
		case b := <-r.toSpool:
			batch = append(batch, b)
		case <-ctx.Done():
			return
		}
		for more := true; more && len(batch) < atOnce; {
			select {
			case b := <-r.toSpool:
				batch = append(batch, b)
			default:
				more = false
			}
		}
		var entries []entry
		for _, b := range batch {
			if b.ID != "" { // else it only asks whether the disk takes any
				entries = append(entries, b.entry)
			}
		}
		err := r.spool.append(entries)
		for _, b := range batch {
			b.spooled <- err
		}
		if waiting, _ := r.state(); waiting == 0 {
			r.spool.empty()
		}
	}
}

// storeAll hands births to the store, as long as it takes.
func (r *recorder) storeAll(ctx context.Context) {
	for {
		batch := r.next()
		if len(batch) == 0 {
			select {
			case <-r.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		entities := make([]ownership.Entity, len(batch))
		for i, b := range batch {
			entities[i] = ownership.Entity{ID: b.ID, Owner: plan.Modern, Origin: ownership.BornModern, At: b.At}
		}
		if r.settle(batch, r.store.Add(ctx, batch[0].Plan, entities)) {
			continue
		}
		select {
		case <-time.After(storeRetry):
		case <-ctx.Done():
			return
		}
	}
}

// next are the oldest births of one plan. They stay pending.
func (r *recorder) next() (batch []*birth) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.pending {
		if len(batch) == atOnce || b.Plan != r.pending[0].Plan {
			break
		}
		batch = append(batch, b)
	}
	return batch
}

// settle notes what came of a batch, and reports whether the store took it.
func (r *recorder) settle(batch []*birth, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if r.down == "" {
			r.log.Error("births are kept on disk: the ownership store cannot be written", "error", err.Error())
		}
		r.down = err.Error()
		// Also those that came meanwhile wait for nothing.
		for _, b := range r.pending {
			b.tell(err)
		}
		return false
	}
	if r.down != "" {
		r.log.Info("the ownership store takes births again", "pending", len(r.pending))
		r.down = ""
	}
	r.pending = append([]*birth(nil), r.pending[len(batch):]...)
	for _, b := range batch {
		b.tell(nil)
		if b.from != nil {
			if b.from.open--; b.from.open == 0 {
				r.finish(b.from)
			}
		}
	}
	return true
}

// tell tells whoever waits for the store, once.
func (b *birth) tell(err error) {
	if b.stored == nil {
		return
	}
	select {
	case b.stored <- err:
	default: // it was told before
	}
}
