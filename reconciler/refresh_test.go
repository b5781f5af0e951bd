package reconciler_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/fakes"
)

// counted counts the readings of a branch.
type counted struct {
	*memoryBranch
	readings atomic.Int64
}

func (c *counted) Poll(ctx context.Context) (plan.Revision, error) {
	c.readings.Add(1)
	return c.memoryBranch.Poll(ctx)
}

// TestRefreshReadsTheBranchNow with an interval of an hour, and a flood of calls
// does not reach the Git host.
func TestRefreshReadsTheBranchNow(t *testing.T) {
	source := &counted{memoryBranch: &memoryBranch{}}
	source.commit(shopPlan, "")
	r, err := reconciler.New(reconciler.Options{
		Source: source, Check: gates.Check, NGINX: &fakes.Traffic{}, Sampler: &fakes.Sampler{}, Recorder: &fakes.Recorder{}, Notifier: silent{},
		Now: time.Now, Log: slog.New(slog.DiscardHandler), Interval: 20 * time.Millisecond, GitInterval: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s was not seen", what)
			}
		}
	}
	await("the first reading", func() bool { return source.readings.Load() == 1 })
	source.declare(plan.Position{Phase: "gradual", Percent: 10})
	r.Refresh()
	await("the promotion", func() bool {
		s, _ := r.Status(shop)
		return s.Declared.Percent == 10
	})

	begun, before := time.Now(), source.readings.Load()
	for time.Since(begun) < time.Second {
		r.Refresh()
	}
	// Three at once, one every half second, and one that was under way.
	if n, most := source.readings.Load()-before, int64(time.Since(begun)/(500*time.Millisecond))+4; n > most {
		t.Errorf("a flood for %s made %d readings, want at most %d", time.Since(begun), n, most)
	}
}
