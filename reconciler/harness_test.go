package reconciler_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/git"
	"github.com/changeover-dev/changeover/reconciler/record"
	"github.com/changeover-dev/changeover/test/fakes"
)

// TestMain keeps the machine's own Git configuration out of the tests.
func TestMain(m *testing.M) {
	config, err := filepath.Abs("git/testdata/gitconfig")
	if err != nil {
		panic(err)
	}
	os.Setenv("GIT_CONFIG_GLOBAL", config)
	os.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	os.Exit(m.Run())
}

var shop = plan.Key{Namespace: "default", Name: "shop"}

const shopPlan = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: setup}
  backends:
    legacy: {url: "http://127.0.0.1:8080"}
    modern: {url: "http://127.0.0.1:8000"}
  gateway: {nginx: {}}
  identity: {header: X-User}
  signals:
    errors: {query: errors}
    late: {query: late, maxAge: 10ms} # fresh evidence comes at once
  phases:
    - name: setup
      routes: [{to: legacy}]
    - name: gradual
      percents: [10, 25, 50, 100]
      routes: [{to: split}]
      gates:
        advance: [{name: low, expr: "signal.errors < 0.01"}]
        rollback:
          - {name: high, expr: "signal.errors > 0.03"}
          - {name: late, expr: "signal.late > 0.5"}
`

// rig is a daemon's loop over a real repository and a real record, with a
// gateway and a Prometheus in memory.
type rig struct {
	t       testing.TB
	remote  string // bare
	clone   string // a person's
	state   string
	traffic *fakes.Traffic
	sampler *fakes.Sampler
	log     *lockedBuffer
	branch  *memoryBranch             // in place of the repository; may be nil
	wrap    func(*reconciler.Options) // puts something between the loop and its ports; may be nil

	r           *reconciler.Reconciler
	stop, close func()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t testing.TB) *rig {
	t.Helper()
	dir := t.TempDir()
	g := &rig{
		t: t, remote: filepath.Join(dir, "remote.git"), clone: filepath.Join(dir, "clone"), state: filepath.Join(dir, "state"),
		traffic: &fakes.Traffic{}, sampler: &fakes.Sampler{}, log: &lockedBuffer{},
	}
	g.run(dir, "git", "init", "-q", "--bare", "-b", "main", g.remote)
	g.run(dir, "git", "clone", "-q", g.remote, g.clone)
	g.sampler.Set("errors", 0)
	g.sampler.Set("late", 0)
	g.write("README.md", "the shop\n")
	g.commit("start")
	g.write("shop.yaml", shopPlan)
	g.commit("add the plan")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("daemon:\n%s", g.log)
		}
	})
	return g
}

func (g *rig) run(dir, name string, args ...string) string {
	g.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=Dana", "GIT_AUTHOR_EMAIL=dana@example.com",
		"GIT_COMMITTER_NAME=Dana", "GIT_COMMITTER_EMAIL=dana@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (g *rig) git(args ...string) string { g.t.Helper(); return g.run(g.clone, "git", args...) }

func (g *rig) write(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.clone, name), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// commit commits all and pushes; it returns the commit.
func (g *rig) commit(subject string) plan.Revision {
	g.t.Helper()
	g.git("add", "-A")
	g.git("commit", "-q", "--allow-empty", "-m", subject)
	g.git("push", "-q", "origin", "HEAD:main")
	return plan.Revision(g.git("rev-parse", "HEAD"))
}

// raise edits the position in a person's clone and pushes.
func (g *rig) raise(position string) plan.Revision {
	g.t.Helper()
	g.git("pull", "-q", "--rebase", "origin", "main")
	b, err := os.ReadFile(filepath.Join(g.clone, "shop.yaml"))
	if err != nil {
		g.t.Fatal(err)
	}
	pos, err := plan.ParsePosition(position)
	if err != nil {
		g.t.Fatal(err)
	}
	if b, err = plan.SetPosition(b, pos); err != nil {
		g.t.Fatal(err)
	}
	g.write("shop.yaml", string(b))
	return g.commit("shop: " + position)
}

// open makes the loop over the repository and the record without running it.
func (g *rig) open() {
	g.t.Helper()
	rec, err := record.Open(g.state)
	for range 100 {
		if !errors.Is(err, record.ErrLocked) {
			break
		}
		// A git process that another test is starting has the lock's file open
		// for a moment.
		time.Sleep(10 * time.Millisecond)
		rec, err = record.Open(g.state)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	src, closed := g.source()
	o := reconciler.Options{
		Source: src, Check: gates.Check, NGINX: g.traffic, Sampler: g.sampler, Recorder: rec, Notifier: silent{}, Now: time.Now,
		Log:      slog.New(slog.NewTextHandler(g.log, nil)),
		Interval: 20 * time.Millisecond, GitInterval: 100 * time.Millisecond, DriftInterval: 50 * time.Millisecond,
		Limits: decide.Limits{GitMaxAge: time.Minute, MaxPerDay: 10},
	}
	if g.wrap != nil {
		g.wrap(&o)
	}
	g.r, err = reconciler.New(o)
	if err != nil {
		g.t.Fatal(err)
	}
	g.close = func() {
		if err := rec.Close(); err != nil {
			g.t.Errorf("close the record: %v", err)
		}
		closed()
	}
	var once sync.Once
	g.stop = func() { once.Do(g.close) }
	g.t.Cleanup(func() { g.stop() })
}

func (g *rig) source() (src reconciler.Source, closed func()) {
	g.t.Helper()
	if g.branch != nil {
		return g.branch, func() {}
	}
	r, err := git.Open(g.t.Context(), git.Options{
		URL: g.remote, Branch: "main", Dir: filepath.Join(g.state, "git"), Now: time.Now,
		Author: git.Author{Name: "Changeover", Email: "changeover@localhost"}, Timeout: 5 * time.Second,
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return r, func() { _ = r.Close() }
}

// start runs the loop until stop is called; a second start is a restart.
func (g *rig) start() {
	g.t.Helper()
	g.open()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.r.Run(ctx) }()
	var once sync.Once
	g.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				g.t.Errorf("run: %v", err)
			}
			g.close()
		})
	}
}

type silent struct{}

func (silent) Notify(context.Context, plan.Key, reconciler.Entry, bool) {}

// await waits until the status is as wanted.
func (g *rig) await(what string, ok func(reconciler.Status) bool) reconciler.Status {
	g.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	var st reconciler.Status
	for time.Now().Before(deadline) {
		st, _ = g.r.Status(shop)
		if ok(st) {
			return st
		}
		time.Sleep(5 * time.Millisecond)
	}
	g.t.Fatalf("%s was not seen; the status is %s at %s (declared %s), %s %s: %s; error %q", what, st.State, st.Effective, st.Declared,
		st.Decision.Verb, st.Decision.Reason, st.Decision.Message, st.Error)
	return st
}

func (g *rig) awaitSteady(stop string) reconciler.Status {
	g.t.Helper()
	return g.await("steady at "+stop, func(s reconciler.Status) bool {
		return s.State == reconciler.StateSteady && s.Effective.String() == stop && s.Declared == s.Effective
	})
}

// travel declares each stop by a commit, and waits until the plan is there.
func (g *rig) travel(stops ...string) {
	g.t.Helper()
	for _, stop := range stops {
		g.raise(stop)
		g.awaitSteady(stop)
	}
}

// subjects of the branch's commits, newest first.
func (g *rig) subjects() []string {
	g.t.Helper()
	return strings.Split(g.run(g.remote, "git", "log", "--format=%s", "main"), "\n")
}
