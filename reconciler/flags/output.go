package flags

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render/flagd"
)

// Store keeps the definitions of each plan. Its methods may be called from any
// goroutine, for one plan by one at a time.
type Store interface {
	// Read returns nil where there are none of the plan. It fails where what is
	// there is not Changeover's.
	Read(ctx context.Context, key plan.Key) ([]byte, error)
	// Write puts whole definitions in place: whoever reads, also after a crash,
	// sees the old ones or the new ones.
	Write(ctx context.Context, s *flagd.Set) error
}

// Output implements reconciler.Flags. Its methods may be called from any goroutine.
type Output struct {
	store Store
	every time.Duration

	mu    sync.Mutex
	plans map[plan.Key]*state
}

// state is what is known of a plan's flags.
type state struct {
	set *flagd.Set
	// read is when the store was last seen to have the set.
	read time.Time
}

var _ reconciler.Flags = (*Output)(nil)

// New makes an Output that compares what it applied with the store whenever every
// has passed.
func New(store Store, every time.Duration) *Output {
	return &Output{store: store, every: every, plans: map[plan.Key]*state{}}
}

// Apply implements reconciler.Flags.
func (o *Output) Apply(ctx context.Context, p *plan.Plan, stop plan.Position, now time.Time) error {
	s, err := flagd.Compile(p, stop, now)
	if err != nil {
		return err
	}
	key := p.Key()
	o.mu.Lock()
	was := o.plans[key]
	o.mu.Unlock()
	// Who never had flags has nothing to be compared: nobody else writes there.
	if was != nil && (was.set.Hash == s.Hash && now.Sub(was.read) < o.every || len(s.Flags)+len(was.set.Flags) == 0) {
		return nil
	}
	if err := o.put(ctx, s); err != nil {
		return fmt.Errorf("apply the flags of %s: %w", stop, err)
	}
	o.mu.Lock()
	o.plans[key] = &state{set: s, read: now}
	o.mu.Unlock()
	return nil
}

// put writes definitions where they differ. Those of a plan without flags are only
// written where there are some.
func (o *Output) put(ctx context.Context, s *flagd.Set) error {
	have, err := o.store.Read(ctx, s.Plan)
	if err != nil || have == nil && len(s.Flags) == 0 || bytes.Equal(have, s.Definitions()) {
		return err
	}
	return o.store.Write(ctx, s)
}

// Of are the flags of a plan as they were last applied; nil where they were not, or
// the plan has none.
func (o *Output) Of(key plan.Key) *flagd.Set {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.plans[key]; s != nil && len(s.set.Flags) > 0 {
		return s.set
	}
	return nil
}

// All are the flags of all plans that have some, sorted by plan.
func (o *Output) All() []*flagd.Set {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []*flagd.Set
	for _, s := range slices.Collect(maps.Values(o.plans)) {
		if len(s.set.Flags) > 0 {
			all = append(all, s.set)
		}
	}
	slices.SortFunc(all, func(a, b *flagd.Set) int { return strings.Compare(a.Plan.String(), b.Plan.String()) })
	return all
}
