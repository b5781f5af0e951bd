package ownership_test

import (
	"bytes"
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

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/test/postgres"
)

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// running is a follower that runs until the test ends.
func running(t testing.TB, s ownership.Store, extra ...string) *ownership.Follower {
	t.Helper()
	f := ownership.NewFollower(ownership.FollowOptions{
		Store: s, Plan: key, Page: 7, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Extra: func() []string { return extra },
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return f
}

func owns(f *ownership.Follower, id string, side plan.Side) func() bool {
	return func() bool { got, _ := f.Index().Owner(id); return got == side }
}

func TestAFollowerKeepsStep(t *testing.T) {
	url := filepath.Join(t.TempDir(), "owners.db")
	writer := open(t, url)
	for i := range 20 {
		add(t, writer, born(fmt.Sprint("old-", i)))
	}
	f := running(t, open(t, url), "spooled", "old-3")
	<-f.Loaded()
	if n := f.Index().Count(plan.Modern); n != 21 {
		t.Errorf("loaded with %d of modern's, want 20 and the spooled one", n)
	}
	if _, known := f.Index().Owner("new"); known {
		t.Error("an id is known that was never written")
	}
	add(t, writer, born("new"))
	await(t, "new is modern's", owns(f, "new", plan.Modern))
	put(t, writer, entity("new", plan.Legacy, ownership.Migrated))
	await(t, "new is legacy's", owns(f, "new", plan.Legacy))
	if n, m := f.Index().Count(plan.Legacy), f.Index().Count(plan.Modern); n != 1 || m != 21 {
		t.Errorf("legacy has %d and modern %d, want 1 and 21", n, m)
	}
}

func TestAFollowerReadsATableThatWasRestoredAnew(t *testing.T) {
	dir := t.TempDir()
	url := filepath.Join(dir, "owners.db")
	first := open(t, url)
	add(t, first, born("kept"))
	s := &swapped{}
	s.to(first)
	f := running(t, s, "spooled")
	add(t, first, born("lost"), born("lost-too"))
	await(t, "the second was read", owns(f, "lost-too", plan.Modern))
	restored := open(t, filepath.Join(dir, "restored.db"))
	add(t, restored, born("kept"))
	s.to(restored)
	await(t, "what the backup lacks is forgotten", owns(f, "lost", ""))
	for _, id := range []string{"kept", "spooled"} {
		if side, _ := f.Index().Owner(id); side != plan.Modern {
			t.Errorf("%s is %q's after the restore", id, side)
		}
	}
}

// swapped is a store that becomes another, or fails.
type swapped struct {
	ownership.Blocker // nothing is blocked here
	mu                sync.Mutex
	s                 ownership.Store
}

func (s *swapped) to(other ownership.Store) { s.mu.Lock(); defer s.mu.Unlock(); s.s = other }
func (s *swapped) now() ownership.Store     { s.mu.Lock(); defer s.mu.Unlock(); return s.s }
func (s *swapped) Close() error             { return nil }

func (s *swapped) Add(ctx context.Context, k plan.Key, e []ownership.Entity) error {
	return s.now().Add(ctx, k, e)
}

func (s *swapped) Put(ctx context.Context, k plan.Key, e []ownership.Entity) error {
	return s.now().Put(ctx, k, e)
}

func (s *swapped) Changes(ctx context.Context, k plan.Key, after int64, n int) (ownership.Page, error) {
	return s.now().Changes(ctx, k, after, n)
}

func (s *swapped) Wait(ctx context.Context, k plan.Key, after int64) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	return s.now().Wait(ctx, k, after)
}

func TestAFollowerGoesOnWhilePostgresIsDownAndCatchesUp(t *testing.T) {
	server := postgres.Start(t, "-F")
	url := server.URL(false)
	f := running(t, open(t, url))
	writer := open(t, url)
	add(t, writer, born("a"))
	await(t, "a is modern's", owns(f, "a", plan.Modern))
	server.Stop()
	await(t, "the outage is told", func() bool { return f.Status().Error != "" })
	if s := f.Status(); !s.Loaded || s.Since.IsZero() || strings.Contains(s.Error, postgres.Password) {
		t.Errorf("status %+v, want loaded, since when, and no password", s)
	}
	if !owns(f, "a", plan.Modern)() {
		t.Error("the owners are forgotten while the store is down")
	}
	if err := writer.Add(t.Context(), key, []ownership.Entity{born("b")}); err == nil || strings.Contains(err.Error(), postgres.Password) {
		t.Errorf("writing to a server that is down: error %v", err)
	}
	server.Run()
	add(t, writer, born("b"))
	await(t, "b is modern's", owns(f, "b", plan.Modern))
	await(t, "the store is up again", func() bool { return f.Status().Error == "" })
}

func TestAStoreThatIsDownAtTheStartIsReadLater(t *testing.T) {
	server := postgres.Start(t, "-F")
	url := server.URL(true)
	server.Stop()
	password := func() (string, error) { return postgres.Password, nil }
	s, err := ownership.Open(url, password)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := running(t, s)
	await(t, "the outage is told", func() bool { return f.Status().Error != "" })
	if f.Status().Loaded {
		t.Error("loaded from a server that is down")
	}
	server.Run()
	<-f.Loaded()
}

func TestErrorsHoldNoPassword(t *testing.T) {
	const secret = "hunter2secret"
	for _, raw := range []string{
		"postgres://u:" + secret + "@127.0.0.1:1/db", "postgres://u:" + secret + "@127.0.0.1:1/db?password=" + secret,
		"postgres://u:" + secret + "@[::1/db", "postgres://u:%zz" + secret + "@h/db", "postgres://u:" + secret + "@h/db?sslmode=never",
		"mysql://u:" + secret + "@h/db", "sqlite://u:" + secret + "@/nowhere/x", "postgres://u@127.0.0.1:1/?passfile=/nonexistent&password=" + secret,
	} {
		s, err := ownership.Open(raw, nil)
		if err == nil {
			_, err = s.Changes(t.Context(), key, 0, 1)
			s.Close()
		}
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("error %v, want one without the password", err)
		}
	}
	s, err := ownership.Open("postgres://u@127.0.0.1:1/db", func() (string, error) { return "", errors.New("no such file") })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Changes(t.Context(), key, 0, 1); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error %v, want why there is no password", err)
	}
}

