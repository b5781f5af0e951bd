package reconciler_test

import (
	"os"
	"path/filepath"
	"strings"
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
