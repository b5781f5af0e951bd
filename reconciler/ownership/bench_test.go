package ownership_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

const million = 1_000_000

func uuid(i int) string { return fmt.Sprintf("%08x-5d3a-4c1f-9b7e-%012x", i*2654435761, i) }

func anonymous() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestAMillionOwnersAreFoundAtOnce: p99 under 50 us while they are written too,
// and a bounded number of bytes for each.
func TestAMillionOwnersAreFoundAtOnce(t *testing.T) {
	before := anonymous()
	x := ownership.NewIndex()
	ids := make([]string, 1000)
	for i := range million {
		id := uuid(i)
		if i%1000 == 0 {
			ids[i/1000] = id
		}
		x.Set(id, []plan.Side{plan.Legacy, plan.Modern}[i%2])
	}
	perID := float64(anonymous()-before) / million
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := million; ; i++ {
			select {
			case <-stop:
				return
			default:
				x.Set(uuid(i%million), plan.Modern)
			}
		}
	}()
	took := make([]time.Duration, 200_000)
	for i := range took {
		id := ids[i%len(ids)]
		start := time.Now()
		_, known := x.Owner(id)
		took[i] = time.Since(start)
		if !known {
			t.Fatalf("%s is not known", id)
		}
	}
	close(stop)
	<-done
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	t.Logf("lookup p50 %s, p99 %s, p99.9 %s; %.1f bytes an id", p50, p99, took[len(took)*999/1000], perID)
	if p99 >= 50*time.Microsecond {
		t.Errorf("p99 of a lookup is %s, want under 50us", p99)
	}
	if perID > 64 {
		t.Errorf("%.1f bytes an id, want at most 64", perID)
	}
	runtime.KeepAlive(x)
}

func BenchmarkOwner(b *testing.B) {
	x := ownership.NewIndex()
	for i := range million {
		x.Set(uuid(i), plan.Modern)
	}
	ids := make([]string, 4096)
	for i := range ids {
		ids[i] = uuid(i * 211)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		x.Owner(ids[i%len(ids)])
	}
}

// BenchmarkLoad is how long a bridge takes to read a million rows at its start.
func BenchmarkLoad(b *testing.B) {
	s, err := ownership.Open(filepath.Join(b.TempDir(), "owners.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for i := 0; i < million; {
		var rows []ownership.Entity
		for range 10_000 {
			rows = append(rows, born(uuid(i)))
			i++
		}
		if err := s.Add(context.Background(), key, rows); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		f := ownership.NewFollower(ownership.FollowOptions{Store: s, Plan: key, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); f.Run(ctx) }()
		<-f.Loaded()
		cancel()
		<-ended
	}
}
