package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/load"
	"github.com/changeover-dev/changeover/test/stack"
)

// await is how long a script waits for a state.
const await = 60 * time.Second

// TestStories runs the scripts in testdata. Beside testscript's own commands:
//
//	stack nginx|bridge      starts backends, Prometheus, gateway and repository
//	daemon start|stop|kill
//	load                    200 requests a second from 300 callers from here on
//	declare STOP            a person's commit that sets the position
//	replace SUBJECT OLD NEW a person's commit that edits the plan's text; \n in NEW is a line's end
//	revert                  a person's git revert of the newest commit
//	docs                    a person's commit beside the plan
//	pull                    brings $CLONE up to the branch
//	await STATE STOP        waits until the daemon's status says so
//	awaitreason REASON STOP the same by the decision's reason
//	stays STOP DURATION     the effective stop is the same all that time
//	modern broken N|healed  N percent of modern's answers are errors
//	hook refuse|slow|none   what the remote does with a push to main
//	share MIN MAX           percentage of the load's callers that modern serves now
//	unfailed                no request of the load failed but by the broken modern
//	reverts N               the branch has N reverts made by the daemon
//	agree                   Git, status, nginx or bridge and `git fsck` say the same
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			e.Values["world"] = &world{t: e.T().(testing.TB)}
			return nil
		},
		Cmds: commands(),
	})
}

// world is what a script's commands share.
type world struct {
	t    testing.TB
	s    *stack.Stack
	load *load.Load
}

func commands() map[string]func(*testscript.TestScript, bool, []string) {
	cmds := map[string]func(*testscript.TestScript, bool, []string){}
	for name, c := range map[string]struct {
		args int
		do   func(*testscript.TestScript, *world, []string)
	}{
		"stack": {1, startStack}, "daemon": {1, daemon}, "load": {0, beginLoad}, "declare": {1, declare}, "replace": {3, replace}, "revert": {0, revert},
		"docs": {0, docs}, "pull": {0, pull}, "await": {2, awaitState}, "awaitreason": {2, awaitReason}, "stays": {2, stays},
		"modern": {1, modern}, "hook": {1, hook}, "share": {2, share}, "unfailed": {0, unfailed}, "reverts": {1, reverts}, "agree": {0, agree},
	} {
		cmds[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) < c.args {
				ts.Fatalf("usage: %s takes %d arguments and no !", name, c.args)
			}
			c.do(ts, ts.Value("world").(*world), args)
		}
	}
	return cmds
}

func startStack(ts *testscript.TestScript, w *world, args []string) {
	w.s = stack.Start(w.t, stack.Options{Bin: bin, Gateway: args[0], Plan: ordersPlan})
	ts.Setenv("CLONE", w.s.Clone)
	ts.Setenv("REPO", w.s.Repo)
	ts.Setenv("STATE", w.s.State)
}

func beginLoad(_ *testscript.TestScript, w *world, _ []string) { w.load = startLoad(w.t, w.s) }

// startLoad sends 200 requests a second from 300 callers until the test ends.
func startLoad(t testing.TB, s *stack.Stack) *load.Load {
	l := load.Start(t.Context(), load.Options{
		Addr: s.Addr, Path: "/orders", Header: "X-User", Callers: 300, Rate: 200,
		Allow: func(status int) bool { return status == 200 || status == 500 },
	})
	t.Cleanup(func() { l.Stop() })
	return l
}

func daemon(ts *testscript.TestScript, w *world, args []string) {
	switch args[0] {
	case "start":
		w.s.StartDaemon()
	case "stop":
		w.s.StopDaemon()
	case "kill":
		w.s.KillDaemon()
	default:
		ts.Fatalf("daemon %q: want start, stop or kill", args[0])
	}
}

func declare(_ *testscript.TestScript, w *world, args []string) { w.s.Declare(args[0]) }

func replace(ts *testscript.TestScript, w *world, args []string) {
	w.s.Edit(args[0], func(text string) string {
		if !strings.Contains(text, args[1]) {
			ts.Fatalf("the plan has no %q:\n%s", args[1], text)
		}
		return strings.Replace(text, args[1], strings.ReplaceAll(args[2], `\n`, "\n"), 1)
	})
}

func revert(_ *testscript.TestScript, w *world, _ []string) {
	w.s.Pull()
	w.s.Git("revert", "--no-edit", "HEAD")
	w.s.Git("push", "-q", "origin", "HEAD:main")
}

