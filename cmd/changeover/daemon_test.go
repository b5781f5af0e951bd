package main

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

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/record"
	"github.com/changeover-dev/changeover/reconciler/web"
)

var stops = plan.Itinerary{{Phase: "setup"}, {Phase: "gradual", Percent: 10}, {Phase: "gradual", Percent: 25}}

// fakeDaemon answers on an admin socket.
type fakeDaemon struct {
	mu       sync.Mutex
	statuses []reconciler.Status
	history  []reconciler.Entry
	refuse   error
	asked    []string
}

func (f *fakeDaemon) Statuses() []reconciler.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]reconciler.Status(nil), f.statuses...)
}

func (f *fakeDaemon) Status(k plan.Key) (reconciler.Status, bool) {
	for _, s := range f.Statuses() {
		if s.Key == k {
			return s, true
		}
	}
	return reconciler.Status{}, false
}

func (f *fakeDaemon) History(_ context.Context, _ plan.Key, n int) ([]reconciler.Entry, error) {
	return f.history[max(0, len(f.history)-n):], nil
}

func (f *fakeDaemon) RequestRollback(_ context.Context, k plan.Key, to plan.Position, reason string) (reconciler.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf("%s to %s: %s", k, to, reason))
	s := f.statuses[0]
	s.State, s.Effective = reconciler.StateRolledBackUnpushed, stops[0]
	return s, f.refuse
}

func (f *fakeDaemon) Ready() error { return nil }

func (f *fakeDaemon) set(change func(*reconciler.Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.statuses[0])
}

// shortDir is a folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "co") //nolint:usetesting // a test's own folder has its name in it: too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// startDaemon serves f and returns its state directory.
func startDaemon(t *testing.T, f *fakeDaemon) string {
	t.Helper()
	dir := shortDir(t)
	l, err := web.ListenUnix(filepath.Join(dir, socketName))
	if err != nil {
		t.Fatal(err)
	}
	srv := web.NewServer(web.AdminHandler(web.Options{Plans: f, Now: time.Now}), slog.New(slog.DiscardHandler))
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return dir
}

func waiting() reconciler.Status {
	since := time.Now().Add(-90 * time.Minute)
	return reconciler.Status{
		Key: plan.Key{Namespace: "default", Name: "shop"}, Path: "plans/shop.yaml", Declared: stops[2], Effective: stops[1],
		Since: since, BakedAt: time.Now().Add(time.Hour), State: reconciler.StateWaiting, Itinerary: stops,
		Decision: decide.Decision{Verb: decide.Hold, Target: stops[1], Reason: decide.Baking, Message: "gradual@10 bakes for 2h30m", RecheckAt: time.Now().Add(time.Hour)},
		Head:     "1111111111111111111111111111111111111111", Applied: "2222222222222222222222222222222222222222",
		Gates: gates.Results{
			{Key: gates.Key{Stop: stops[1], Effect: plan.Advance, Name: "low-errors"}, Verdict: gates.NoData, Now: gates.NoData, Expr: "signal.errors < 0.01", Detail: "errors: no series"},
			{Key: gates.Key{Stop: stops[1], Effect: plan.Breaches, Name: "slow"}, Verdict: gates.Pass, Now: gates.Pass, Expr: "signal.p95 > 1.0", Values: map[string]float64{"p95": 1.25}},
		},
		Holds:     []decide.HoldOf{{Commit: "3333333333333333333333333333333333333333", At: since}},
		CheckedAt: time.Now(), GitReadAt: time.Now(),
	}
}

// call runs the command line in this process.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func wantAll(t *testing.T, got string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			t.Errorf("output lacks %q:\n%s", p, got)
		}
	}
}

func TestStatusTableIsThatOfKubectl(t *testing.T) {
	dir := startDaemon(t, &fakeDaemon{statuses: []reconciler.Status{waiting()}})
	code, out, errs := call(t, "status", "--state-dir", dir)
	want := "NAMESPACE   NAME   DECLARED     EFFECTIVE    STATE     REASON   AGE\n" +
		"default     shop   gradual@25   gradual@10   Waiting   Baking   90m\n"
	if code != 0 || out != want || errs != "" {
		t.Errorf("code %d, errors %q, got:\n%s", code, errs, out)
	}
	_, out, _ = call(t, "status", "--state-dir", dir, "-o", "wide")
	wantAll(t, out, "1111111111", "2222222222", "plans/shop.yaml", "gradual@10 bakes for 2h30m")
	if _, out, _ = call(t, "status", "--state-dir", dir, "-n", "other"); out != "" {
		t.Errorf("plans of another namespace: %s", out)
	}
}

