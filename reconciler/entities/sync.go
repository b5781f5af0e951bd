package entities

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/inventory"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

// SyncCounts are what one round of the sync did.
type SyncCounts struct {
	// Written to modern; Failed could not be, and are tried in the next round.
	Written, Failed int64
	// Skipped belong to modern, are being handed over, or could not be read.
	Skipped int64
	// Error of the first that failed.
	Error string
}

// Syncer writes legacy's live entities to modern, so that what modern knows of
// them is current when they are handed over. What modern owns is never written, and
// legacy is only read.
type Syncer struct {
	o     Options
	locks *Locks
	limit *rate.Limiter

	mu     sync.Mutex
	counts SyncCounts
	owners *ownership.Index
	after  int64
}

// NewSyncer returns a Syncer for a plan with `sync`.
func NewSyncer(o Options, locks *Locks) *Syncer {
	return &Syncer{o: o, locks: locks, limit: rate.NewLimiter(rate.Limit(o.Entities.Rate), 1)}
}

// Round syncs all entities once. An error: the round broke off.
func (s *Syncer) Round(ctx context.Context) (SyncCounts, error) {
	s.counts, s.owners, s.after = SyncCounts{}, ownership.NewIndex(), 0
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	items := make(chan inventory.Item)
	var workers sync.WaitGroup
	for range s.o.Entities.Concurrency {
		workers.Go(func() {
			for it := range items {
				if err := s.one(ctx, it); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := s.o.Legacy.List(ctx, func(it inventory.Item) error {
		if it.Bad != "" || !it.Live {
			s.count(&s.counts.Skipped)
			return nil
		}
		select {
		case items <- it:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(items)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = cause
	}
	if err != nil {
		return s.counts, fmt.Errorf("sync entities: %w", err)
	}
	return s.counts, nil
}

// one writes an entity that legacy owns. While it does so, nobody hands it over.
func (s *Syncer) one(ctx context.Context, it inventory.Item) error {
	if err := s.limit.Wait(ctx); err != nil {
		return err
	}
	unlock, ok := s.locks.TryLock(s.o.Plan, it.ID)
	if !ok {
		s.count(&s.counts.Skipped)
		return nil
	}
	defer unlock()
	owner, err := s.owner(ctx, it.ID)
	switch {
	case err != nil:
		return err
	case owner == plan.Modern:
		s.count(&s.counts.Skipped)
		return nil
	}
	_, err = s.o.Caller.Do(ctx, s.o.Program.Upsert, it.ID, it.Value)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.counts.Failed++; s.counts.Failed == 1 {
			s.counts.Error = fmt.Sprintf("entity %q: %v", it.ID, err)
		}
		return nil
	}
	s.count(&s.counts.Written)
	return nil
}

// owner is who owns an entity now, as the table has it: what changed meanwhile is
// read first.
func (s *Syncer) owner(ctx context.Context, id string) (plan.Side, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		p, err := s.o.Store.Changes(ctx, s.o.Plan, s.after, tablePage)
		if err != nil {
			return "", err
		}
		if p.Head < s.after {
			return "", errors.New("the ownership table was restored meanwhile")
		}
		for _, e := range p.Entities {
			s.owners.Set(e.ID, e.Owner)
			s.after = e.Revision
		}
		if len(p.Entities) < tablePage {
			owner, _ := s.owners.Owner(id)
			return owner, nil
		}
	}
}

func (s *Syncer) count(n *int64) {
	s.mu.Lock()
	*n++
	s.mu.Unlock()
}

// pause waits; false: the context ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
