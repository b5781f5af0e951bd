package reconciler_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/git"
	"github.com/changeover-dev/changeover/reconciler/git/signature"
)

// heldPager counts the pages for heads that are not taken up.
type heldPager struct{ pages atomic.Int32 }

func (p *heldPager) Notify(_ context.Context, _ plan.Key, e reconciler.Entry, page bool) {
	if page && e.Reason == decide.Unverified {
		p.pages.Add(1)
	}
}

// TestAnUnverifiedHeadHoldsAndTrafficStillGoesBack: nothing is taken from it, a
// person is paged once and told, a breach takes traffic back, and the revert
// follows when the head is verified.
func TestAnUnverifiedHeadHoldsAndTrafficStillGoesBack(t *testing.T) {
	g := newRig(t)
	dir := t.TempDir()
	key, trusted := filepath.Join(dir, "key"), filepath.Join(dir, "trusted")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	pub, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	ann := filepath.Join(dir, "ann")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ann).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	pub2, err := os.ReadFile(ann + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(trusted, []byte("daemon "+string(pub)+"ann "+string(pub2)), 0o600); err != nil {
		t.Fatal(err)
	}
	sign := func(on string) {
		g.git("config", "gpg.format", "ssh")
		g.git("config", "user.signingkey", ann)
		g.git("config", "commit.gpgsign", on)
	}
	sign("true")
	g.raise("setup")
	p := &heldPager{}
	g.wrap = func(o *reconciler.Options) {
		r, err := git.Open(t.Context(), git.Options{
			URL: g.remote, Branch: "main", Now: time.Now, Timeout: 5 * time.Second,
			Verify: git.VerifyHead, TrustedKeys: []string{trusted}, Signing: signature.SigningKey{File: key},
		})
		if err != nil {
			t.Fatal(err)
		}
		o.Source, o.Notifier = r, p
	}
	g.start()
	defer func() { g.stop() }()
	g.awaitSteady("setup")
	g.travel("gradual@10")

	sign("false")
	bad := g.commit("not signed")
	st := g.await("held", func(s reconciler.Status) bool { return s.Unverified })
	if !strings.Contains(st.GitError, bad.Short()) || !strings.Contains(st.GitError, "it is not signed") || st.Effective.String() != "gradual@10" {
		t.Errorf("the status says %q at %s", st.GitError, st.Effective)
	}
	g.sampler.Set("errors", 0.05)
	st = g.await("traffic back while the head is unverified", func(s reconciler.Status) bool {
		return s.Effective.String() == "setup" && s.Pending != nil && s.Pending.Error != ""
	})
	if head := g.run(g.remote, "git", "rev-parse", "main"); head != string(bad) || !strings.Contains(st.Pending.Error, "not taken up") {
		t.Errorf("the branch is at %s, and the revert waits because %q", head, st.Pending.Error)
	}
	if n := p.pages.Load(); n != 1 {
		t.Errorf("%d pages, want 1", n)
	}
	g.sampler.Set("errors", 0)
	sign("true")
	g.commit("vouched for")
	g.await("the revert on the branch", func(s reconciler.Status) bool {
		return s.Pending == nil && !s.Unverified && s.Declared.String() == "setup"
	})
	if got := g.subjects()[0]; !strings.HasPrefix(got, "Revert") {
		t.Errorf("the branch's head is %q", got)
	}
}
