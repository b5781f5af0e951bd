package reconciler_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// slowSource lets a test hold up the answers of a source.
type slowSource struct {
	reconciler.Source
	mu     sync.Mutex
	plans  func(plan.Revision) // before Plans answers
	pushes func()              // before Push is begun
}

func (s *slowSource) set(plans func(plan.Revision), pushes func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plans, s.pushes = plans, pushes
}

func (s *slowSource) hooks() (plans func(plan.Revision), pushes func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plans, s.pushes
}

func (s *slowSource) Plans(ctx context.Context, rev plan.Revision) ([]reconciler.PlanFile, error) {
	if f, _ := s.hooks(); f != nil {
		f(rev)
	}
	return s.Source.Plans(ctx, rev)
}

func (s *slowSource) Push(ctx context.Context, us []reconciler.Undo) ([]reconciler.Pushed, error) {
	if _, f := s.hooks(); f != nil {
		f()
	}
	return s.Source.Push(ctx, us)
}

func newSlowRig(t *testing.T) (*rig, *slowSource) {
	g, s := newRig(t), &slowSource{}
	g.wrap = func(o *reconciler.Options) {
		s.Source = o.Source
		o.Source = s
	}
	return g, s
}

func TestASlowReadingOfTheBranchDoesNotUndoAFasterOne(t *testing.T) {
	g, src := newSlowRig(t)
	g.open()
	g.r.Prepare(t.Context())
	g.r.Step(t.Context(), shop)
	first := g.raise("gradual@10")
	begun, release := make(chan struct{}), make(chan struct{})
	src.set(func(rev plan.Revision) {
		if rev == first {
			close(begun)
			<-release
		}
	}, nil)
	var wg sync.WaitGroup
	wg.Go(func() { g.r.Poll(t.Context()) })
	<-begun
	g.raise("gradual@25")
	wg.Go(func() { g.r.Poll(t.Context()); g.r.Step(t.Context(), shop) })
	time.Sleep(200 * time.Millisecond)
	close(release)
	wg.Wait()
	g.r.Step(t.Context(), shop)
	if st, _ := g.r.Status(shop); st.Halt != nil {
		t.Errorf("halted: %s", st.Halt.Message)
	}
}

func TestARevertThatLandsLateLeavesTheDeeperOnePending(t *testing.T) {
	g, src := newSlowRig(t)
	g.start()
	g.travel("gradual@10", "gradual@25")
	release := make(chan struct{})
	var once sync.Once
	src.set(nil, func() { <-release })
	defer once.Do(func() { close(release) })
	g.sampler.Set("errors", 0.2)
	g.await("the first rollback", func(s reconciler.Status) bool { return s.Effective.String() == "gradual@10" && s.Pending != nil })
	st, err := g.r.RequestRollback(t.Context(), shop, plan.Position{}, "customers call")
	if err != nil || st.Effective.String() != "setup" || st.Pending == nil || len(st.Pending.Undo) != 2 {
		t.Fatalf("the second rollback: %v: at %s, pending %+v", err, st.Effective, st.Pending)
	}
	once.Do(func() { close(release) })
	g.awaitSteady("setup")
	want := []string{`Revert "shop: gradual@10"`, `Revert "shop: gradual@25"`, "shop: gradual@25", "shop: gradual@10"}
	if got := g.subjects(); !slices.Equal(got[:4], want) {
		t.Errorf("the log is %q", got)
	}
}

func TestAnUnpushedRevertOutlivesTheRecord(t *testing.T) {
	g := newRig(t)
	g.start()
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	bad := g.raise("gradual@25")
	g.awaitSteady("gradual@25")
	away := g.remote + ".away"
	if err := os.Rename(g.remote, away); err != nil {
		t.Fatal(err)
	}
	g.sampler.Set("errors", 0.2)
	g.await("rolled back, not pushed", func(s reconciler.Status) bool {
		m := g.traffic.Served(shop)
		return s.State == reconciler.StateRolledBackUnpushed && slices.Equal(m.Holds, []plan.Revision{bad}) && m.Since.Equal(s.Since)
	})
	g.sampler.Set("errors", 0)
	g.stop()
	if err := os.RemoveAll(g.state); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, g.remote); err != nil {
		t.Fatal(err)
	}
	g.start()
	g.awaitSteady("gradual@10")
	if got := g.subjects(); got[0] != `Revert "shop: gradual@25"` || got[1] != "shop: gradual@25" {
		t.Errorf("the log is %q", got)
	}
}

