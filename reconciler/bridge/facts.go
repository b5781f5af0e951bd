package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render/bridge"
)

var _ reconciler.Teller = (*Gateway)(nil)

// clientsWindow is for how long a bridge must have counted before it can tell who
// did not call.
const clientsWindow = time.Hour

// Tell sums up what all replicas tell. A client that calls through several counts
// for each.
func (g *Gateway) Tell(ctx context.Context, p *plan.Plan, now time.Time) gates.Bridges {
	urls, err := g.list(ctx)
	if err != nil {
		return gates.NoBridges(err.Error())
	}
	facts, failed := make([]bridge.Facts, len(urls)), make([]error, len(urls))
	var wg sync.WaitGroup
	for i, u := range urls {
		wg.Go(func() { failed[i] = g.askJSON(ctx, u, bridge.FactsPath(p.Metadata.Name), &facts[i]) })
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		return gates.NoBridges(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	var out gates.Bridges
	out.Clients, out.NoClients = recentClients(urls, facts, now)
	out.Shadow, out.NoShadow = comparisons(urls, facts)
	return out
}

var _ reconciler.Owning = (*Gateway)(nil)

// ModernOwns implements reconciler.Owning: one bridge that knows of any is enough,
// and all must say that there is none.
func (g *Gateway) ModernOwns(ctx context.Context, p *plan.Plan) (bool, error) {
	urls, err := g.list(ctx)
	if err != nil {
		return false, err
	}
	facts, failed := make([]bridge.Facts, len(urls)), make([]error, len(urls))
	var wg sync.WaitGroup
	for i, u := range urls {
		wg.Go(func() {
			if failed[i] = g.askJSON(ctx, u, bridge.FactsPath(p.Metadata.Name), &facts[i]); failed[i] == nil && facts[i].ModernOwns == nil {
				failed[i] = fmt.Errorf("%s does not know the owners yet", u)
			}
		})
	}
	wg.Wait()
	for _, f := range facts {
		if f.ModernOwns != nil && *f.ModernOwns {
			return true, nil
		}
	}
	return false, errors.Join(failed...)
}

func recentClients(urls []string, facts []bridge.Facts, now time.Time) (*gates.Clients, string) {
	out := &gates.Clients{}
	for i, f := range facts {
		switch {
		case f.Clients == nil:
			return nil, urls[i] + " counts no clients: --clients-by is none"
		case now.Sub(f.Clients.Since) < clientsWindow:
			return nil, urls[i] + " has counted clients for less than an hour"
		}
		out.Legacy += f.Clients.Legacy
		out.Modern += f.Clients.Modern
	}
	return out, ""
}

func comparisons(urls []string, facts []bridge.Facts) (*gates.Shadow, string) {
	var sum bridge.ShadowCounts
	for i, f := range facts {
		if f.Shadow == nil {
			return nil, urls[i] + " compares nothing at this stop: no route has mirror.compare"
		}
		sum.Add(*f.Shadow)
	}
	if sum.Compared() == 0 || sum.Eligible == 0 {
		return nil, "nothing was compared yet"
	}
	return &gates.Shadow{MatchRate: sum.MatchRate(), Coverage: sum.Coverage(), Comparisons: sum.Compared()}, ""
}