func docs(_ *testscript.TestScript, w *world, _ []string) {
	w.s.Pull()
	w.s.Write("README.md", fmt.Sprintf("# Orders\n\n%s\n", time.Now()))
	w.s.Commit("docs")
}

func pull(_ *testscript.TestScript, w *world, _ []string) { w.s.Pull() }

func awaitState(_ *testscript.TestScript, w *world, args []string) {
	w.s.Await(args[0]+" at "+args[1], await, func(s reconciler.Status) bool {
		return string(s.State) == args[0] && s.Effective.String() == args[1] && (args[0] != "Steady" || s.Declared == s.Effective)
	})
}

func awaitReason(_ *testscript.TestScript, w *world, args []string) {
	w.s.Await(args[0]+" at "+args[1], await, func(s reconciler.Status) bool {
		return string(s.Decision.Reason) == args[0] && s.Effective.String() == args[1]
	})
}

func stays(ts *testscript.TestScript, w *world, args []string) {
	d, err := time.ParseDuration(args[1])
	ts.Check(err)
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		// A daemon that has just begun has not looked at the plan yet, and says so.
		if st, err := w.s.Status(); err == nil && st.State != reconciler.StateWaiting && st.Effective.String() != args[0] {
			ts.Fatalf("the plan went to %s: %s", st.Effective, st.Decision.Message)
		}
	}
}

func modern(ts *testscript.TestScript, w *world, args []string) {
	if args[0] == "healed" {
		w.s.Modern.Break(0)
		return
	}
	if len(args) < 2 {
		ts.Fatalf("usage: modern broken PERCENT")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	w.s.Modern.Break(n)
}

func hook(ts *testscript.TestScript, w *world, args []string) {
	path := filepath.Join(w.s.Repo, "hooks", "update")
	text := map[string]string{
		"refuse": "#!/bin/sh\n[ \"$1\" = refs/heads/main ] && { echo 'protected branch' >&2; exit 1; }\nexit 0\n",
		"slow":   "#!/bin/sh\nsleep 3\nexit 0\n",
	}[args[0]]
	if text == "" {
		ts.Check(os.Remove(path))
		return
	}
	ts.Check(os.WriteFile(path, []byte(text), 0o700))
}

// measure is the percentage of callers that modern serves, over a fresh look at
// all of them.
func measure(w *world) float64 {
	w.load.Reset()
	for w.load.Seen() < 300 {
		time.Sleep(20 * time.Millisecond)
	}
	return float64(len(w.load.On("modern"))) * 100 / 300
}

func share(ts *testscript.TestScript, w *world, args []string) {
	least, err := strconv.ParseFloat(args[0], 64)
	ts.Check(err)
	most, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	failed := w.load.Tally().Failed
	if got := measure(w); got < least || got > most {
		ts.Fatalf("modern serves %.1f %% of the callers, want %g to %g", got, least, most)
	} else {
		ts.Logf("modern serves %.1f %% of the callers", got)
	}
	if len(failed) > 0 {
		ts.Fatalf("requests failed: %v", failed)
	}
}

func unfailed(ts *testscript.TestScript, w *world, _ []string) {
	tally := w.load.Tally()
	ts.Logf("%s", tally)
	if len(tally.Failed) > 0 || tally.Requests == 0 {
		ts.Fatalf("requests failed: %v", tally.Failed)
	}
}

func reverts(ts *testscript.TestScript, w *world, args []string) {
	got := strings.Count(w.s.Remote("log", "--format=%B", "main"), "Changeover-Rollback-Of:")
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("the branch has %d reverts, want %s:\n%s", got, args[0], w.s.Remote("log", "--format=%h %an %s", "main"))
	}
}

func agree(ts *testscript.TestScript, w *world, _ []string) {
	st, err := w.s.Status()
	ts.Check(err)
	if st.Declared != st.Effective || !st.Observed.Gateway.Healthy || st.Observed.Gateway.Stop != st.Effective || st.Pending != nil {
		ts.Fatalf("git declares %s, the effective stop is %s, the gateway is at %s (healthy %v), pending %v",
			st.Declared, st.Effective, st.Observed.Gateway.Stop, st.Observed.Gateway.Healthy, st.Pending)
	}
	ts.Logf("%s", w.s.Remote("fsck", "--strict"))
}