func TestStatusOfOnePlanSaysWhatWhyUntilWhenAndWhatNext(t *testing.T) {
	f := &fakeDaemon{statuses: []reconciler.Status{waiting()}}
	dir := startDaemon(t, f)
	code, out, errs := call(t, "status", "shop", "--state-dir", dir)
	if code != 0 || errs != "" {
		t.Fatalf("code %d: %s", code, errs)
	}
	wantAll(t, out, "Plan:        default/shop (plans/shop.yaml)", "Doing:       Hold at gradual@10", "Why:         Baking: gradual@10 bakes for 2h30m",
		"Waits until:", "(in 59m)", "setup > [gradual@10] > gradual@25*", "low-errors   NoData\n    signal.errors < 0.01: errors: no series\n", "slow         Breach\n    signal.p95 > 1.0: p95=1.25\n",
		"Rolled back, and not applied again:\n  commit   3333333333\n", "What to do:")

	f.set(func(s *reconciler.Status) {
		s.Move = &decide.Move{Verb: decide.Rollback, From: stops[2], To: stops[1], Step: decide.StepTraffic, Attempts: 2, Error: "nginx -t: unknown directive"}
		s.Pending = &decide.Pending{Target: stops[1], Error: "push: no route to host"}
		s.Halt = &decide.HaltOf{Reason: decide.HistoryRewritten, Message: "lost 444"}
		s.Error = "apply: broken\x1b[2J"
		s.Problems = []plan.Problem{{File: "plans/shop.yaml", Line: 3, Column: 2, Code: "unknown-field", Message: "nope", Source: " nam: x"}}
	})
	_, out, _ = call(t, "status", "default/shop", "--state-dir", dir)
	wantAll(t, out, "Rollback from gradual@25 to gradual@10, at step Traffic, 2 attempts\n             failed (nginx -t: unknown directive)",
		"Rolling back:\n", "to gradual@10, decided", "revert   not in Git yet: push: no route to host", "HistoryRewritten): lost 444", "plans/shop.yaml:3:2: unknown-field: nope", "changeover resume default/shop")
	if strings.Contains(out, "\x1b") {
		t.Error("an error's escape sequence reached the terminal")
	}
}

func TestStatusListsAllThatBlocksAndWhatIsNext(t *testing.T) {
	s := waiting()
	s.Decision.Blocks = []decide.Block{
		{Reason: decide.Baking, Message: "gradual@10 bakes for 2h30m", Until: s.BakedAt},
		{Reason: decide.GateNoData, Message: "no data: advance gate low-errors"},
	}
	s.Decision.Next = stops[2]
	s.Gates = append(s.Gates, gates.Result{Key: gates.Key{Stop: stops[2], Effect: plan.Enter, Name: "ready"}, Verdict: gates.Fail})
	dir := startDaemon(t, &fakeDaemon{statuses: []reconciler.Status{s}})
	code, out, errs := call(t, "status", "shop", "--state-dir", dir)
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	wantAll(t, out, "Baking; all that blocks:\n", "\n  - Baking: gradual@10 bakes for 2h30m, until ",
		"\n  - GateNoData: no data: advance gate low-errors\n", "Next:        "+stops[2].String()+", enter gates: ready Fail\n")
}

func TestStatusForPrograms(t *testing.T) {
	dir := startDaemon(t, &fakeDaemon{statuses: []reconciler.Status{waiting()}})
	_, out, _ := call(t, "status", "--state-dir", dir, "-o", "json")
	if !strings.HasPrefix(out, "[\n") {
		t.Errorf("all plans are no list: %s", out)
	}
	_, out, _ = call(t, "status", "shop", "--state-dir", dir, "-o", "yaml")
	wantAll(t, out, "state: Waiting\n", "reason: Baking\n", "path: plans/shop.yaml\n")
	_, out, _ = call(t, "gates", "shop", "--state-dir", dir, "-o", "json")
	wantAll(t, out, `"verdict": "NoData"`, `"checkedAt"`)
}

func TestUnknownPlanNamesThoseThatAreThere(t *testing.T) {
	dir := startDaemon(t, &fakeDaemon{statuses: []reconciler.Status{waiting()}})
	for _, args := range [][]string{{"status", "shoop"}, {"history", "shoop"}, {"gates", "shoop"}, {"status", "other/shop"}} {
		code, _, errs := call(t, append(args, "--state-dir", dir)...)
		if code != exitFindings || !strings.Contains(errs, "there is default/shop") {
			t.Errorf("%q: code %d, %q", args, code, errs)
		}
	}
}

