package owner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

var key = plan.Key{Namespace: "default", Name: "so"}

// flaky is a real store that can be made to fail.
type flaky struct {
	ownership.Store
	mu   sync.Mutex
	down bool
}

func (f *flaky) set(down bool) { f.mu.Lock(); defer f.mu.Unlock(); f.down = down }

func (f *flaky) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return errors.New("the store is down")
	}
	return nil
}

func (f *flaky) Add(ctx context.Context, k plan.Key, e []ownership.Entity) error {
	if err := f.err(); err != nil {
		return err
	}
	return f.Store.Add(ctx, k, e)
}

func (f *flaky) Changes(ctx context.Context, k plan.Key, after int64, n int) (ownership.Page, error) {
	if err := f.err(); err != nil {
		return ownership.Page{}, err
	}
	return f.Store.Changes(ctx, k, after, n)
}

func (f *flaky) Wait(ctx context.Context, k plan.Key, after int64) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	return f.Store.Wait(ctx, k, after)
}

func storeIn(t testing.TB, dir string) *flaky {
	t.Helper()
	s, err := ownership.Open(filepath.Join(dir, "owners.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &flaky{Store: s}
}

func keeper(t testing.TB, s ownership.Store, dir string) *Keeper {
	t.Helper()
	k, err := New(Options{Store: s, Spool: filepath.Join(dir, "spool"), Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func record(t testing.TB, k *Keeper, id string) {
	t.Helper()
	if err := k.Record(t.Context(), key, id); err != nil {
		t.Fatal(err)
	}
	if side, _ := k.Owner(id); side != plan.Modern {
		t.Fatalf("%s is %q's after its birth", id, side)
	}
}

// stored are the ids that a store has, with their rows.
func stored(t testing.TB, s ownership.Store) map[string]ownership.Entity {
	t.Helper()
	p, err := s.Changes(t.Context(), key, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]ownership.Entity{}
	for _, e := range p.Entities {
		out[e.ID] = e
	}
	return out
}

func spooled(t testing.TB, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "spool", spoolPattern))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}

func TestABirthIsInTheStoreBeforeItsClientIsAnswered(t *testing.T) {
	dir := t.TempDir()
	s := storeIn(t, dir)
	k := keeper(t, s, dir)
	k.Follow(key, 10*time.Second)
	if !k.Ready() || k.ModernOwns() {
		t.Fatalf("ready %t, modern owns %t, want an empty table", k.Ready(), k.ModernOwns())
	}
	record(t, k, "a")
	if e := stored(t, s)["a"]; e.Owner != plan.Modern || e.Origin != ownership.BornModern {
		t.Errorf("the store has %+v", e)
	}
	if !k.ModernOwns() {
		t.Error("modern owns nothing after a birth")
	}
	if err := k.Record(t.Context(), key, "a/b"); err == nil {
		t.Error("an id with a slash is recorded: no request could ever name it")
	}
}

func TestBirthsWhileTheStoreIsDownReachItLater(t *testing.T) {
	dir := t.TempDir()
	s := storeIn(t, dir)
	k := keeper(t, s, dir)
	k.Follow(key, 10*time.Second)
	s.set(true)
	for i := range 5 {
		record(t, k, fmt.Sprint("down-", i))
		if !strings.Contains(spooled(t, dir), fmt.Sprintf(`"down-%d"`, i)) {
			t.Fatalf("birth %d was answered and is not on disk: %q", i, spooled(t, dir))
		}
	}
	eventually(t, "the outage is told", func() bool { return k.Health().Error != "" })
	if h := k.Health(); h.Spooled != 5 || !h.Loaded {
		t.Errorf("health %+v, want 5 that wait", h)
	}
	s.set(false)
	eventually(t, "all are in the store", func() bool { return len(stored(t, s)) == 5 })
	eventually(t, "it is told that the store is back", func() bool { h := k.Health(); return h.Error == "" && h.Spooled == 0 })
	record(t, k, "later")
}

func TestBirthsOfAProcessThatIsGoneReachTheStore(t *testing.T) {
	dir := t.TempDir()
	s := storeIn(t, dir)
	s.set(true)
	first := keeper(t, s, dir)
	for i := range 3 {
		record2(t, first, fmt.Sprint("old-", i))
	}
	first.Close()
	if !strings.Contains(spooled(t, dir), `"old-2"`) {
		t.Fatal("the spool is gone with the process")
	}
	// A crash in the middle of a write, whose client has no answer.
	names, _ := filepath.Glob(filepath.Join(dir, "spool", spoolPattern))
	f, err := os.OpenFile(names[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"plan":{"namespace":"default","name":"so"},"id":"torn`)
	f.Close()
	second := keeper(t, s, dir)
	second.Follow(key, 0)
	for i := range 3 {
		if side, _ := second.Owner(fmt.Sprint("old-", i)); side != plan.Modern {
			t.Errorf("old-%d is %q's after the restart, while the store is down", i, side)
		}
	}
	s.set(false)
	eventually(t, "all are in the store", func() bool { return len(stored(t, s)) == 3 })
	eventually(t, "the old file is removed", func() bool { return spooled(t, dir) == "" })
}

// record2 is a birth of a keeper that follows nothing.
func record2(t testing.TB, k *Keeper, id string) {
	t.Helper()
	if err := k.Record(t.Context(), key, id); err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatAnotherProcessHoldsIsLeftToIt(t *testing.T) {
	dir := t.TempDir()
	s := storeIn(t, dir)
	s.set(true)
	first, second := keeper(t, s, dir), keeper(t, s, dir)
	record2(t, first, "mine")
	second.recorder.adopt()
	if n := second.Health().Spooled; n != 0 {
		t.Errorf("%d births of a process that lives were taken up", n)
	}
	first.Close()
	second.recorder.adopt()
	if n := second.Health().Spooled; n != 1 {
		t.Errorf("%d births of a process that ended were taken up, want 1", n)
	}
}

func TestWithoutStoreAndDiskNothingIsCreated(t *testing.T) {
	dir := t.TempDir()
	s := storeIn(t, dir)
	k := keeper(t, s, dir)
	k.Follow(key, 10*time.Second)
	s.set(true)
	if err := k.recorder.spool.file.Close(); err != nil { // as a disk that fails
		t.Fatal(err)
	}
	if err := k.CanRecord(t.Context()); err != nil {
		t.Errorf("nothing has failed yet: %v", err)
	}
	if err := k.Record(t.Context(), key, "lost"); err == nil {
		t.Error("a birth counts as recorded that is nowhere")
	}
	if err := k.CanRecord(t.Context()); err == nil {
		t.Error("the next create would be sent to modern")
	}
	s.set(false)
	eventually(t, "the store takes births again", func() bool { return k.CanRecord(t.Context()) == nil })
	eventually(t, "the lost one is in the store", func() bool { _, ok := stored(t, s)["lost"]; return ok })
	record(t, k, "next")
}

func TestManyBirthsAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := storeIn(t, dir)
	k := keeper(t, s, dir)
	k.Follow(key, 10*time.Second)
	var wg sync.WaitGroup
	const n = 200
	took := make([]time.Duration, n)
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			start := time.Now()
			record2(t, k, fmt.Sprint(i))
			took[i] = time.Since(start)
		}()
	}
	wg.Wait()
	if got := len(stored(t, s)); got != n {
		t.Errorf("%d are in the store, want %d", got, n)
	}
}

func TestASpoolIsEmptiedWhenEverythingIsInTheStore(t *testing.T) {
	dir := t.TempDir()
	sp, err := openSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	var many []entry
	for i := range 10_000 {
		many = append(many, entry{Plan: key, ID: fmt.Sprint("some-longer-id-", i), At: time.Now()})
	}
	if err := sp.append(many); err != nil {
		t.Fatal(err)
	}
	sp.empty()
	if err := sp.append(many[:1]); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(sp.file.Name())
	if err != nil || strings.Count(string(b), "\n") != 1 || !strings.HasPrefix(string(b), "{") {
		t.Errorf("after emptying there are %d bytes, error %v", len(b), err)
	}
	if err := sp.close(true); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkBirth is a birth in SQLite, every commit synced.
func BenchmarkBirth(b *testing.B) {
	dir := b.TempDir()
	k := keeper(b, storeIn(b, dir), dir)
	k.Follow(key, 10*time.Second)
	for i := 0; b.Loop(); i++ {
		if err := k.Record(context.Background(), key, fmt.Sprint("id-", i)); err != nil {
			b.Fatal(err)
		}
	}
}
