package reconciler_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

func TestAPromotionThatBreachesIsRevertedAndNotAppliedAgain(t *testing.T) {
	g := newRig(t)
	g.start()
	g.awaitSteady("setup")
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	bad := g.raise("gradual@25")
	g.awaitSteady("gradual@25")
	g.sampler.Set("errors", 0.2)
	st := g.awaitSteady("gradual@10")
	if len(st.Holds) != 1 || st.Holds[0].Commit != bad || st.Holds[0].Evidence[0].Values["errors"] != 0.2 {
		t.Errorf("holds are %+v, want one on %s with the value 0.2", st.Holds, bad)
	}
	if s := g.subjects()[0]; s != `Revert "shop: gradual@25"` {
		t.Errorf("the newest commit is %q", s)
	}
	body := g.run(g.remote, "git", "log", "-1", "--format=%B", "main")
	for _, want := range []string{"This reverts commit " + string(bad), "Changeover-Rollback-Of: " + string(bad), "Changeover-Gate: high", "errors=0.2"} {
		if !strings.Contains(body, want) {
			t.Errorf("the revert's message has no %q:\n%s", want, body)
		}
	}
	g.sampler.Set("errors", 0)
	g.git("pull", "-q", "--rebase", "origin", "main")
	g.write("README.md", "docs on top\n")
	g.commit("docs")
	time.Sleep(300 * time.Millisecond)
	if log := g.traffic.Log(); !slices.Equal(log, []string{"setup", "gradual@10", "gradual@25", "gradual@10"}) {
		t.Errorf("the gateway went %v", log)
	}
	g.run(g.remote, "git", "fsck", "--strict")
}

func TestTrafficGoesBackWhileTheRemoteIsGoneAndTheRevertLandsOnce(t *testing.T) {
	g := newRig(t)
	g.start()
	g.travel("gradual@10", "gradual@25")
	away := g.remote + ".away"
	if err := os.Rename(g.remote, away); err != nil {
		t.Fatal(err)
	}
	g.sampler.Set("errors", 0.2)
	st := g.await("rolled back, not pushed", func(s reconciler.Status) bool {
		return s.State == reconciler.StateRolledBackUnpushed && s.Effective.String() == "gradual@10" && s.Pending.Error != ""
	})
	if st.Declared.String() != "gradual@25" {
		t.Errorf("git declares %s", st.Declared)
	}
	g.sampler.Set("errors", 0)
	// Somebody pushes docs before the daemon gets there.
	g.git("remote", "set-url", "origin", away)
	g.write("README.md", "pushed meanwhile\n")
	g.commit("docs meanwhile")
	g.git("remote", "set-url", "origin", g.remote)
	if err := os.Rename(away, g.remote); err != nil {
		t.Fatal(err)
	}
	g.awaitSteady("gradual@10")
	want := []string{`Revert "shop: gradual@25"`, "docs meanwhile", "shop: gradual@25", "shop: gradual@10", "add the plan", "start"}
	if got := g.subjects(); !slices.Equal(got, want) {
		t.Errorf("the log is %q, want %q", got, want)
	}
}

func TestAProtectedBranchKeepsTheBadCommitQuarantinedAcrossARestart(t *testing.T) {
	g := newRig(t)
	g.start()
	g.travel("gradual@10", "gradual@25")
	hook := "#!/bin/sh\n[ \"$1\" = refs/heads/main ] && { echo protected branch; exit 1; }\nexit 0\n"
	if err := os.WriteFile(filepath.Join(g.remote, "hooks", "update"), []byte(hook), 0o700); err != nil {
		t.Fatal(err)
	}
	g.sampler.Set("errors", 0.2)
	st := g.await("the revert on a branch", func(s reconciler.Status) bool { return s.Pending != nil && s.Pending.Branch != "" })
	if got := g.run(g.remote, "git", "log", "-1", "--format=%s", st.Pending.Branch); got != `Revert "shop: gradual@25"` {
		t.Errorf("branch %s holds %q", st.Pending.Branch, got)
	}
	g.sampler.Set("errors", 0)
	g.stop()
	g.start()
	g.await("quarantined after the restart", func(s reconciler.Status) bool {
		return s.Decision.Reason == decide.Quarantined && s.Effective.String() == "gradual@10"
	})
	time.Sleep(200 * time.Millisecond)
	if log := g.traffic.Log(); log[len(log)-1] != "gradual@10" || len(log) != 4 {
		t.Errorf("the gateway went %v", log)
	}
	// A person merges the branch: the world agrees again.
	if err := os.Remove(filepath.Join(g.remote, "hooks", "update")); err != nil {
		t.Fatal(err)
	}
	g.git("fetch", "-q", "origin")
	g.git("merge", "-q", "--no-ff", "-m", "Merge the rollback", "origin/"+st.Pending.Branch)
	g.git("push", "-q", "origin", "HEAD:main")
	g.awaitSteady("gradual@10")
}