func TestOpenSaysWhatItWants(t *testing.T) {
	dir := t.TempDir()
	for _, raw := range []string{"", "sqlite://", "sqlite://host/x.db", "sqlite:///x.db?mode=ro", "http://x", "sqlite:///" + dir[1:] + "/missing/x.db", dir} {
		if s, err := ownership.Open(raw, nil); err == nil {
			s.Close()
			t.Errorf("%q opens", raw)
		}
	}
	raw := "sqlite://" + filepath.Join(dir, "a%20b.db")
	open(t, raw)
	if _, err := os.Stat(filepath.Join(dir, "a b.db")); err != nil {
		t.Error(err)
	}
	for raw, want := range map[string]bool{
		"postgres://u@h/db": false, "postgres://u:p@h/db": true, "postgres://u:@h/db": true, "postgres://h/db?password=x": true, "/path/x.db": false, "postgres://u:%zz@h": true,
	} {
		if got := ownership.HasPassword(raw); got != want {
			t.Errorf("%q has a password: %t", raw, got)
		}
	}
}

func TestAnOutageIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	s := &failing{}
	f := ownership.NewFollower(ownership.FollowOptions{Store: s, Plan: key, Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.Run(ctx) }()
	await(t, "it was asked three times", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.n >= 3 })
	cancel()
	<-ended
	if n := strings.Count(log.String(), "cannot be read"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
}

type failing struct {
	ownership.Store
	mu sync.Mutex
	n  int
}

func (s *failing) Changes(context.Context, plan.Key, int64, int) (ownership.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	return ownership.Page{}, errors.New("the disk is gone")
}

func TestAnIndexIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, model := ownership.NewIndex(), map[string]plan.Side{}
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			id := rapid.SampledFrom([]string{"a", "b", "c", "", "ä/\x00"}).Draw(t, "id")
			side := rapid.SampledFrom([]plan.Side{plan.Legacy, plan.Modern}).Draw(t, "side")
			if rapid.Bool().Draw(t, "add") {
				x.Add(id, side)
				if _, there := model[id]; !there {
					model[id] = side
				}
			} else {
				x.Set(id, side)
				model[id] = side
			}
		}
		counts := map[plan.Side]int64{}
		for _, id := range []string{"a", "b", "c", "", "ä/\x00", "x"} {
			got, known := x.Owner(id)
			want, there := model[id]
			if got != want || known != there {
				t.Fatalf("%q is %q's, %t, want %q, %t", id, got, known, want, there)
			}
			if there {
				counts[want]++
			}
		}
		for _, side := range []plan.Side{plan.Legacy, plan.Modern} {
			if x.Count(side) != counts[side] {
				t.Fatalf("%s owns %d, want %d", side, x.Count(side), counts[side])
			}
		}
	})
}
