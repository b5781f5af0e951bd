package reconciler_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/split"
	"github.com/changeover-dev/changeover/test/fakes"
)

// counting is a gateway that counts a hundred random requests more each time
// that it is asked.
type counting struct {
	*fakes.Traffic
	mu     sync.Mutex
	serves plan.Percent // what it does, whatever it was told; negative: as told
	stop   plan.Position
	since  time.Time
	n      int64
	modern int64
	err    error
	mute   bool
}

func (c *counting) Split(_ context.Context, _ *plan.Plan, stop plan.Position) ([]split.Reading, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if stop != c.stop {
		c.stop, c.since, c.n, c.modern = stop, c.since.Add(time.Second), 0, 0
	}
	serves := c.serves
	if serves < 0 {
		serves = stop.Percent
	}
	if c.mute {
		return nil, errors.New("nobody answers")
	}
	c.n += 100
	c.modern += int64(serves)
	r := split.Reading{Source: "counter", Route: "routes[0]", Percent: stop.Percent, Since: c.since}
	r.Random = split.Pair{Legacy: c.n - c.modern, Modern: c.modern}
	return []split.Reading{r}, c.err
}

func (c *counting) set(serves plan.Percent, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serves, c.err = serves, err
}

func (c *counting) silence(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mute = on
}

// splitPages is a Notifier that keeps what it was told about the split.
type splitPages struct {
	mu   sync.Mutex
	told []string
}

func (p *splitPages) Notify(_ context.Context, _ plan.Key, e reconciler.Entry, page bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Reason == decide.SplitMismatch || e.Reason == decide.SplitMatches {
		how := "notice "
		if page {
			how = "page "
		}
		p.told = append(p.told, how+string(e.Reason))
	}
}

func (p *splitPages) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.told, ", ")
}

// A gateway that says it serves a stop and does not: the plan is degraded, a
// person is told once, and nothing moves forward until it does.
func TestRequestsThatAreNotSplitAsDeclared(t *testing.T) {
	g := newRig(t)
	c, p, reg := &counting{Traffic: g.traffic, serves: -1}, &splitPages{}, prometheus.NewRegistry()
	g.wrap = func(o *reconciler.Options) { o.NGINX, o.Notifier, o.Registerer = c, p, reg }
	g.start()
	g.travel("gradual@25")
	measured := func(s reconciler.Status) bool {
		return s.Split != nil && s.Split.Requests.Total() > 0 && s.Observed.Split == ""
	}
	s := g.await("a split as declared", measured)
	if got := s.Split.String(); !strings.HasPrefix(got, "declared 25 %, observed 25 % of ") || s.State != reconciler.StateSteady {
		t.Errorf("%s: %s", s.State, got)
	}

	c.set(2, nil)
	s = g.await("a mismatch", func(s reconciler.Status) bool { return s.State == reconciler.StateDegraded })
	if !strings.Contains(s.Observed.Split, "which chance does not explain") || s.Split.Intervals < split.Told {
		t.Errorf("%+v, %+v", s.Observed, s.Split)
	}
	if gauge(t, reg, "changeover_split_mismatch") != 1 {
		t.Error("changeover_split_mismatch is not 1")
	}
	g.raise("gradual@50")
	g.await("held", func(s reconciler.Status) bool {
		return s.Decision.Verb == decide.Hold && s.Decision.Reason == decide.SplitMismatch && s.Declared.Percent == 50 && s.Effective.Percent == 25
	})
	if p.all() != "page SplitMismatch" {
		t.Errorf("told %q", p.all())
	}

	// That nobody can be asked refutes nothing: it stays held.
	c.silence(true)
	g.await("nobody answers", func(s reconciler.Status) bool { return s.Split != nil && s.Split.Unread != "" })
	at := time.Now()
	s = g.await("held on", func(s reconciler.Status) bool { return s.CheckedAt.Sub(at) > 300*time.Millisecond })
	if s.Decision.Reason != decide.SplitMismatch || s.Effective.Percent != 25 || p.all() != "page SplitMismatch" {
		t.Errorf("%s at %s; told %q", s.Decision.Reason, s.Effective, p.all())
	}
	c.silence(false)

	c.set(-1, nil)
	g.awaitSteady("gradual@50")
	if p.all() != "page SplitMismatch, notice SplitMatches" {
		t.Errorf("told %q", p.all())
	}

	// Who cannot be asked is named, and is no mismatch.
	c.set(-1, errors.New("replica 2 cannot be reached"))
	s = g.await("unread", func(s reconciler.Status) bool { return s.Split != nil && s.Split.Unread != "" })
	if !strings.Contains(s.Split.String(), "replica 2 cannot be reached") || s.State != reconciler.StateSteady {
		t.Errorf("%s: %s", s.State, s.Split)
	}
	// It keeps nothing from going back, where nothing is split.
	c.set(2, nil)
	g.await("a mismatch", func(s reconciler.Status) bool { return s.State == reconciler.StateDegraded })
	g.raise("setup")
	if s = g.awaitSteady("setup"); s.Split != nil {
		t.Errorf("at setup: %s", s.Split)
	}
}

