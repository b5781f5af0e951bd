package reconciler_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// memoryFlags keeps what was applied last, in short.
type memoryFlags struct {
	mu   sync.Mutex
	now  string
	log  []string
	fail error
}

func (m *memoryFlags) Apply(_ context.Context, p *plan.Plan, stop plan.Position, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	s := ""
	for _, f := range p.FlagsAt(stop, now) {
		s += fmt.Sprintf("%s=%s%s ", f.Flag.Name, f.Percent, f.Off)
	}
	if s != m.now {
		m.log = append(m.log, s)
	}
	m.now = s
	return nil
}

func (m *memoryFlags) failWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// await waits until the flags are as wanted.
func (m *memoryFlags) await(t *testing.T, want string) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	now := ""
	for time.Now().Before(deadline) {
		m.mu.Lock()
		now = m.now
		m.mu.Unlock()
		if strings.TrimSpace(now) == want {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("the flags are %q, not %q; they were %q", now, want, m.log)
}

// flagRig is a plan with flags, and where they go.
func flagRig(t *testing.T, flags string) (*rig, *memoryFlags) {
	g, m := newRig(t), &memoryFlags{}
	g.wrap = func(o *reconciler.Options) { o.Flags = m }
	g.write("shop.yaml", strings.Replace(shopPlan, "  phases:\n", "  flags:\n"+flags+"  phases:\n", 1))
	g.commit("flags")
	return g, m
}

func TestFlagsMoveWithTheTrafficBothWays(t *testing.T) {
	g, m := flagRig(t, "    - {name: checkout, percent: position}\n    - {name: banner, percent: 50}\n")
	reg := prometheus.NewRegistry()
	g.wrap = func(o *reconciler.Options) { o.Flags, o.Registerer = m, reg }
	g.start()
	g.awaitSteady("setup")
	m.await(t, "checkout=0zeroPercent banner=50")
	g.travel("gradual@10", "gradual@25")
	m.await(t, "checkout=25 banner=50")
	st, _ := g.r.Status(shop)
	if len(st.Flags) != 2 || st.Flags[0] != (reconciler.FlagStatus{Name: "checkout", Percent: 25}) {
		t.Errorf("the status has the flags %+v", st.Flags)
	}
	const want = `
# HELP changeover_flag_percent Percentage of the callers who have a flag on modern where no rule decides; 0 where it is off.
# TYPE changeover_flag_percent gauge
changeover_flag_percent{flag="banner",plan="default/shop"} 50
changeover_flag_percent{flag="checkout",plan="default/shop"} 25
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "changeover_flag_percent"); err != nil {
		t.Error(err)
	}
	g.sampler.Set("errors", 0.2)
	g.await("rolled back", func(s reconciler.Status) bool { return s.Effective.String() == "gradual@10" && s.Move == nil })
	m.await(t, "checkout=10 banner=50")
}

// Going forward the flags follow the gateway; going back they do not wait for it.
func TestGoingBackTheFlagsWaitForNoGateway(t *testing.T) {
	g, m := flagRig(t, "    - {name: checkout, percent: position}\n")
	g.start()
	g.travel("gradual@10")
	g.traffic.FailWith(func(method string) error {
		if method == "Apply" {
			return errors.New("no disk")
		}
		return nil
	})
	g.raise("gradual@25")
	g.await("a move that fails", func(s reconciler.Status) bool { return s.Move != nil && s.Move.Attempts > 1 })
	m.await(t, "checkout=10")
	g.raise("setup")
	m.await(t, "checkout=0zeroPercent")
	if st, _ := g.r.Status(shop); st.Effective.String() == "setup" {
		t.Error("the plan is at setup, though its gateway is not")
	}
}

// Going back the gateway does not wait for the flags, and the move goes on until
// they are there too.
func TestGoingBackTheGatewayWaitsForNoFlags(t *testing.T) {
	g, m := flagRig(t, "    - {name: checkout, percent: position}\n")
	g.start()
	g.travel("gradual@10")
	m.failWith(errors.New("no API server"))
	g.raise("setup")
	g.await("a move that fails for the flags", func(s reconciler.Status) bool {
		return s.Move != nil && strings.Contains(s.Move.Error, "no API server") && g.traffic.Served(shop).Stop.String() == "setup"
	})
	m.failWith(nil)
	g.awaitSteady("setup")
	m.await(t, "checkout=0zeroPercent")
}

func TestAFlagExpiresWithoutACommit(t *testing.T) {
	end := time.Now().Add(2 * time.Second).UTC()
	g, m := flagRig(t, fmt.Sprintf("    - {name: banner, percent: 50, expiresAt: %q}\n", end.Format(time.RFC3339Nano)))
	g.wrap = func(o *reconciler.Options) { o.Flags, o.Interval = m, time.Hour }
	g.start()
	m.await(t, "banner=0expired")
	if time.Now().Before(end) {
		t.Error("the flag expired too early")
	}
}

// A kill switch needs no bake, no gate and no window.
func TestAKillSwitchCountsAtOnce(t *testing.T) {
	g, m := flagRig(t, "    - {name: banner, percent: 50}\n")
	g.start()
	g.travel("gradual@10")
	since := g.awaitSteady("gradual@10").Since
	edit := func(subject, from, to string) {
		g.git("pull", "-q", "--rebase", "origin", "main")
		g.write("shop.yaml", strings.Replace(g.run(g.clone, "cat", "shop.yaml"), from, to, 1)+"\n")
		g.commit(subject)
	}
	edit("close", "  phases:\n", "  windows: [{deny: 2020-01-01/2099-01-01}]\n  phases:\n")
	edit("kill the banner", "percent: 50", "percent: 50, killSwitch: true")
	m.await(t, "banner=0killSwitch")
	st := g.awaitSteady("gradual@10")
	if !st.Since.Equal(since) {
		t.Errorf("the bake began again at %s", st.Since)
	}
	edit("raise the banner", "percent: 50, killSwitch: true", "percent: 60")
	g.await("a change that waits for the window", func(s reconciler.Status) bool { return s.Decision.Reason == decide.OutsideWindow })
	m.await(t, "banner=0killSwitch")
}

// A plan that goes back to a version without flags has them taken away, and one
// whose daemon has no place for flags says so.
func TestFlagsThatCameWithAPromotionGoWithIt(t *testing.T) {
	g, m := newRig(t), &memoryFlags{}
	g.wrap = func(o *reconciler.Options) { o.Flags = m }
	g.start()
	g.travel("gradual@10")
	text := g.run(g.clone, "cat", "shop.yaml")
	g.write("shop.yaml", strings.Replace(strings.Replace(text, "  phases:\n", "  flags:\n    - {name: banner, percent: 50}\n  phases:\n", 1), "percent: 10", "percent: 25", 1)+"\n")
	g.commit("shop: gradual@25 with a banner")
	g.awaitSteady("gradual@25")
	m.await(t, "banner=50")
	g.sampler.Set("errors", 0.2)
	g.await("rolled back", func(s reconciler.Status) bool { return s.Effective.String() == "gradual@10" && s.Move == nil })
	m.await(t, "")
}
