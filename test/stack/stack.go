package stack

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/nginxtest"
	"github.com/changeover-dev/changeover/test/promtest"
)

// Options of a stack.
type Options struct {
	// Bin is the folder with changeover and changeover-bridge.
	Bin string
	// Gateway is nginx, bridge, bridged for an nginx with a bridge behind it, behind
	// for a bridge behind a gateway of the test's own, or empty for none that the
	// stack starts.
	Gateway string
	// Args are more arguments of the daemon; a flag given twice has the last
	// value.
	Args []string
	// Sources is the text of a sources file, REPO in it the repository: then the
	// daemon watches those in place of the repository alone.
	Sources string
	// Files of the repository beside the plan, by path.
	Files map[string]string
	// Plan is the text of the plan; LEGACY, MODERN and {GATEWAY: {}} in it stand
	// for the backends' URLs and the gateway.
	Plan string
	// Ask is between the daemon and the stack's Prometheus, whose URL it is
	// given; it returns the URL that the daemon asks. May be nil.
	Ask func(prometheus string) string
	// BridgeArgs are more arguments of the bridge.
	BridgeArgs []string
	// Targets (HOST:PORT) are scraped beside the backends.
	Targets []string
}

// Stack is one that runs, until the test ends. Its methods are for one
// goroutine.
type Stack struct {
	Legacy, Modern *Backend
	Prometheus     *promtest.Server
	NGINX          *nginxtest.Server // nil with the bridge
	// URL of the gateway; Addr is its HOST:PORT.
	URL, Addr string
	// Repo is the bare repository, Clone a person's, State the daemon's.
	Repo, Clone, State string

	t      testing.TB
	o      Options
	daemon *process
	bridge *process
	field  string // spec.gateway
}

// Start starts everything but the daemon.
func Start(t testing.TB, o Options) *Stack {
	t.Helper()
	dir := t.TempDir()
	s := &Stack{
		t: t, o: o, Legacy: newBackend(t, "legacy"), Modern: newBackend(t, "modern"),
		Repo: filepath.Join(dir, "orders.git"), Clone: filepath.Join(dir, "clone"), State: filepath.Join(dir, "state"),
	}
	targets := append([]string{host(s.Legacy.URL), host(s.Modern.URL)}, o.Targets...)
	s.Prometheus = promtest.Start(t, promtest.Scrape("1s", "backends", targets...))
	ask := s.Prometheus.URL
	if o.Ask != nil {
		ask = o.Ask(ask)
	}
	args := []string{
		"run", "--state-dir", s.State, "--prometheus", ask, "--listen", "127.0.0.1:0",
		"--interval", "500ms", "--git-interval", "500ms", "--drift-interval", "2s", "--cooldown", "0s", "--max-per-day", "100", "--log-format", "text",
	}
	s.field = "{" + o.Gateway + ": {}}"
	args = append(args, s.sources(filepath.Join(dir, "sources.yaml"))...)
	switch o.Gateway {
	case "nginx":
		s.NGINX = nginxtest.Start(t)
		s.URL = s.NGINX.URL
		args = append(args, "--nginx-dir", s.NGINX.Dir, "--nginx-conf", s.NGINX.Conf, "--nginx-url", s.NGINX.URL)
	case "bridge":
		args = append(args, s.startBridge(filepath.Join(dir, "bridge", "config.json"))...)
	case "bridged":
		args = append(args, s.startBridge(filepath.Join(dir, "bridge", "config.json"), "--trusted-proxies", "127.0.0.1")...)
		s.field = fmt.Sprintf("{nginx: {bridge: %q}}", s.URL)
		s.NGINX = nginxtest.Start(t)
		s.URL = s.NGINX.URL
		args = append(args, "--nginx-dir", s.NGINX.Dir, "--nginx-conf", s.NGINX.Conf, "--nginx-url", s.NGINX.URL)
	case "behind":
		args = append(args, s.startBridge(filepath.Join(dir, "bridge", "config.json"), "--trusted-proxies", "127.0.0.1")...)
	case "":
	default:
		t.Fatalf("start a stack: unknown gateway %q", o.Gateway)
	}
	args = append(args, o.Args...)
	s.Addr = host(s.URL)
	s.daemon = &process{t: t, name: filepath.Join(o.Bin, "changeover"), args: args, log: &buffer{}}
	s.seed()
	t.Cleanup(func() {
		s.StopDaemon()
		if t.Failed() {
			t.Logf("the daemon said:\n%s", tail(s.daemon.log.String(), 20000))
		}
	})
	return s
}