func TestTheLastValidVersionGovernsWhereTheRecordIsLost(t *testing.T) {
	g := newRig(t)
	g.start()
	g.raise("gradual@10")
	before := g.awaitSteady("gradual@10")
	g.stop()
	b, err := os.ReadFile(g.clone + "/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	g.write("shop.yaml", strings.Replace(string(b), "signal.errors > 0.03", "signal.erors > 0.03", 1))
	g.commit("a gate that names no signal")
	g.write("shop.yaml", strings.Replace(string(b), "percents:", "percent:", 1))
	g.commit("a field that is not known")
	if err := os.RemoveAll(g.state); err != nil {
		t.Fatal(err)
	}
	g.start()
	st := g.await("the last valid version", func(s reconciler.Status) bool { return s.State == reconciler.StateInvalid && !s.Effective.IsZero() })
	if st.Effective != before.Effective || !st.Since.Equal(before.Since) || len(st.Gates) == 0 {
		t.Errorf("at %s since %s with %d gates, want %s since %s and its alarms", st.Effective, st.Since, len(st.Gates), before.Effective, before.Since)
	}
}

func TestATrailerOnABrokenHeadNamesNoVersion(t *testing.T) {
	g := newRig(t)
	g.start()
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	b, err := os.ReadFile(g.clone + "/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	g.write("shop.yaml", strings.Replace(string(b), "percents:", "percent:", 1))
	g.commit("broken\n\nChangeover-Resume: shop")
	g.await("invalid", func(s reconciler.Status) bool { return s.State == reconciler.StateInvalid })
	g.write("shop.yaml", string(b))
	head := g.commit("as it was")
	g.await("steady again", func(s reconciler.Status) bool { return s.Head == head && s.State == reconciler.StateSteady })
	time.Sleep(100 * time.Millisecond)
	g.sampler.Set("errors", 0.2)
	g.awaitSteady("setup")
}

func TestAFailureToMarkTheGatewayIsNoPanic(t *testing.T) {
	g := newRig(t)
	var mu sync.Mutex
	armed, calls := false, 0
	g.start()
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	g.traffic.FailWith(func(m string) error {
		mu.Lock()
		defer mu.Unlock()
		if m == "Apply" && armed {
			if calls++; calls == 2 {
				return errors.New("disk is full")
			}
		}
		return nil
	})
	mu.Lock()
	armed = true
	mu.Unlock()
	g.raise("gradual@25")
	g.awaitSteady("gradual@25")
	if strings.Contains(g.log.String(), "panic") {
		t.Error("the loop panicked")
	}
}

func TestAMoveForwardEndsWithThePlan(t *testing.T) {
	g := newRig(t)
	g.start()
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	g.traffic.FailWith(func(m string) error {
		if m == "Apply" {
			return errors.New("reload nginx: no answer")
		}
		return nil
	})
	g.raise("gradual@25")
	g.await("the failed move", func(s reconciler.Status) bool { return s.Move != nil && s.Move.Attempts > 0 })
	g.git("rm", "-q", "shop.yaml")
	g.commit("remove the plan")
	g.await("orphaned", func(s reconciler.Status) bool { return s.Decision.Reason == decide.Orphaned })
	g.traffic.FailWith(nil)
	at := time.Now()
	g.await("two more evaluations", func(s reconciler.Status) bool { return s.CheckedAt.After(at.Add(1500 * time.Millisecond)) })
	if m := g.traffic.Served(shop); m.Stop.String() != "gradual@10" {
		t.Errorf("the traffic went to %s after the plan was removed", m.Stop)
	}
}

func TestAMoveForwardStopsAtABreachThatFreezes(t *testing.T) {
	g := newRig(t)
	b, err := os.ReadFile(g.clone + "/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	g.write("shop.yaml", strings.Replace(string(b), "      gates:", "      rollback: {onBreach: freeze}\n      gates:", 1))
	g.commit("freeze")
	g.start()
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	g.traffic.FailWith(func(m string) error {
		if m == "Apply" {
			return errors.New("reload nginx: no answer")
		}
		return nil
	})
	g.raise("gradual@25")
	g.await("the failed move", func(s reconciler.Status) bool { return s.Move != nil && s.Move.Attempts > 0 })
	g.sampler.Set("errors", 0.2)
	g.await("frozen", func(s reconciler.Status) bool { return s.Halt != nil })
	g.traffic.FailWith(nil)
	at := time.Now()
	g.await("two more evaluations", func(s reconciler.Status) bool { return s.CheckedAt.After(at.Add(1500 * time.Millisecond)) })
	if m := g.traffic.Served(shop); m.Stop.String() != "gradual@10" {
		t.Errorf("the traffic went to %s although a breach froze it", m.Stop)
	}
}

// pages counts what was paged.
type pages struct {
	mu sync.Mutex
	e  []reconciler.Entry
}

func (p *pages) Notify(_ context.Context, _ plan.Key, e reconciler.Entry, page bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if page {
		p.e = append(p.e, e)
	}
}

func (p *pages) all() []reconciler.Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.e)
}

func TestABreachWhileSuspendedPagesOnce(t *testing.T) {
	g, p := newRig(t), &pages{}
	g.wrap = func(o *reconciler.Options) { o.Notifier = p }
	g.start()
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	b, err := os.ReadFile(g.clone + "/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	g.write("shop.yaml", strings.Replace(string(b), "spec:\n", "spec:\n  suspend: true\n", 1))
	g.commit("suspend")
	g.await("suspended", func(s reconciler.Status) bool { return s.State == reconciler.StateSuspended })
	g.sampler.Set("errors", 0.2)
	time.Sleep(300 * time.Millisecond)
	if got := p.all(); len(got) != 1 || got[0].Reason != decide.Suspended || !strings.Contains(got[0].Message, "high") {
		t.Errorf("paged %+v, want one page that names the gate", got)
	}
}

func TestARequestThatWasGivenUpIsNotCarriedOutLater(t *testing.T) {
	g := newRig(t)
	g.open()
	g.r.Prepare(t.Context())
	g.r.Step(t.Context(), shop)
	g.raise("gradual@10")
	g.r.Poll(t.Context())
	g.r.Step(t.Context(), shop)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := g.r.RequestRollback(ctx, shop, plan.Position{}, "customers call"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the request answered %v", err)
	}
	g.r.Step(t.Context(), shop)
	if m := g.traffic.Served(shop); m.Stop.String() != "gradual@10" {
		t.Errorf("the traffic went to %s for a request that had failed", m.Stop)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := g.r.RequestRollback(ctx, shop, plan.Position{}, "customers call"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second request answered %v", err)
	}
}

func TestAPanicInAPushIsThePlansError(t *testing.T) {
	g, src := newSlowRig(t)
	g.start()
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	src.set(nil, func() { panic("no such object") })
	g.sampler.Set("errors", 0.2)
	g.await("the error", func(s reconciler.Status) bool {
		return s.Pending != nil && strings.Contains(s.Pending.Error, "no such object") && s.Effective.String() == "setup"
	})
	src.set(nil, nil)
	g.awaitSteady("setup")
}

func TestADamagedRecordIsNoPlanThatWaits(t *testing.T) {
	g := newRig(t)
	g.start()
	g.awaitSteady("setup")
	g.stop()
	file := filepath.Join(g.state, "plans", "default", "shop", "record.json")
	if err := os.WriteFile(file, []byte("{torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	pages := make(chan string, 10)
	g.wrap = func(o *reconciler.Options) { o.Notifier = pager(pages) }
	g.start()
	st := g.await("degraded", func(s reconciler.Status) bool { return s.State == reconciler.StateDegraded })
	if !strings.Contains(st.Error, "record.json") || st.Decision.Message != st.Error {
		t.Errorf("the status says %q and %q", st.Error, st.Decision.Message)
	}
	if page := <-pages; !strings.Contains(page, "not watched") {
		t.Errorf("the page says %q", page)
	}
}

// pager takes what is paged.
type pager chan string

func (p pager) Notify(_ context.Context, _ plan.Key, e reconciler.Entry, page bool) {
	if page {
		p <- e.Message
	}
}

func TestAMoveThatFailsAgainAndAgainPagesOnce(t *testing.T) {
	g := newRig(t)
	pages := make(chan string, 10)
	g.wrap = func(o *reconciler.Options) { o.Notifier = pager(pages) }
	g.start()
	g.awaitSteady("setup")
	g.traffic.FailWith(func(m string) error {
		if m == "Apply" {
			return errors.New("no answer")
		}
		return nil
	})
	g.raise("gradual@10")
	g.await("the fourth attempt", func(s reconciler.Status) bool {
		return s.Move != nil && s.Move.Attempts >= 4 && s.State == reconciler.StateDegraded
	})
	if page := <-pages; !strings.Contains(page, "no answer") || len(pages) > 0 {
		t.Errorf("paged %q, and %d times more", page, len(pages))
	}
}
