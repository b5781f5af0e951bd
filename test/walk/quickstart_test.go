package walk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// outcome is what a command of the quick start must print, as the README says. One
// that is awaited is given again until it does: the README says so too.
type outcome struct {
	// command is how it begins, and nth which of those that begin so, from 0.
	command string
	nth     int
	prints  string // an extended regular expression of grep
	awaited bool
}

var outcomes = []outcome{
	{"changeover init", 0, `see .changeover test plans/shop_test.yaml.`, false},
	{"changeover validate", 0, `1 plan checked: no problems`, false},
	{"changeover test", 0, `3 tests: 3 ok, 0 failed`, false},
	{"changeover simulate", 0, `complete at sunset after 4d`, false},
	{"changeover validate", 1, `1 plan checked: no problems`, false},
	{"changeover rehearse", 0, `Nothing stands in the way`, false},
	{"changeover status", 0, `default +shop +setup +setup +Steady`, true},
	{"changeover doctor", 0, `prometheus.daemon +ok`, true},
	{"curl", 0, `^legacy$`, true},
	{"changeover advance", 0, `Pushed .* to branch changeover/advance-shop-gradual@10`, false},
	{"changeover status shop", 0, `Effective: +gradual@10`, true},
	{"for i in", 0, `90 legacy`, false},
	{"for i in", 0, `10 modern`, false},
	{"kubectl get deployments", 0, `gradual +10`, true},
	{"kubectl get deployments", 0, `modern +2/2`, false},
	{"changeover rollback", 0, `goes back from gradual@10 to setup`, false},
	{"changeover status ", 2, `default +shop +setup +setup +Steady`, true},
	{"git pull -q && git log -1", 0, `Revert "Advance shop from setup to gradual@10"`, false},
	{"changeover history", 0, `the revert is on the branch`, true},
}

// prelude has the functions by which commands are given. They are given in this
// shell, as they may change its folder and its environment.
const prelude = `
set -u
given() { # COMMAND
  echo "\$ $1"
  if eval "$1" >"$HOME/out" 2>&1; then cat "$HOME/out"; else echo "ended with $?"; cat "$HOME/out"; exit 1; fi
}
prints() { # PATTERN
  grep -Eq -- "$1" "$HOME/out" || { echo "it does not print: $1"; exit 1; }
}
awaited() { # PATTERN COMMAND
  echo "\$ $2"
  for _ in $(seq 360); do
    if eval "$2" >"$HOME/out" 2>&1 && grep -Eq -- "$1" "$HOME/out"; then cat "$HOME/out"; return; fi
    sleep 0.5
  done
  cat "$HOME/out"; echo "waited in vain for: $1"; exit 1
}
`

// script is the quick start's, with the check of each outcome behind its command.
func script(t *testing.T, all []string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(prelude)
	seen, used := map[string]int{}, map[int]bool{}
	for _, c := range all {
		// At a stop with gates, and when all that the walk can have counted is counted.
		if strings.HasPrefix(c, "changeover rollback ") || strings.HasPrefix(c, "kill ") {
			b.WriteString("awaited changeover_build_info 'curl -sS http://127.0.0.1:9080/metrics' >/dev/null\ncat \"$HOME/out\" >>\"$HOME/daemon.metrics\"\n")
		}
		shown, waits := []string{}, ""
		for i, o := range outcomes {
			if !strings.HasPrefix(c, o.command) {
				continue
			}
			key := fmt.Sprint(i)
			seen[key]++
			if seen[key] != o.nth+1 {
				continue
			}
			used[i] = true
			if o.awaited && waits == "" {
				waits = o.prints
			} else {
				shown = append(shown, o.prints)
			}
		}
		if waits != "" {
			fmt.Fprintf(&b, "awaited %s %s\n", quoted(waits), quoted(c))
		} else {
			fmt.Fprintf(&b, "given %s\n", quoted(c))
		}
		for _, s := range shown {
			fmt.Fprintf(&b, "prints %s\n", quoted(s))
		}
	}
	for i, o := range outcomes {
		if !used[i] {
			t.Errorf("the quick start has no command %q any more (number %d)", o.command, o.nth)
		}
	}
	return b.String() + "echo walked\n"
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// addresses of this test in place of the README's: others may run beside it.
func addresses(t *testing.T, s string) string {
	t.Helper()
	var pairs []string
	for _, port := range []string{"8080", "8081", "8082", "8083", "9080", "9090"} {
		mine := child.FreeAddr(t)
		_, number, _ := strings.Cut(mine, ":")
		if !strings.Contains(s, "127.0.0.1:"+port) {
			t.Errorf("the quick start does not use port %s any more", port)
		}
		pairs = append(pairs, "127.0.0.1:"+port, mine, "http.server "+port, "http.server "+number)
	}
	return strings.NewReplacer(pairs...).Replace(s)
}

// TestANewUserGetsThroughTheQuickStart gives its commands literally, one after the
// other, in one shell, against a real control plane and a real Prometheus.
func TestANewUserGetsThroughTheQuickStart(t *testing.T) {
	all := blocks(section(t, readme(t), "## Quick start"))
	if want := []string{"make build", "export CHANGEOVER=$PWD PATH=$PWD/bin:$PATH"}; len(all) < 8 || !slices.Equal(all[0][:2], want) {
		t.Fatalf("the quick start has %d blocks, and the first is not what this test stands for: %q", len(all), all[0])
	}
	var lines []string
	for _, b := range all[1:] {
		lines = append(lines, commands(b)...)
	}
	k := kubetest.Shared(t)
	home, err := os.MkdirTemp("", "walk-") //nolint:usetesting // short: the daemon's socket lies below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	file := filepath.Join(home, "walk.sh")
	if err := os.WriteFile(file, []byte(addresses(t, script(t, lines))), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", file)
	cmd.Dir, cmd.Env = home, environ(t, home, "KUBECONFIG="+k.Kubeconfig)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ended, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("end what the walk started: %v", err)
		}
	})
	<-ended
	if !cmd.ProcessState.Success() || !strings.HasSuffix(out.String(), "walked\n") {
		t.Errorf("the walk ended with %v:\n%s%s", cmd.ProcessState, out.String(), logs(home))
	}
	scraped(t, filepath.Join(home, "daemon.metrics"))
	// Nobody but the reader may have to think of these.
	if m := regexp.MustCompile(`(?m)^.*(?:panic:|DATA RACE).*$`).FindString(logs(home)); m != "" {
		t.Errorf("a program panicked: %s", m)
	}
}

// logs of what the walk started.
func logs(home string) string {
	var b strings.Builder
	names, _ := filepath.Glob(filepath.Join(home, "first", "*.log")) // the pattern is good
	for _, n := range names {
		text, err := os.ReadFile(n)
		fmt.Fprintf(&b, "\n%s: %v\n%s", filepath.Base(n), err, text[max(0, len(text)-4000):])
	}
	return b.String()
}
