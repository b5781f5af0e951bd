package owner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

// bridges are keepers that follow one table.
func bridges(t *testing.T, n int, lease time.Duration) (ownership.Store, []*Keeper) {
	t.Helper()
	dir := t.TempDir()
	s := storeIn(t, dir)
	var ks []*Keeper
	for i := range n {
		k, err := New(Options{
			Store: storeIn(t, dir), Spool: filepath.Join(dir, fmt.Sprint("spool-", i)), Registry: prometheus.NewRegistry(),
			Log: slog.New(slog.DiscardHandler), Now: time.Now, Lease: lease,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.Close)
		k.Follow(key, time.Minute)
		ks = append(ks, k)
	}
	return s, ks
}

func bornOnLegacy(t *testing.T, s ownership.Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := s.Add(t.Context(), key, []ownership.Entity{{ID: id, Owner: plan.Legacy, Origin: ownership.BornLegacy, At: time.Now()}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestABlockKeepsWritesOffAndWaitsForThoseUnderWay(t *testing.T) {
	s, ks := bridges(t, 1, time.Hour)
	k := ks[0]
	bornOnLegacy(t, s, "a")
	leave, ok := k.Write("a")
	if !ok {
		t.Fatal("a write is refused without a block")
	}
	revision, err := s.Block(t.Context(), key, "a", "mine")
	if err != nil || k.Settle(t.Context(), "b", revision) != nil {
		t.Fatalf("the block is not seen: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := k.Settle(ctx, "a", revision); err == nil || !strings.Contains(err.Error(), "1 writes") {
		t.Errorf("it has settled while a write is under way: %v", err)
	}
	if _, ok := k.Write("a"); ok {
		t.Error("a write is taken in spite of the block")
	}
	if other, ok := k.Write("b"); !ok {
		t.Error("a write to another entity is refused")
	} else {
		other(true)
	}
	settled := make(chan error, 1)
	go func() { settled <- k.Settle(t.Context(), "a", revision) }()
	leave(true)
	if err := <-settled; err != nil {
		t.Errorf("it has not settled: %v", err)
	}
}

func TestAWriteWithoutAnAnswerCountsOn(t *testing.T) {
	_, ks := bridges(t, 1, 0)
	leave, _ := ks[0].Write("a")
	leave(false)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := ks[0].Settle(ctx, "a", 0); err == nil {
		t.Error("it has settled while the backend may still be at it")
	}
}

func TestABlockWhoseSetterIsGoneIsLifted(t *testing.T) {
	s, ks := bridges(t, 2, 0)
	bornOnLegacy(t, s, "a")
	revision, err := s.Block(t.Context(), key, "a", "mine")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range ks {
		if err := k.Settle(t.Context(), "a", revision); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if leave, ok := ks[0].Write("a"); ok {
			leave(true)
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the block is never lifted")
		}
	}
	_, err = s.Flip(t.Context(), key, ownership.Entity{ID: "a", Owner: plan.Modern, Origin: ownership.Migrated, At: time.Now()}, "mine")
	if !errors.Is(err, ownership.ErrBlockLost) {
		t.Errorf("the one who set it flips all the same: %v", err)
	}
}

// TestNoWriteIsLostByAHandOver lets clients write through two bridges while
// entities are handed over and back, some so slowly that their block is lifted. A
// hand-over copies what the old owner has; every write that was taken must be with
// the owner at the end.
func TestNoWriteIsLostByAHandOver(t *testing.T) {
	s, ks := bridges(t, 2, 0)
	ids := []string{"a", "b", "c"}
	bornOnLegacy(t, s, ids...)
	w := &world{has: map[plan.Side]map[string]int{plan.Legacy: {}, plan.Modern: {}}, taken: map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var clients sync.WaitGroup
	for i := range 6 {
		clients.Go(func() {
			for ctx.Err() == nil {
				w.write(ks[i%2], ids[rand.N(len(ids))])
			}
		})
	}
	patience := time.AfterFunc(2*time.Minute, cancel)
	defer patience.Stop()
	var engines sync.WaitGroup
	var flips, lost atomic.Int64
	for _, id := range ids {
		engines.Go(func() {
			for i := 1; ctx.Err() == nil && (flips.Load() < 6 || lost.Load() == 0); i++ {
				slow := i%6 == 0
				switch err := w.handOver(ctx, s, ks, id, slow); {
				case err == nil:
					flips.Add(1)
				case errors.Is(err, ownership.ErrBlockLost):
					lost.Add(1)
				}
			}
		})
	}
	engines.Wait()
	cancel()
	clients.Wait()
	for _, id := range ids {
		e, _, err := s.Get(context.Background(), key, id)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.has[e.Owner][id]; got != w.taken[id] {
			t.Errorf("%s is owned by %s, which has %d of %d writes", id, e.Owner, got, w.taken[id])
		}
	}
	t.Logf("%d writes, %d refused, %d flips, %d blocks lost", w.taken["a"]+w.taken["b"]+w.taken["c"], w.refused, flips.Load(), lost.Load())
	if flips.Load() < 6 || lost.Load() == 0 {
		t.Errorf("%d flips and %d lost blocks prove little", flips.Load(), lost.Load())
	}
}

// world are two backends and what clients were told.
type world struct {
	mu      sync.Mutex
	has     map[plan.Side]map[string]int
	taken   map[string]int
	refused int
}

func (w *world) write(k *Keeper, id string) {
	leave, ok := k.Write(id)
	if !ok {
		w.mu.Lock()
		w.refused++
		w.mu.Unlock()
		time.Sleep(time.Millisecond)
		return
	}
	side, known := k.Owner(id)
	if !known {
		side = plan.Legacy
	}
	time.Sleep(rand.N(2 * time.Millisecond)) // on its way
	w.mu.Lock()
	w.has[side][id]++
	w.taken[id]++
	w.mu.Unlock()
	time.Sleep(rand.N(2 * time.Millisecond)) // the answer
	leave(true)
}

func (w *world) handOver(ctx context.Context, s ownership.Store, ks []*Keeper, id string, slow bool) error {
	e, _, err := s.Get(ctx, key, id)
	if err != nil {
		return err
	}
	to := plan.Modern
	if e.Owner == plan.Modern {
		to = plan.Legacy
	}
	token := fmt.Sprint(rand.Uint64())
	revision, err := s.Block(ctx, key, id, token)
	if err != nil {
		return err
	}
	for _, k := range ks {
		settle, cancel := context.WithTimeout(ctx, time.Second)
		err := k.Settle(settle, id, revision)
		cancel()
		if err != nil {
			return errors.Join(err, s.Unblock(ctx, key, id, token))
		}
	}
	w.mu.Lock()
	w.has[to][id] = w.has[e.Owner][id]
	w.mu.Unlock()
	if slow {
		time.Sleep(BlockLease + 500*time.Millisecond)
	}
	_, err = s.Flip(ctx, key, ownership.Entity{ID: id, Owner: to, Origin: ownership.Migrated, At: time.Now()}, token)
	return err
}
