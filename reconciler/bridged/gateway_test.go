package bridged_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/bridged"
	"github.com/changeover-dev/changeover/reconciler/nginx"
	"github.com/changeover-dev/changeover/reconciler/split"
)

// calls are those of both parts, in order.
type calls struct {
	mu  sync.Mutex
	all []string
}

func (c *calls) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, fmt.Sprintf(format, args...))
}

// part is one of the two.
type part struct {
	name  string
	calls *calls
	fails error
	wait  <-chan struct{} // before Apply is done; nil: nothing
	state reconciler.TrafficState
	blind error
}

func (p *part) Apply(ctx context.Context, _ *plan.Plan, m reconciler.Mark) error {
	if p.wait != nil {
		select {
		case <-p.wait:
		case <-ctx.Done():
		}
	}
	p.calls.add("%s %s", p.name, m.Stop)
	return p.fails
}

func (p *part) Observe(context.Context, *plan.Plan, plan.Position) (reconciler.TrafficState, error) {
	return p.state, p.blind
}

func (p *part) Replace(ctx context.Context, q *plan.Plan, m reconciler.Mark) (func(context.Context) string, error) {
	if err := p.Apply(ctx, q, m); err != nil {
		return nil, err
	}
	return func(context.Context) string { p.calls.add("%s back", p.name); return "it is back" }, nil
}

func (p *part) Split(context.Context, *plan.Plan, plan.Position) ([]split.Reading, error) {
	return []split.Reading{{Source: p.name}}, nil
}

func (p *part) ModernOwns(context.Context, *plan.Plan) (bool, error) { return true, errors.New(p.name) }

func (p *part) Tell(context.Context, *plan.Plan, time.Time) gates.Bridges {
	return gates.Bridges{Clients: &gates.Clients{Legacy: 1}, Shadow: &gates.Shadow{Comparisons: 7}}
}

func at(percent plan.Percent) plan.Position { return plan.Position{Phase: "gradual", Percent: percent} }

func newPair() (front, behind *part, c *calls, g *bridged.Gateway, p *plan.Plan) {
	c = &calls{}
	front, behind = &part{name: "nginx", calls: c}, &part{name: "bridge", calls: c}
	p = &plan.Plan{Spec: plan.Spec{Phases: []plan.Phase{{Name: "gradual", Percents: []plan.Percent{10, 25}}}}}
	return front, behind, c, bridged.New("nginx", front, behind), p
}

func (c *calls) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(c.all, want) {
		t.Errorf("did %q, want %q", c.all, want)
	}
}

func TestForwardTheBridgeIsFirst(t *testing.T) {
	_, _, c, g, p := newPair()
	if err := g.Apply(t.Context(), p, reconciler.Mark{Stop: at(25)}); err != nil {
		t.Fatal(err)
	}
	c.want(t, "bridge gradual@25", "nginx gradual@25")
}

func TestForwardNginxIsNotTouchedWithoutItsBridge(t *testing.T) {
	_, behind, c, g, p := newPair()
	behind.fails = errors.New("refused")
	if err := g.Apply(t.Context(), p, reconciler.Mark{Stop: at(25)}); !errors.Is(err, behind.fails) {
		t.Errorf("got %v", err)
	}
	c.want(t, "bridge gradual@25")
}

func TestForwardTheBridgeGoesBackWhereNginxDoesNotFollow(t *testing.T) {
	front, _, c, g, p := newPair()
	front.fails = errors.New("nginx: no")
	err := g.Apply(t.Context(), p, reconciler.Mark{Stop: at(25)})
	if !errors.Is(err, front.fails) || !strings.Contains(err.Error(), "behind it: it is back") {
		t.Errorf("got %v", err)
	}
	c.want(t, "bridge gradual@25", "nginx gradual@25", "bridge back")
}

func TestTheBridgeStaysForAnNginxThatStartsWithTheNewConfig(t *testing.T) {
	front, _, c, g, p := newPair()
	front.fails = fmt.Errorf("apply: %w", nginx.ErrNotRunning)
	if err := g.Apply(t.Context(), p, reconciler.Mark{Stop: at(25)}); !errors.Is(err, nginx.ErrNotRunning) {
		t.Errorf("got %v", err)
	}
	c.want(t, "bridge gradual@25", "nginx gradual@25")
}

// TestBackNeitherWaitsForTheOther: each of the two ends only when the other has
// been told.
func TestBackNeitherWaitsForTheOther(t *testing.T) {
	for _, slow := range []string{"nginx", "bridge"} {
		front, behind, c, g, p := newPair()
		late, soon := behind, front
		if slow == "nginx" {
			late, soon = front, behind
		}
		done := make(chan struct{})
		late.wait = done
		late.fails = errors.New("silent")
		finished := make(chan error, 1)
		go func() { finished <- g.Retreat(t.Context(), p, reconciler.Mark{Stop: at(10)}) }()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			c.mu.Lock()
			n := len(c.all)
			c.mu.Unlock()
			if n == 1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s waits for %s", soon.name, late.name)
			}
		}
		close(done)
		if err := <-finished; !errors.Is(err, late.fails) || !strings.Contains(err.Error(), late.name) {
			t.Errorf("got %v, want that the %s did not", err, late.name)
		}
		c.want(t, soon.name+" gradual@10", late.name+" gradual@10")
	}
}

func TestBothAreObserved(t *testing.T) {
	old, young := &reconciler.Mark{Stop: at(10)}, &reconciler.Mark{Stop: at(25)}
	lost := errors.New("lost")
	for name, c := range map[string]struct {
		front, behind reconciler.TrafficState
		blind         error
		serving       bool
		mark          *reconciler.Mark
		message       string
	}{
		"both serve":          {reconciler.TrafficState{Serving: true, Mark: young}, reconciler.TrafficState{Serving: true, Mark: young}, nil, true, young, ""},
		"the bridge does not": {reconciler.TrafficState{Serving: true, Mark: young}, reconciler.TrafficState{Mark: old, Message: "old"}, nil, false, old, "the bridge: old"},
		"nginx does not":      {reconciler.TrafficState{Mark: old, Message: "slow"}, reconciler.TrafficState{Serving: true, Mark: young}, nil, false, old, "slow"},
		"neither":             {reconciler.TrafficState{Message: "slow"}, reconciler.TrafficState{Mark: young, Message: "old"}, nil, false, young, "slow; the bridge: old"},
		"nobody knows":        {reconciler.TrafficState{Serving: true, Mark: young}, reconciler.TrafficState{}, lost, false, nil, ""},
	} {
		front, behind, _, g, p := newPair()
		front.state, behind.state, behind.blind = c.front, c.behind, c.blind
		st, err := g.Observe(t.Context(), p, at(25))
		if !errors.Is(err, c.blind) || st.Serving != c.serving || st.Mark != c.mark || st.Message != c.message {
			t.Errorf("%s: got %+v, %v", name, st, err)
		}
	}
}

func TestTheBridgeTellsWhatItKnows(t *testing.T) {
	_, _, _, g, p := newPair()
	if rs, err := g.Split(t.Context(), p, at(10)); err != nil || len(rs) != 1 || rs[0].Source != "bridge" {
		t.Errorf("got %v, %v", rs, err)
	}
	if owns, err := g.ModernOwns(t.Context(), p); !owns || err == nil || err.Error() != "bridge" {
		t.Errorf("got %v, %v", owns, err)
	}
	told := g.Tell(t.Context(), p, time.Now())
	if told.Clients != nil || !strings.Contains(told.NoClients, "nginx") || told.Shadow == nil {
		t.Errorf("got %+v", told)
	}
}