// sources are the flags that name what is watched.
func (s *Stack) sources(file string) []string {
	s.t.Helper()
	if s.o.Sources == "" {
		return []string{"--repo", s.Repo}
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(s.o.Sources, "REPO", s.Repo)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return []string{"--sources", file}
}

func (s *Stack) startBridge(config string, more ...string) (daemonArgs []string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(config), 0o700); err != nil {
		s.t.Fatal(err)
	}
	addr, admin := child.FreeAddr(s.t), child.FreeAddr(s.t)
	s.URL = "http://" + addr
	s.bridge = &process{
		t: s.t, name: filepath.Join(s.o.Bin, "changeover-bridge"), log: &buffer{},
		args: slices.Concat([]string{"--config", config, "--listen", addr, "--admin", admin}, more, s.o.BridgeArgs),
	}
	s.bridge.start()
	s.t.Cleanup(func() {
		s.bridge.end(syscall.SIGTERM)
		if s.t.Failed() {
			s.t.Logf("the bridge said:\n%s", tail(s.bridge.log.String(), 4000))
		}
	})
	return []string{"--bridge-config", config, "--bridge-url", "http://" + admin}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func host(url string) string { return strings.TrimPrefix(url, "http://") }

// seed makes the repository with the plan in it.
func (s *Stack) seed() {
	s.t.Helper()
	s.run("", "git", "init", "-q", "--bare", "-b", "main", s.Repo)
	s.run("", "git", "clone", "-q", s.Repo, s.Clone)
	s.Write("README.md", "# Orders\n")
	s.Commit("start")
	for name, text := range s.o.Files {
		s.Write(name, text)
	}
	s.Write("orders.yaml", strings.NewReplacer("LEGACY", s.Legacy.URL, "MODERN", s.Modern.URL, "{GATEWAY: {}}", s.field).Replace(s.o.Plan))
	s.Commit("orders: add the plan")
}

func (s *Stack) run(dir, name string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Dana", "GIT_AUTHOR_EMAIL=dana@example.com", "GIT_COMMITTER_NAME=Dana", "GIT_COMMITTER_EMAIL=dana@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Git runs git in the person's clone.
func (s *Stack) Git(args ...string) string { s.t.Helper(); return s.run(s.Clone, "git", args...) }

// Remote runs git in the bare repository.
func (s *Stack) Remote(args ...string) string { s.t.Helper(); return s.run(s.Repo, "git", args...) }

// Write writes a file of the person's clone.
func (s *Stack) Write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.Clone, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Pull brings the person's clone up to the branch.
func (s *Stack) Pull() { s.t.Helper(); s.Git("pull", "-q", "--rebase", "origin", "main") }

// Commit commits all of the person's clone and pushes it.
func (s *Stack) Commit(subject string) plan.Revision {
	s.t.Helper()
	s.Git("add", "-A")
	s.Git("commit", "-q", "--allow-empty", "-m", subject)
	s.Git("push", "-q", "origin", "HEAD:main")
	return plan.Revision(s.Git("rev-parse", "HEAD"))
}

// Edit changes the plan's text by a commit.
func (s *Stack) Edit(subject string, edit func(string) string) plan.Revision {
	s.t.Helper()
	s.Pull()
	b, err := os.ReadFile(filepath.Join(s.Clone, "orders.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.Write("orders.yaml", edit(string(b)))
	return s.Commit(subject)
}

// Declare sets the position by a commit.
func (s *Stack) Declare(position string) plan.Revision {
	s.t.Helper()
	return s.Edit("orders: "+position, func(text string) string {
		pos, err := plan.ParsePosition(position)
		if err != nil {
			s.t.Fatal(err)
		}
		b, err := plan.SetPosition([]byte(text), pos)
		if err != nil {
			s.t.Fatal(err)
		}
		return string(b)
	})
}

// StartDaemon starts the daemon, or starts it again, with more flags: a flag that
// is given twice is what it was given last.
func (s *Stack) StartDaemon(args ...string) { s.t.Helper(); s.daemon.start(args...) }

// StopDaemon ends the daemon with SIGTERM, KillDaemon with SIGKILL.
func (s *Stack) StopDaemon() { s.daemon.end(syscall.SIGTERM) }

// KillDaemon ends the daemon with SIGKILL.
func (s *Stack) KillDaemon() { s.daemon.end(syscall.SIGKILL) }

// DaemonLog is what the daemon said over all its runs.
func (s *Stack) DaemonLog() string { return s.daemon.log.String() }

// Status asks the daemon by the command line, as an operator would.
func (s *Stack) Status() (reconciler.Status, error) { return s.status("orders") }

func (s *Stack) status(name string) (reconciler.Status, error) {
	out, err := exec.Command(filepath.Join(s.o.Bin, "changeover"), "status", name, "--state-dir", s.State, "-o", "json").Output()
	var st reconciler.Status
	if err != nil {
		return st, fmt.Errorf("changeover status: %w", err)
	}
	return st, json.Unmarshal(out, &st)
}

// Await waits until the status is as wanted.
func (s *Stack) Await(what string, within time.Duration, ok func(reconciler.Status) bool) reconciler.Status {
	s.t.Helper()
	return s.AwaitPlan("orders", what, within, ok)
}

// AwaitPlan is Await for another plan of the repository.
func (s *Stack) AwaitPlan(name, what string, within time.Duration, ok func(reconciler.Status) bool) reconciler.Status {
	s.t.Helper()
	var st reconciler.Status
	var err error
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if st, err = s.status(name); err == nil && ok(st) {
			return st
		}
	}
	s.t.Fatalf("%s of %s was not seen within %s; state %s at %s (declared %s), %s %s: %s; error %q; %v", what, name, within, st.State, st.Effective,
		st.Declared, st.Decision.Verb, st.Decision.Reason, st.Decision.Message, st.Error, err)
	return st
}

// Read returns a file of the person's clone.
func (s *Stack) Read(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Clone, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}
