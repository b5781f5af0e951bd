package git

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// gitConfig stands for the machine's own Git configuration: hosts and persons
// do no housekeeping, which would take more processes than what is tested, and
// do not wait for the disk.
var gitConfig, _ = filepath.Abs("testdata/gitconfig")

// begun is a folder with a host and a person's clone, as newFixture copies
// them.
var begun string

// begunTick is where the clock of those stands.
const begunTick = 7

// TestMain keeps the machine's own Git configuration out of the tests.
func TestMain(m *testing.M) {
	os.Exit(inBegun(m))
}

func inBegun(m *testing.M) int {
	for _, e := range []string{"GIT_CONFIG_GLOBAL=" + gitConfig, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C"} {
		k, v, _ := strings.Cut(e, "=")
		os.Setenv(k, v)
	}
	var err error
	if begun, err = os.MkdirTemp("", "begun"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(begun)
	return m.Run()
}

// accept reports whether the full counts are asked for.
func accept() bool { return os.Getenv("CHANGEOVER_ACCEPT") != "" }

var (
	shop  = plan.Key{Namespace: "default", Name: "shop"}
	epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

const shopFile = "plans/shop.yaml"

// shopPlan is a valid plan at a position, with lines to change around it.
func shopPlan(position string, edits ...string) string {
	phase, percent, ok := strings.Cut(position, "@")
	if ok {
		phase += ", percent: " + percent
	}
	text := fmt.Sprintf(`# The shop moves to its new checkout.
apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: %s}  # one line is a promotion

  backends:
    legacy: {url: "http://127.0.0.1:8081"}
    modern: {url: "http://127.0.0.1:8082"}
  gateway: {nginx: {}}
  identity: {header: X-Tenant-ID}

  signals:
    errors:
      query: sum(rate(errors_total[1m]))
      maxAge: 1m

  phases:
    - name: setup
      routes: [{to: legacy}]

    - name: gradual
      percents: [10, 25, 50, 100]
      bake: 10m
      routes:
        - to: split
      gates:
        rollback: [{name: many-errors, expr: signal.errors > 0.03}]

    - name: done
      routes: [{to: modern}]
`, phase)
	for i := 0; i+1 < len(edits); i += 2 {
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	return text
}

// fixture is a bare repository, as a host has it, and a person's clone.
type fixture struct {
	t    testing.TB
	bare string
	work string
	tick int
}

// newFixture has the shop's plan at setup in its first commit.
func newFixture(t testing.TB) *fixture {
	t.Helper()
	beginning.Do(func() { begin(t) })
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(begun)); err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, bare: filepath.Join(dir, "host.git"), work: filepath.Join(dir, "work"), tick: begunTick}
	config := filepath.Join(f.work, ".git", "config")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(string(text), begun, dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	return f
}

var beginning sync.Once

// begin makes what newFixture copies.
func begin(t testing.TB) {
	t.Helper()
	f := &fixture{t: t, bare: filepath.Join(begun, "host.git"), work: filepath.Join(begun, "work")}
	f.run(begun, "init", "-q", "--bare", "-b", "main", f.bare)
	f.run(begun, "init", "-q", "-b", "main", f.work)
	f.git("remote", "add", "origin", f.bare)
	f.commit("add the shop's plan", shopFile, shopPlan("setup"), "README.md", "hello\n")
	f.push()
	samples, err := filepath.Glob(filepath.Join(f.bare, "hooks", "*.sample"))
	if err != nil || len(samples) == 0 {
		t.Fatalf("%d samples of hooks, %v", len(samples), err)
	}
	for _, name := range samples {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if f.tick != begunTick {
		t.Fatalf("it took %d commands", f.tick)
	}
}

func (f *fixture) run(dir string, args ...string) string {
	f.t.Helper()
	out, err := f.try(dir, args...)
	if err != nil {
		f.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// try runs git with a clock of its own: each command is a minute later.
func (f *fixture) try(dir string, args ...string) (string, error) {
	f.tick++
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	date := epoch.Add(time.Duration(f.tick) * time.Minute).Format(time.RFC3339)
	cmd.Env = append(os.Environ(),
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE="+date,
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_COMMITTER_DATE="+date)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// git runs in the person's clone.
func (f *fixture) git(args ...string) string { f.t.Helper(); return f.run(f.work, args...) }

// host runs in the bare repository.
func (f *fixture) host(args ...string) string { f.t.Helper(); return f.run(f.bare, args...) }

func (f *fixture) write(path, content string) {
	f.t.Helper()
	full := filepath.Join(f.work, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// commit writes pairs of path and content and commits them with all else.
func (f *fixture) commit(message string, files ...string) plan.Revision {
	f.t.Helper()
	for i := 0; i+1 < len(files); i += 2 {
		f.write(files[i], files[i+1])
	}
	f.git("add", "-A")
	f.git("commit", "-q", "--allow-empty", "-m", message)
	return f.rev("HEAD")
}

// promote commits a new position, and pushes it.
func (f *fixture) promote(position string) plan.Revision {
	f.t.Helper()
	rev := f.commit("shop to "+position, shopFile, shopPlan(position))
	f.push()
	return rev
}

// commitOn commits on top of the host's head.
func (f *fixture) commitOn(message string, files ...string) plan.Revision {
	f.t.Helper()
	f.git("fetch", "-q", "origin")
	f.git("reset", "-q", "--hard", "origin/main")
	return f.commit(message, files...)
}

func (f *fixture) push() { f.t.Helper(); f.git("push", "-q", "origin", "HEAD:main") }

func (f *fixture) rev(name string) plan.Revision {
	f.t.Helper()
	return plan.Revision(f.git("rev-parse", name))
}

func (f *fixture) hostHead() plan.Revision {
	f.t.Helper()
	return plan.Revision(f.host("rev-parse", "main"))
}

// shown is a file's content on the host's branch.
func (f *fixture) shown(path string) string {
	f.t.Helper()
	cmd := exec.Command("git", "show", "main:"+path)
	cmd.Dir = f.bare
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.t.Fatalf("git show main:%s: %v\n%s", path, err, out)
	}
	return string(out)
}

// hook installs a hook on the host.
func (f *fixture) hook(name, script string) {
	f.t.Helper()
	file := filepath.Join(f.bare, "hooks", name)
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) fsck(dir string) {
	f.t.Helper()
	if out := f.run(dir, "fsck", "--strict", "--full"); strings.Contains(out, "error") || strings.Contains(out, "warning") || strings.Contains(out, "missing") {
		f.t.Errorf("git fsck --strict: %s", out)
	}
}

// options for a repository on this host, with its store on disk.
func (f *fixture) options() Options {
	return Options{
		URL: f.bare, Branch: "main", Path: "plans", Dir: filepath.Join(f.t.TempDir(), "store"),
		Author: Author{"Changeover", "changeover@example.com"},
		Now:    func() time.Time { return epoch.Add(24 * time.Hour) },
	}
}

func (f *fixture) open() *Repository {
	f.t.Helper()
	return openWith(f.t, f.options())
}

func openWith(t testing.TB, o Options) *Repository {
	t.Helper()
	r, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// openVia is Open with a change to how the remote is reached.
func openVia(t *testing.T, o Options, change func(*remote)) (*Repository, error) {
	t.Helper()
	o, err := o.complete()
	if err != nil {
		t.Fatal(err)
	}
	rem, err := newRemote(o)
	if err != nil {
		t.Fatal(err)
	}
	change(rem)
	r, err := open(t.Context(), o, rem)
	if err == nil {
		t.Cleanup(func() { _ = r.Close() })
	}
	return r, err
}

func poll(t testing.TB, r *Repository) plan.Revision {
	t.Helper()
	head, err := r.Poll(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// position is what a revision declares.
func position(t testing.TB, r *Repository, rev plan.Revision) string {
	t.Helper()
	v, err := r.Version(context.Background(), shop, rev)
	if err != nil {
		t.Fatal(err)
	}
	return v.Plan.Spec.Position.String()
}

func at(s string) plan.Position {
	p, err := plan.ParsePosition(s)
	if err != nil {
		panic(err)
	}
	return p
}

// undo asks for the reverts of commits, newest first.
func undo(from, to string, commits ...plan.Revision) reconciler.Undo {
	return reconciler.Undo{
		Key: shop, Commits: commits, From: at(from), Target: at(to),
		Message: "Gate many-errors is breached: 0.041 > 0.03.", Gates: []string{"many-errors"},
		Evidence: "errors=0.041", At: epoch.Add(48 * time.Hour),
	}
}

func push(t testing.TB, r *Repository, u reconciler.Undo) reconciler.Pushed {
	t.Helper()
	p, err := pushOne(r, u)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pushOne pushes a single undo, whose own error counts as the push's.
func pushOne(r *Repository, u reconciler.Undo) (reconciler.Pushed, error) {
	ps, err := r.Push(context.Background(), []reconciler.Undo{u})
	if err != nil {
		return reconciler.Pushed{}, err
	}
	return ps[0], ps[0].Err
}
