package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// plansNow is what the servers ask: the loop, once it was made, and before that
// nothing but why there is none.
type plansNow struct {
	loop atomic.Pointer[reconciler.Reconciler]
	// leader names the daemon that works while this one stands by; none where
	// there is no election.
	leader atomic.Pointer[func() string]
}

// stand notes that this daemon stands by until it leads.
func (p *plansNow) stand(leader func() string) { p.leader.Store(&leader) }

var _ web.Plans = (*plansNow)(nil)

func (p *plansNow) Statuses() []reconciler.Status {
	if l := p.loop.Load(); l != nil {
		return l.Statuses()
	}
	return nil
}

func (p *plansNow) Status(key plan.Key) (reconciler.Status, bool) {
	if l := p.loop.Load(); l != nil {
		return l.Status(key)
	}
	return reconciler.Status{}, false
}

func (p *plansNow) History(ctx context.Context, key plan.Key, n int) ([]reconciler.Entry, error) {
	if l := p.loop.Load(); l != nil {
		return l.History(ctx, key, n)
	}
	return nil, p.why()
}

func (p *plansNow) RequestRollback(ctx context.Context, key plan.Key, to plan.Position, reason string) (reconciler.Status, error) {
	if l := p.loop.Load(); l != nil {
		return l.RequestRollback(ctx, key, to, reason)
	}
	return reconciler.Status{}, p.why()
}

func (p *plansNow) Ready() error {
	if l := p.loop.Load(); l != nil {
		return l.Ready()
	}
	return p.why()
}

// why there is no loop.
func (p *plansNow) why() error {
	leader := p.leader.Load()
	if leader == nil {
		return errors.New("the daemon is starting")
	}
	if who := (*leader)(); who != "" {
		return fmt.Errorf("%w: %s leads; ask that one", reconciler.ErrStandby, who)
	}
	return fmt.Errorf("%w: the lease has no holder yet", reconciler.ErrStandby)
}
