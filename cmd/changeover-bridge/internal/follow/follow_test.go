package follow_test

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

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/follow"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// config number n; all of them route differently.
func config(t testing.TB, n int) bridge.Config {
	t.Helper()
	c := bridge.Config{
		Version: bridge.Version, Salt: fmt.Sprint("salt", n),
		Plan:     plan.Key{Namespace: "default", Name: "so"},
		Stop:     plan.Position{Phase: "setup"},
		Backends: plan.Backends{Legacy: plan.Backend{URL: "http://127.0.0.1:1"}, Modern: plan.Backend{URL: "http://127.0.0.1:2"}},
		Rules:    []bridge.Rule{{To: plan.ToLegacy}},
	}
	var err error
	if c.Hash, err = c.Sum(); err != nil {
		t.Fatal(err)
	}
	return c
}

func encode(t testing.TB, c bridge.Config) []byte {
	t.Helper()
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// replace puts a file in place as the daemon does.
func replace(t testing.TB, path string, src []byte) {
	t.Helper()
	if err := os.WriteFile(path+".tmp", src, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
}

type fixture struct {
	*follow.Follower
	t        testing.TB
	file     string
	registry *prometheus.Registry

	mu     sync.Mutex
	served []string
	refuse error
}

func newFixture(t testing.TB, file string, reread time.Duration) *fixture {
	log := slog.New(slog.DiscardHandler)
	f := newFixtureOf(t, follow.File{Path: file, Reread: reread, Log: log}, "")
	f.file = file
	return f
}

func newFixtureOf(t testing.TB, source follow.Source, cache follow.Cache) *fixture {
	f := &fixture{t: t, registry: prometheus.NewRegistry()}
	f.Follower = follow.New(follow.Options{
		Source: source, Cache: cache, Log: slog.New(slog.DiscardHandler), Metrics: follow.NewMetrics(f.registry),
		Serve: func(c bridge.Config) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.refuse != nil {
				return f.refuse
			}
			f.served = append(f.served, c.Hash)
			return nil
		},
	})
	return f
}

func (f *fixture) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	f.t.Cleanup(func() { cancel(); <-done })
}

// awaits waits for a status: the machine may be busy.
func (f *fixture) awaits(what string, ok func(follow.Status) bool) {
	f.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok(f.Status()) {
			return
		}
	}
	f.t.Fatalf("status %+v, want %s", f.Status(), what)
}

func (f *fixture) reloads(applied, marked, rejected int) {
	f.t.Helper()
	want := fmt.Sprintf(`# HELP changeover_bridge_config_reloads_total Changes of the config by result: applied, marked (no other routes), rejected.
# TYPE changeover_bridge_config_reloads_total counter
changeover_bridge_config_reloads_total{result="applied"} %d
changeover_bridge_config_reloads_total{result="marked"} %d
changeover_bridge_config_reloads_total{result="rejected"} %d
`, applied, marked, rejected)
	if err := testutil.GatherAndCompare(f.registry, strings.NewReader(want), "changeover_bridge_config_reloads_total"); err != nil {
		f.t.Error(err)
	}
}

func TestAFileIsReadOnceForEachChange(t *testing.T) {
	f := newFixture(t, filepath.Join(t.TempDir(), "bridge.json"), time.Hour)
	one, two := config(t, 1), config(t, 2)
	replace(t, f.file, encode(t, one))
	f.Read(t.Context())
	f.Read(t.Context())
	f.reloads(1, 0, 0)

	marked := one
	marked.Mark = &bridge.Mark{Revision: "abc"}
	replace(t, f.file, encode(t, marked))
	f.Read(t.Context())
	f.reloads(1, 1, 0)
	if s := f.Status(); s != (follow.Status{Hash: one.Hash}) {
		t.Errorf("status %+v, want hash %s alone", s, one.Hash)
	}
	replace(t, f.file, encode(t, two))
	f.Read(t.Context())
	f.reloads(2, 1, 0)
	if f.Status().Hash != two.Hash {
		t.Errorf("hash %s, want %s", f.Status().Hash, two.Hash)
	}
}