// Without a gateway that counts, signals tell.
func TestSignalsTellHowRequestsAreSplit(t *testing.T) {
	g := newRig(t)
	text := strings.Replace(shopPlan, "    errors: {query: errors}", `    errors: {query: errors}
    toLegacy: {query: to_legacy, maxAge: 10ms}
    toModern: {query: to_modern, maxAge: 10ms}`, 1)
	text = strings.Replace(text, "  identity: {header: X-User}\n", "  observedSplit: {legacy: toLegacy, modern: toModern}\n", 1)
	g.write("shop.yaml", text)
	g.commit("observe the split")
	g.sampler.Set("to_legacy", 7500)
	g.sampler.Set("to_modern", 2500)
	g.start()
	g.travel("gradual@25")
	s := g.await("measured", func(s reconciler.Status) bool { return s.Split != nil && s.Split.Requests.Total() > 0 })
	if got := s.Split.String(); got != "declared 25 %, observed 25 % of 10000 requests" {
		t.Errorf("it says %q", got)
	}
	g.sampler.Set("to_modern", 900)
	s = g.await("a mismatch", func(s reconciler.Status) bool { return s.State == reconciler.StateDegraded })
	if !strings.Contains(s.Observed.Split, "10.71 % of 8400 requests went to modern") {
		t.Errorf("it says %q", s.Observed.Split)
	}
	g.sampler.Fail("to_modern", errors.New("connection refused"))
	g.await("not known", func(s reconciler.Status) bool {
		return s.Split != nil && strings.Contains(s.Split.Unread, "signal.toModern: ") && s.Split.Requests.Total() == 0
	})
}

// telling is a bridge that tells who called.
type telling struct {
	*fakes.Traffic
	legacy atomic.Int64
}

func (b *telling) Tell(context.Context, *plan.Plan, time.Time) gates.Bridges {
	if b.legacy.Load() < 0 {
		return gates.NoBridges("it cannot be reached")
	}
	return gates.Bridges{Clients: &gates.Clients{Legacy: int(b.legacy.Load())}}
}

// The way on is open when nobody calls legacy any more.
func TestAGateReadsWhatBridgesTell(t *testing.T) {
	g := newRig(t)
	b := &telling{Traffic: g.traffic}
	b.legacy.Store(-1)
	g.wrap = func(o *reconciler.Options) { o.Bridge = b }
	g.write("shop.yaml", strings.NewReplacer("gateway: {nginx: {}}", "gateway: {bridge: {}}",
		`"signal.errors < 0.01"`, `"clients.legacy == 0"`).Replace(shopPlan))
	g.commit("the way on is open when nobody calls legacy")
	g.start()
	g.raise("gradual@25")
	held := func(r decide.Reason, words string) {
		t.Helper()
		g.await(string(r), func(s reconciler.Status) bool {
			return s.Effective.String() == "gradual@10" && s.Decision.Reason == r && strings.Contains(s.Decision.Message, words)
		})
	}
	held(decide.GateNoData, "it cannot be reached")
	b.legacy.Store(3)
	held(decide.GateFailed, "clients.legacy=3")
	b.legacy.Store(0)
	g.awaitSteady("gradual@25")
}