func TestGatesAndHistory(t *testing.T) {
	f := &fakeDaemon{statuses: []reconciler.Status{waiting()}}
	for i := range 30 {
		f.history = append(f.history, reconciler.Entry{At: time.Date(2026, 3, 1, 12, i, 0, 0, time.UTC), Verb: decide.Rollback, Reason: decide.Breach, From: stops[2], To: stops[1],
			Message: fmt.Sprintf("breach %d", i), Commits: []plan.Revision{"4444444444444444"}, Evidence: waiting().Gates[1:]})
	}
	dir := startDaemon(t, f)
	_, out, errs := call(t, "gates", "shop", "--state-dir", dir, "-o", "wide")
	wantAll(t, out, "STOP", "gradual@10   rollback   slow", "signal.p95 > 1.0")
	wantAll(t, errs, "Evaluated ")
	_, out, _ = call(t, "history", "shop", "--state-dir", dir, "--limit", "2", "-o", "wide")
	if n := strings.Count(out, "\n"); n != 3 {
		t.Errorf("%d lines, want 3:\n%s", n, out)
	}
	wantAll(t, out, "2026-03-01T12:29:00Z   Rollback   Breach   gradual@25   gradual@10   4444444444   breach 29", "[slow p95=1.25]")
}

func TestWatchPrintsOnlyNews(t *testing.T) {
	a := &app{stdout: &bytes.Buffer{}, now: time.Now}
	out := a.stdout.(*bytes.Buffer)
	news := &statusNews{query: statusQuery{out: &outputFlag{value: formatTable}}, last: map[whose]string{}}
	s := waiting()
	for range 3 {
		s.CheckedAt = s.CheckedAt.Add(time.Second)
		s.Decision.Message += " (errors=0.1)"
		if err := a.printNews([]reconciler.Status{s}, news); err != nil {
			t.Fatal(err)
		}
	}
	s.Effective = stops[2]
	_ = a.printNews([]reconciler.Status{s}, news)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "NAMESPACE") {
		t.Fatalf("got:\n%s", out)
	}
	if strings.Index(lines[1], "Waiting") != strings.Index(lines[2], "Waiting") {
		t.Errorf("columns moved:\n%s", out)
	}
}

func TestRollbackAsksTheDaemonFirst(t *testing.T) {
	f := &fakeDaemon{statuses: []reconciler.Status{waiting()}}
	dir := startDaemon(t, f)
	code, out, errs := call(t, "rollback", "shop", "--reason", "errors", "--state-dir", dir, "--dry-run")
	if code != 0 || len(f.asked) != 0 {
		t.Errorf("dry run: code %d, asked %q, %s", code, f.asked, errs)
	}
	wantAll(t, out, "Dry run: the daemon would be asked", "from gradual@10 to what the newest raise replaced, because: errors")
	code, out, errs = call(t, "rollback", "shop", "--reason", "errors", "--to", "setup", "--state-dir", dir)
	if code != 0 || errs != "" || len(f.asked) != 1 || f.asked[0] != "default/shop to setup: errors" {
		t.Errorf("code %d, asked %q, %s", code, f.asked, errs)
	}
	wantAll(t, out, "took the request: default/shop goes back from gradual@10 to setup (RolledBackUnpushed)", "the revert in Git follows by itself")
}

func TestRollbackThatTheDaemonRefusesIsNotCommittedBehindItsBack(t *testing.T) {
	f := &fakeDaemon{statuses: []reconciler.Status{waiting()}, refuse: errors.New("the plan is suspended")}
	dir := startDaemon(t, f)
	code, _, errs := call(t, "rollback", "shop", "--reason", "errors", "--state-dir", dir)
	if code != exitFindings {
		t.Errorf("code %d", code)
	}
	wantAll(t, errs, "the daemon refused: the plan is suspended", "changeover rollback default/shop --git")
	f.refuse = context.DeadlineExceeded
	code, _, errs = call(t, "rollback", "shop", "--reason", "errors", "--state-dir", dir)
	if code != exitFailed {
		t.Errorf("timeout: code %d", code)
	}
	wantAll(t, errs, "it may have begun: see `changeover status default/shop`")
}

func TestWithoutADaemonTheDirectoryIsRead(t *testing.T) {
	dir := shortDir(t)
	d, err := record.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := waiting()
	if err := errors.Join(d.Save(t.Context(), s.Key, decide.Record{}), d.SaveStatus(t.Context(), s), d.Append(t.Context(), s.Key, reconciler.Entry{Verb: decide.Advance, Message: "went on"})); err != nil {
		t.Fatal(err)
	}
	other := plan.Key{Namespace: "ops", Name: "bare"}
	if err := d.Save(t.Context(), other, decide.Record{Applied: &decide.Applied{Stop: stops[1], Since: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	code, out, errs := call(t, "status", "--state-dir", dir)
	if code != 0 {
		t.Fatalf("code %d: %s", code, errs)
	}
	wantAll(t, out, "default     shop   gradual@25", "ops         bare   none         gradual@10")
	wantAll(t, errs, "No daemon is running on "+dir)
	_, out, _ = call(t, "history", "shop", "--state-dir", dir)
	wantAll(t, out, "went on")
}