func TestARefusedFileChangesNothingButTheStatus(t *testing.T) {
	f := newFixture(t, filepath.Join(t.TempDir(), "bridge.json"), time.Hour)
	good := encode(t, config(t, 1))
	replace(t, f.file, good)
	f.Read(t.Context())
	hash := f.Status().Hash

	bad := []byte("{}")
	replace(t, f.file, bad)
	f.Read(t.Context())
	f.Read(t.Context())
	if s := f.Status(); s.Hash != hash || s.Rejected != bridge.Digest(bad) || s.Error == "" {
		t.Errorf("status %+v, want hash %s and why %s was refused", s, hash, bridge.Digest(bad))
	}
	f.reloads(1, 0, 1)
	if err := os.Remove(f.file); err != nil {
		t.Fatal(err)
	}
	f.Read(t.Context())
	if s := f.Status(); s.Hash != hash || s.Rejected != "" || !strings.Contains(s.Error, "does not exist") {
		t.Errorf("status %+v, want hash %s and that the file is missing", s, hash)
	}
	replace(t, f.file, good)
	f.Read(t.Context())
	if s := f.Status(); s != (follow.Status{Hash: hash}) {
		t.Errorf("status %+v after the good file came back", s)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.served) != 1 {
		t.Errorf("served %v, want the good config once", f.served)
	}
}

func TestAConfigThatCannotBeServedIsRefused(t *testing.T) {
	f := newFixture(t, filepath.Join(t.TempDir(), "bridge.json"), time.Hour)
	f.refuse = errors.New("serve config: out of luck")
	src := encode(t, config(t, 1))
	replace(t, f.file, src)
	f.Read(t.Context())
	if s := f.Status(); s.Hash != "" || s.Rejected != bridge.Digest(src) || s.Error != "serve config: out of luck" {
		t.Errorf("status %+v", s)
	}
}

func TestWhatIsNoRegularFileIsRefusedWithoutWaiting(t *testing.T) {
	f := newFixture(t, t.TempDir(), time.Hour)
	f.Read(t.Context())
	if s := f.Status(); !strings.Contains(s.Error, "is no regular file") {
		t.Errorf("status %+v", s)
	}
}

func TestEveryWayToReplaceTheFileIsSeen(t *testing.T) {
	dir := t.TempDir()
	f := newFixture(t, filepath.Join(dir, "bridge.json"), time.Hour) // no help from the slow reading
	f.run()
	next := 0
	step := func(name string, write func(src []byte)) {
		t.Helper()
		next++
		c := config(t, next)
		write(encode(t, c))
		f.awaits(name, func(s follow.Status) bool { return s.Hash == c.Hash && s.Error == "" })
	}
	rename := func(src []byte) { replace(t, f.file, src) }
	step("a file that appears", rename)
	for range 20 {
		step("a rename", rename)
	}
	step("a write in place", func(src []byte) {
		if err := os.WriteFile(f.file, src, 0o644); err != nil {
			t.Fatal(err)
		}
	})
	step("a slow write in place", func(src []byte) {
		w, err := os.Create(f.file)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		for part := range bytes.Lines(src) {
			w.Write(part)
			time.Sleep(time.Millisecond)
		}
	})
	// As a ConfigMap is mounted: bridge.json -> ..data/bridge.json, where
	// ..data is a link that is swapped.
	mount := func(src []byte) {
		version := fmt.Sprintf("..v%d", next)
		if err := os.Mkdir(filepath.Join(dir, version), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, version, "bridge.json"), src, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(version, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	step("a file that becomes a mounted one", func(src []byte) {
		mount(src)
		if err := os.Remove(f.file); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("..data/bridge.json", f.file); err != nil {
			t.Fatal(err)
		}
	})
	step("a swapped link", mount)
	step("a second swapped link", mount)
}

func TestTheSlowReadingSeesWhatNoEventTells(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "conf")
	f := newFixture(t, filepath.Join(dir, "bridge.json"), 50*time.Millisecond)
	f.run()
	one, two, three := config(t, 1), config(t, 2), config(t, 3)
	has := func(c bridge.Config) func(follow.Status) bool {
		return func(s follow.Status) bool { return s.Hash == c.Hash && s.Error == "" }
	}
	build := func(name string, c bridge.Config) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(parent, name), 0o755); err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(parent, name, "bridge.json"), encode(t, c))
	}
	build("conf", one)
	f.awaits("the file in a folder that came into being", has(one))
	build("new", two)
	if err := os.Rename(dir, filepath.Join(parent, "old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(parent, "new"), dir); err != nil {
		t.Fatal(err)
	}
	f.awaits("the file in a folder that was replaced", has(two))
	replace(t, f.file, encode(t, three))
	f.awaits("a rename in the new folder", has(three))
}
