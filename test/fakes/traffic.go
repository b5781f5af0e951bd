package fakes

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// Traffic is a reconciler.Traffic in memory: a gateway that serves at once what
// is applied. Its zero value serves nothing. It is safe for use by several
// goroutines.
type Traffic struct {
	mu     sync.Mutex
	served map[plan.Key]served
	log    []string
	fail   func(method string) error
}

type served struct {
	mark reconciler.Mark
	hash string
}

var _ reconciler.Traffic = (*Traffic)(nil)

// FailWith makes every later call ask f first, with the method's name.
func (t *Traffic) FailWith(f func(method string) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fail = f
}

// hashOf stands for a render: the stop and what is live of the plan.
func hashOf(p *plan.Plan, stop plan.Position) string {
	return stop.String() + " " + string(plan.LiveDigest(p))
}

// Apply implements reconciler.Traffic.
func (t *Traffic) Apply(_ context.Context, p *plan.Plan, m reconciler.Mark) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fail != nil {
		if err := t.fail("Apply"); err != nil {
			return err
		}
	}
	if p.Itinerary().Index(m.Stop) < 0 {
		return fmt.Errorf("render %s: stop %q is not on the itinerary", m.Key, m.Stop)
	}
	old, ok := t.served[m.Key]
	next := served{mark: m, hash: hashOf(p, m.Stop)}
	next.mark.Holds = slices.Clone(m.Holds)
	if ok && old.hash == next.hash && old.mark.Stop == m.Stop && old.mark.Since.Equal(m.Since) &&
		old.mark.Revision == m.Revision && slices.Equal(old.mark.Holds, m.Holds) {
		return nil
	}
	if t.served == nil {
		t.served = map[plan.Key]served{}
	}
	t.served[m.Key] = next
	if !ok || old.hash != next.hash {
		t.log = append(t.log, m.Stop.String())
	}
	return nil
}

// Observe implements reconciler.Traffic.
func (t *Traffic) Observe(_ context.Context, p *plan.Plan, stop plan.Position) (reconciler.TrafficState, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fail != nil {
		if err := t.fail("Observe"); err != nil {
			return reconciler.TrafficState{}, err
		}
	}
	s, ok := t.served[p.Key()]
	if !ok {
		return reconciler.TrafficState{Message: "nothing is served"}, nil
	}
	st := reconciler.TrafficState{Mark: &s.mark, Hash: s.hash, Serving: s.hash == hashOf(p, stop)}
	if !st.Serving {
		st.Message = fmt.Sprintf("%s is served", s.mark.Stop)
	}
	return st, nil
}

// Log lists the stops that were brought into force, oldest first.
func (t *Traffic) Log() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.log)
}

// Served is the mark in force for a plan; nil where there is none.
func (t *Traffic) Served(key plan.Key) *reconciler.Mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.served[key]
	if !ok {
		return nil
	}
	return &s.mark
}

// Lose forgets what is served for a plan, as an emptied folder would.
func (t *Traffic) Lose(key plan.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.served, key)
}
