package reconciler_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/test/fakes"
)

// comparing is a gateway that knows what comparing has come to.
type comparing struct {
	*fakes.Traffic
	mu  sync.Mutex
	why string // it knows of nothing
}

func (c *comparing) Tell(context.Context, *plan.Plan, time.Time) gates.Bridges {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != "" {
		return gates.NoBridges(c.why)
	}
	return gates.Bridges{Shadow: &gates.Shadow{MatchRate: 0.75, Coverage: 0.5, Comparisons: 400}}
}

func TestTheStatusTellsWhatComparingHasComeTo(t *testing.T) {
	g := newRig(t)
	c := &comparing{Traffic: g.traffic}
	g.wrap = func(o *reconciler.Options) { o.Bridge = c }
	g.write("shop.yaml", strings.NewReplacer("{nginx: {}}", "{bridge: {}}", "routes: [{to: legacy}]",
		"routes: [{to: legacy, match: {methods: [GET]}, mirror: {compare: {}}}, {to: legacy}]").Replace(shopPlan))
	g.commit("shop: compare")
	g.start()
	s := g.await("a report", func(s reconciler.Status) bool { return s.Shadow != nil })
	if want := (reconciler.ShadowReport{MatchRate: 0.75, Coverage: 0.5, Comparisons: 400}); *s.Shadow != want {
		t.Errorf("got %+v", *s.Shadow)
	}
	c.mu.Lock()
	c.why = "nobody answers"
	c.mu.Unlock()
	g.await("that there is none", func(s reconciler.Status) bool { return s.Shadow.Unknown == "nobody answers" })
	g.travel("gradual@10") // nothing is compared there
	g.await("no report", func(s reconciler.Status) bool { return s.Effective.Phase == "gradual" && s.Shadow == nil })
}

// slowly is a gateway that a move back waits for.
type slowly struct {
	*fakes.Traffic
	back chan struct{}
}

func (c *slowly) Apply(ctx context.Context, p *plan.Plan, m reconciler.Mark) error {
	if m.Stop.Percent == 10 && len(m.Holds) > 0 {
		select {
		case <-c.back:
		case <-ctx.Done():
		}
	}
	return c.Traffic.Apply(ctx, p, m)
}

// Who looks while the traffic goes back, which may take long, sees that it does,
// and whoever is told of statuses is told too.
func TestAMoveIsShownWhileItIsMade(t *testing.T) {
	g := newRig(t)
	c := &slowly{Traffic: g.traffic, back: make(chan struct{})}
	var mu sync.Mutex
	told := map[reconciler.State]bool{}
	g.wrap = func(o *reconciler.Options) {
		o.NGINX = c
		o.Shown = func(s reconciler.Status) {
			mu.Lock()
			defer mu.Unlock()
			told[s.State] = true
		}
	}
	g.start()
	g.travel("gradual@10", "gradual@25")
	g.sampler.Set("errors", 0.2)
	s := g.await("the rollback", func(s reconciler.Status) bool { return s.State == reconciler.StateRollingBack })
	if s.Move == nil || s.Move.To.Percent != 10 || s.Decision.Verb != decide.Rollback || s.Effective.Percent != 25 || len(s.Changes) == 0 {
		t.Errorf("got %+v", s)
	}
	close(c.back)
	g.await("its end", func(s reconciler.Status) bool { return s.Effective.Percent == 10 && s.Move == nil })
	mu.Lock()
	defer mu.Unlock()
	if !told[reconciler.StateRollingBack] {
		t.Errorf("told of %v only", told)
	}
}
