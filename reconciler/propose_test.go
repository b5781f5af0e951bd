package reconciler_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

func TestTheNextStopIsProposedOnceAndAPersonMerges(t *testing.T) {
	g := newRig(t)
	g.write("shop.yaml", strings.Replace(shopPlan, "\n  position:", "\n  promotion: auto\n  position:", 1))
	g.commit("the daemon proposes")
	hook := "#!/bin/sh\nwhile read old new ref; do echo $ref >> pushed; done\n"
	if err := os.WriteFile(filepath.Join(g.remote, "hooks", "post-receive"), []byte(hook), 0o700); err != nil {
		t.Fatal(err)
	}
	g.start()
	g.awaitSteady("setup")
	const branch = "changeover/advance-shop-gradual@10"
	proposed := func() (n int) {
		es, err := g.r.History(t.Context(), shop, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			if e.Reason == decide.Proposed && strings.Contains(e.Message, branch) {
				n++
			}
		}
		return n
	}
	g.await("the proposal in the history", func(reconciler.Status) bool { return proposed() > 0 })
	st := g.awaitSteady("setup")
	checked := st.CheckedAt
	g.await("some evaluations", func(s reconciler.Status) bool { return s.CheckedAt.Sub(checked) > 200e6 })
	b, err := os.ReadFile(filepath.Join(g.remote, "pushed"))
	if err != nil || strings.TrimSpace(string(b)) != "refs/heads/"+branch || proposed() != 1 {
		t.Errorf("pushed %q, %v; %d times in the history, want once", b, err, proposed())
	}
	g.git("fetch", "-q", "origin")
	g.git("merge", "-q", "--no-ff", "-m", "go on", "origin/"+branch)
	g.git("push", "-q", "origin", "HEAD:main")
	g.awaitSteady("gradual@10")
}

// asked are the pull requests that were asked for, each once.
type asked struct {
	mu  sync.Mutex
	all []reconciler.PullRequest
}

func (a *asked) Open(p reconciler.PullRequest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, old := range a.all {
		if old == p {
			return
		}
	}
	a.all = append(a.all, p)
}

func (a *asked) taken() []reconciler.PullRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.all
	a.all = nil
	return all
}

func TestAPullRequestIsAskedForWhereABranchWaits(t *testing.T) {
	g := newRig(t)
	var pulls asked
	g.wrap = func(o *reconciler.Options) { o.PullRequests = &pulls }
	g.write("shop.yaml", strings.Replace(shopPlan, "\n  position:", "\n  promotion: auto\n  position:", 1))
	g.commit("the daemon proposes")
	g.start()
	var got []reconciler.PullRequest
	g.await("the proposal", func(reconciler.Status) bool { got = append(got, pulls.taken()...); return len(got) > 0 })
	if p := got[0]; len(got) != 1 || p.Key != shop || p.Branch != "changeover/advance-shop-gradual@10" || p.Title != "shop: gradual@10" || !strings.Contains(p.Body, "What happens next") {
		t.Errorf("asked for %+v", got)
	}
	g.travel("gradual@10", "gradual@25")
	pulls.taken()
	hook := "#!/bin/sh\n[ \"$1\" = refs/heads/main ] && { echo protected branch; exit 1; }\nexit 0\n"
	if err := os.WriteFile(filepath.Join(g.remote, "hooks", "update"), []byte(hook), 0o700); err != nil {
		t.Fatal(err)
	}
	g.sampler.Set("errors", 0.2)
	st := g.await("the revert on a branch", func(s reconciler.Status) bool { return s.Pending != nil && s.Pending.Branch != "" })
	g.sampler.Set("errors", 0)
	for _, when := range []string{"at once", "after a restart"} {
		if when == "after a restart" {
			g.stop()
			pulls.taken()
			g.start()
		}
		var revert []reconciler.PullRequest
		g.await("the pull request of the revert", func(reconciler.Status) bool {
			for _, p := range pulls.taken() {
				if p.Branch == st.Pending.Branch {
					revert = append(revert, p)
				}
			}
			return len(revert) > 0
		})
		if p := revert[0]; p.Title != "Roll back shop from gradual@25 to gradual@10" || !strings.Contains(p.Body, "held at gradual@10") {
			t.Errorf("%s: asked for %+v", when, p)
		}
	}
}
