package script

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/changeover-dev/changeover/test/forgetest"
	"github.com/changeover-dev/changeover/test/promtest"
)

var update = flag.Bool("update", false, "rewrite the expected outputs in testdata")

// bin holds the binary under test.
var bin string

func TestMain(m *testing.M) { os.Exit(withBinary(m.Run)) }

func withBinary(tests func() int) int {
	dir, err := os.MkdirTemp("", "changeover-script-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin = dir
	args := []string{"build", "-ldflags", "-X main.version=v0.0.0-test", "-o", filepath.Join(dir, "changeover")}
	if underRace {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "../../cmd/changeover")...)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build changeover:", err)
		return 1
	}
	return tests()
}

func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":       code,
			"until":      until,
			"prometheus": prometheus,
			"forge":      startForge,
			"pulls":      pulls,
		},
	})
}

// setup gives each script a home of its own, so that no configuration of this
// machine is seen, and a clock and author that make commits equal.
func setup(e *testscript.Env) error {
	home := filepath.Join(e.WorkDir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	e.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	e.Setenv("HOME", home)
	e.Values["t"] = e.T().(testing.TB)
	e.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	e.Setenv("GIT_AUTHOR_NAME", "Ada")
	e.Setenv("GIT_AUTHOR_EMAIL", "ada@example.com")
	e.Setenv("GIT_COMMITTER_NAME", "Ada")
	e.Setenv("GIT_COMMITTER_EMAIL", "ada@example.com")
	return nil
}

// prometheus starts a Prometheus with six hours of one series, error_ratio,
// that end at 13:00 on the first of March 2024: 0.05 from 12:00 to 12:10, else
// 0.001. Its URL is in $PROMETHEUS.
func prometheus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: prometheus")
	}
	var history strings.Builder
	end := time.Date(2024, 3, 1, 13, 0, 0, 0, time.UTC)
	for ago := 6 * time.Hour; ago >= 0; ago -= 15 * time.Second {
		ratio := 0.001
		if ago <= time.Hour && ago > 50*time.Minute {
			ratio = 0.05
		}
		fmt.Fprintf(&history, "error_ratio %g %d\n", ratio, end.Add(-ago).Unix())
	}
	history.WriteString("# EOF\n")
	ts.Setenv("PROMETHEUS", promtest.Start(ts.Value("t").(testing.TB), "{}", history.String()).URL)
}

// startForge starts a GitHub of our own. Its URL is in $FORGE, and the file
// token has a token that it takes.
func startForge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: forge")
	}
	const token = "ghp_canary0123456789"
	f := forgetest.NewFake(ts.Value("t").(testing.TB), token)
	ts.Check(os.WriteFile(ts.MkAbs("token"), []byte(token+"\n"), 0o600))
	ts.Setenv("FORGE", f.URL)
	forges.Store(f.URL, f)
}

// forges by their URL: *forgetest.Fake. Scripts run at the same time.
var forges sync.Map

// pulls prints the pull requests into a file: pulls FILE.
func pulls(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: pulls FILE")
	}
	var out strings.Builder
	f, ok := forges.Load(ts.Getenv("FORGE"))
	if !ok {
		ts.Fatalf("pulls comes after forge")
	}
	for _, p := range f.(*forgetest.Fake).Pulls() {
		fmt.Fprintf(&out, "%d: %s to %s: %s\n%s\n", p.Number, p.Branch, p.Base, p.Title, p.Body)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(out.String()), 0o600))
}

// code runs a command and compares its exit code: code 2 changeover nonsense.
// What it prints can then be looked at as after exec.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND [ARG...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("run %q: %v", args[1:], err)
	}
	if want := args[0]; fmt.Sprint(got) != want {
		ts.Fatalf("%q ended with %d, want %s", args[1:], got, want)
	}
}

// patience is how long until waits; what it waits for takes a second or two.
const patience = 30 * time.Second

// until runs a command again and again before its output matches: until
// PATTERN COMMAND [ARG...].
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN COMMAND [ARG...]")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(50 * time.Millisecond) {
		// A daemon that is not up yet is no failure.
		_ = ts.Exec(args[1], args[2:]...)
		if want.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("%q never printed %q", args[1:], args[0])
}