func TestTheLostRecordIsRebuiltFromGitAndTheDataPlane(t *testing.T) {
	g := newRig(t)
	g.start()
	g.raise("gradual@25")
	g.awaitSteady("gradual@25")
	bad := g.raise("gradual@50")
	g.awaitSteady("gradual@50")
	g.sampler.Set("errors", 0.2)
	before := g.awaitSteady("gradual@25")
	g.sampler.Set("errors", 0)
	g.await("the mark carries the hold", func(reconciler.Status) bool {
		m := g.traffic.Served(shop)
		return m.Since.Equal(before.Since) && slices.Equal(m.Holds, []plan.Revision{bad})
	})
	g.stop()
	if err := os.RemoveAll(g.state); err != nil {
		t.Fatal(err)
	}
	g.start()
	after := g.awaitSteady("gradual@25")
	if !after.Since.Equal(before.Since) || len(after.Holds) != 1 || after.Holds[0].Commit != bad {
		t.Errorf("since %s and holds %+v, want %s and one on %s", after.Since, after.Holds, before.Since, bad)
	}
}

func TestAFailedApplyIsRetriedAndAPersonsLowerWins(t *testing.T) {
	g := newRig(t)
	g.start()
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	g.traffic.FailWith(func(m string) error {
		if m == "Apply" {
			return errors.New("reload nginx: no answer")
		}
		return nil
	})
	g.raise("gradual@25")
	st := g.await("the failed move", func(s reconciler.Status) bool { return s.Move != nil && s.Move.Attempts > 0 })
	if !strings.Contains(st.Error, "no answer") || st.State != reconciler.StateDegraded || st.Effective.String() != "gradual@10" {
		t.Errorf("status is %s at %s: %q", st.State, st.Effective, st.Error)
	}
	g.traffic.FailWith(nil)
	g.awaitSteady("gradual@25")
	g.traffic.FailWith(func(string) error { return errors.New("no answer") })
	g.raise("setup")
	g.await("going back", func(s reconciler.Status) bool { return s.State == reconciler.StateRollingBack })
	g.traffic.FailWith(nil)
	g.awaitSteady("setup")
}

func TestARaiseThatWasLoweredPartlyIsUndoneWhole(t *testing.T) {
	g := newRig(t)
	g.start()
	g.awaitSteady("setup")
	bad := g.raise("gradual@25")
	g.awaitSteady("gradual@25")
	g.sampler.Set("errors", 0)
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	g.sampler.Set("late", 1)
	st := g.awaitSteady("setup")
	if len(st.Holds) != 1 || st.Holds[0].Commit != bad || st.Halt != nil {
		t.Errorf("holds are %+v, want one on %s; halt %+v", st.Holds, bad, st.Halt)
	}
	if s := g.subjects()[0]; s != `Revert "shop: gradual@25"` {
		t.Errorf("the newest commit is %q", s)
	}
}

func TestDriftIsCorrected(t *testing.T) {
	g := newRig(t)
	g.start()
	g.raise("gradual@10")
	g.awaitSteady("gradual@10")
	g.traffic.Lose(shop)
	g.await("the config is back", func(reconciler.Status) bool {
		m := g.traffic.Served(shop)
		return m != nil && m.Stop.String() == "gradual@10"
	})
}

func TestARollbackByHandRevertsTheRaise(t *testing.T) {
	g := newRig(t)
	g.start()
	g.travel("gradual@10", "gradual@25")
	if _, err := g.r.RequestRollback(t.Context(), shop, plan.Position{}, "customers call"); err != nil {
		t.Fatal(err)
	}
	g.awaitSteady("gradual@10")
	if body := g.run(g.remote, "git", "log", "-1", "--format=%B", "main"); !strings.Contains(body, "customers call") {
		t.Errorf("the revert does not say why:\n%s", body)
	}
	if _, err := g.r.RequestRollback(t.Context(), plan.Key{Namespace: "default", Name: "other"}, plan.Position{}, "x"); !errors.Is(err, reconciler.ErrUnknownPlan) {
		t.Errorf("rolled back a plan that is not there: %v", err)
	}
}
