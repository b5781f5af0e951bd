package bridged

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/nginx"
	"github.com/changeover-dev/changeover/reconciler/split"
)

// Bridge is what stands behind.
type Bridge interface {
	reconciler.Traffic
	reconciler.Splitter
	reconciler.Teller
	reconciler.Owning
	// Replace is Apply; back puts the config before in place again, and says what
	// it did.
	Replace(ctx context.Context, p *plan.Plan, m reconciler.Mark) (back func(context.Context) string, err error)
}

// Gateway is both. Its methods may be called from any goroutine.
type Gateway struct {
	name   string
	front  reconciler.Traffic
	bridge Bridge
}

var (
	_ reconciler.Traffic   = (*Gateway)(nil)
	_ reconciler.Retreater = (*Gateway)(nil)
	_ reconciler.Splitter  = (*Gateway)(nil)
	_ reconciler.Teller    = (*Gateway)(nil)
	_ reconciler.Owning    = (*Gateway)(nil)
)

// New joins a gateway and the bridge behind it. Name is the gateway's, in what
// people read.
func New(name string, front reconciler.Traffic, b Bridge) *Gateway {
	return &Gateway{name: name, front: front, bridge: b}
}

// Apply implements reconciler.Traffic: the bridge first.
func (g *Gateway) Apply(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	back, err := g.bridge.Replace(ctx, p, m)
	if err != nil {
		return err
	}
	switch err := g.front.Apply(ctx, p, m); {
	case err == nil:
		return nil
	case errors.Is(err, nginx.ErrNotRunning):
		return err // it starts with its new config, and needs the bridge's
	default:
		return fmt.Errorf("%w; behind it: %s", err, back(ctx))
	}
}

// Retreat implements reconciler.Retreater: both at once.
func (g *Gateway) Retreat(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	var front, behind error
	var wg sync.WaitGroup
	wg.Go(func() { front = g.front.Apply(ctx, p, m) })
	wg.Go(func() { behind = g.bridge.Apply(ctx, p, m) })
	wg.Wait()
	switch {
	case front == nil && behind == nil:
		return nil
	case front == nil:
		return fmt.Errorf("%s serves it, the bridge behind it does not: %w", g.name, behind)
	case behind == nil:
		return fmt.Errorf("the bridge serves it, %s before it does not: %w", g.name, front)
	}
	return fmt.Errorf("%w; %w", front, behind)
}

// Observe implements reconciler.Traffic. Of two marks it returns the one whose
// stop is the earlier: what was not entered everywhere was not entered.
func (g *Gateway) Observe(ctx context.Context, p *plan.Plan, stop plan.Position) (reconciler.TrafficState, error) {
	var front, behind reconciler.TrafficState
	var failed, silent error
	var wg sync.WaitGroup
	wg.Go(func() { front, failed = g.front.Observe(ctx, p, stop) })
	wg.Go(func() { behind, silent = g.bridge.Observe(ctx, p, stop) })
	wg.Wait()
	if err := errors.Join(failed, silent); err != nil {
		return reconciler.TrafficState{}, err // no mark alone: that of the other may be the earlier
	}
	out := reconciler.TrafficState{Mark: earlier(p, front.Mark, behind.Mark), Serving: front.Serving && behind.Serving, Hash: front.Hash, Message: front.Message}
	if behind.Hash != "" {
		out.Hash += "+" + behind.Hash
	}
	if behind.Message != "" {
		if out.Message != "" {
			out.Message += "; "
		}
		out.Message += "the bridge: " + behind.Message
	}
	return out, nil
}

// earlier is the mark whose stop comes first; the front's where that cannot be
// told, and the other where one is missing.
func earlier(p *plan.Plan, front, behind *reconciler.Mark) *reconciler.Mark {
	if front == nil || behind == nil {
		if front == nil {
			return behind
		}
		return front
	}
	it := p.Itinerary()
	if i, j := it.Index(front.Stop), it.Index(behind.Stop); i >= 0 && j >= 0 && j < i {
		return behind
	}
	return front
}

// Split implements reconciler.Splitter: nothing but the bridge splits.
func (g *Gateway) Split(ctx context.Context, p *plan.Plan, stop plan.Position) ([]split.Reading, error) {
	return g.bridge.Split(ctx, p, stop)
}

// Tell implements reconciler.Teller. All comparisons are the bridge's, of the
// clients it knows a part.
func (g *Gateway) Tell(ctx context.Context, p *plan.Plan, now time.Time) gates.Bridges {
	out := g.bridge.Tell(ctx, p, now)
	out.Clients, out.NoClients = nil, g.name+" serves a part of the requests past the bridge and counts nobody"
	return out
}

// ModernOwns implements reconciler.Owning.
func (g *Gateway) ModernOwns(ctx context.Context, p *plan.Plan) (bool, error) {
	return g.bridge.ModernOwns(ctx, p)
}
