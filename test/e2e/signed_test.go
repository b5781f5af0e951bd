package e2e

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/stack"
)

// signers are keys of people and of the daemon, and the file that names those
// who are trusted.
type signers struct{ dir, trusted string }

func newSigners(t *testing.T, names ...string) *signers {
	t.Helper()
	s := &signers{dir: t.TempDir()}
	s.trusted = filepath.Join(s.dir, "trusted")
	for _, name := range names {
		cmd := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", s.key(name))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	return s
}

func (s *signers) key(name string) string { return filepath.Join(s.dir, name) }

// trust writes the file anew.
func (s *signers) trust(t *testing.T, names ...string) {
	t.Helper()
	var b strings.Builder
	for _, name := range names {
		public, err := os.ReadFile(s.key(name) + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(name + "@example.com " + string(public))
	}
	if err := os.WriteFile(s.trusted, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// as has the person's clone sign with a key, or with none.
func (s *signers) as(st *stack.Stack, name string) {
	st.Git("config", "gpg.format", "ssh")
	st.Git("config", "gpg.ssh.allowedSignersFile", s.trusted)
	st.Git("config", "commit.gpgsign", map[bool]string{true: "true", false: "false"}[name != ""])
	if name != "" {
		st.Git("config", "user.signingkey", s.key(name))
	}
}

// metrics are the lines about verification that the daemon serves.
func metrics(t *testing.T, page string) string {
	t.Helper()
	resp, err := http.Get("http://" + page + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out strings.Builder
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "changeover_git_unverified") {
			out.WriteString(lines.Text() + "\n")
		}
	}
	return out.String()
}

// TestOnlySignedHeadsMoveTraffic: an unsigned raise holds the plan at what was
// verified last and the status says why; a signed commit lets it go; a key that
// is added counts without a restart, and one that is taken out does not; a
// breach takes traffic back meanwhile; and what the daemon commits is signed.
func TestOnlySignedHeadsMoveTraffic(t *testing.T) {
	keys := newSigners(t, "ada", "eve", "daemon")
	keys.trust(t, "ada", "daemon")
	page := child.FreeAddr(t)
	s := stack.Start(t, stack.Options{Bin: bin, Gateway: "bridge", Plan: ordersPlan, Args: []string{
		"--listen", page,
		"--verify", "head", "--git-trusted-keys", keys.trusted, "--git-signing-key", keys.key("daemon"),
	}})
	keys.as(s, "ada")
	s.Write("README.md", "signed\n")
	s.Commit("docs, signed")
	s.StartDaemon()
	s.Await("steady at setup", await, steadyAt("setup"))
	startLoad(t, s)

	keys.as(s, "")
	raise := s.Declare("gradual@10")
	held := s.Await("the unsigned head is told", await, func(st reconciler.Status) bool { return st.Unverified })
	if !strings.Contains(held.GitError, raise.Short()) || !strings.Contains(held.GitError, "it is not signed") {
		t.Errorf("the status says %q", held.GitError)
	}
	time.Sleep(2 * time.Second)
	if st, err := s.Status(); err != nil || st.Effective.String() != "setup" || st.Declared.String() != "setup" {
		t.Fatalf("an unsigned head moved it: %s, declared %s, %v", st.Effective, st.Declared, err)
	}
	keys.as(s, "ada")
	s.Write("README.md", "vouched for\n")
	s.Commit("docs, signed")
	s.Await("steady at 10 %", await, steadyAt("gradual@10"))

	keys.as(s, "eve")
	s.Declare("gradual@25")
	s.Await("the unknown key is told", await, func(st reconciler.Status) bool {
		return st.Unverified && strings.Contains(st.GitError, "not among the trusted keys")
	})
	keys.trust(t, "ada", "daemon", "eve")
	s.Await("steady at 25 %", await, steadyAt("gradual@25"))

	// The key is taken out again, and the daemon runs on.
	keys.trust(t, "ada", "daemon")
	trafficGoesBackUnderAHeldHead(t, s, page)
	if log := s.DaemonLog(); strings.Contains(log, "PRIVATE KEY") {
		t.Error("the log has a private key")
	}
}

// trafficGoesBackUnderAHeldHead: nothing of a key that was taken out is taken
// up, and traffic stays; a breach takes it back all the same, and the revert
// lands when the branch is in order.
func trafficGoesBackUnderAHeldHead(t *testing.T, s *stack.Stack, page string) {
	t.Helper()
	removed := s.Declare("gradual@50")
	held := s.Await("the removed key is told", await, func(st reconciler.Status) bool {
		return st.Unverified && strings.Contains(st.GitError, removed.Short())
	})
	if !strings.Contains(held.GitError, "not among the trusted keys") || held.Effective.String() != "gradual@25" {
		t.Errorf("at %s the status says %q", held.Effective, held.GitError)
	}
	if m := metrics(t, page); !strings.Contains(m, "changeover_git_unverified{plan=\"default/orders\"} 1\n") {
		t.Errorf("the metrics do not say that the head is not taken up:\n%s", m)
	}
	s.Modern.Break(100)
	back := s.Await("traffic goes back", await, func(st reconciler.Status) bool {
		return st.Effective.String() == "gradual@10" && st.Pending != nil && st.Pending.Error != ""
	})
	if !back.Unverified || !strings.Contains(back.Pending.Error, "not taken up") || s.Remote("rev-parse", "main") != string(removed) {
		t.Errorf("its revert waits because %q, and the branch is at %s", back.Pending.Error, s.Remote("rev-parse", "main"))
	}
	s.Modern.Break(0)

	// Without that commit the branch is in order, and the revert lands.
	s.Git("reset", "-q", "--hard", "HEAD^")
	s.Git("push", "-q", "--force", "origin", "HEAD:main")
	s.Await("the revert on the branch", await, func(st reconciler.Status) bool {
		return steadyAt("gradual@10")(st) && st.Pending == nil && !st.Unverified
	})
	s.Pull()
	if out := s.Git("log", "-1", "--format=%G? %GS %s"); out != `G daemon@example.com Revert "orders: gradual@25"` {
		t.Errorf("the newest commit is %q", out)
	}
	if m := metrics(t, page); !strings.Contains(m, "changeover_git_unverified{plan=\"default/orders\"} 0\n") {
		t.Errorf("the metrics still say that the head is not taken up:\n%s", m)
	}
}
