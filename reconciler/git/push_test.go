package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// wantKind checks the kind of an error of the remote.
func wantKind(t *testing.T, err error, kind reconciler.RemoteKind) *reconciler.RemoteError {
	t.Helper()
	var e *reconciler.RemoteError
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("got error %v, want one of kind %s", err, kind)
	}
	return e
}

func TestPushRecomputesAfterALostRace(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	r := f.open()
	races := 0
	r.beforePush = func() {
		if races++; races <= 2 {
			f.commitOn(fmt.Sprintf("docs %d", races), "README.md", strings.Repeat("x\n", races))
			f.push()
		}
	}
	p := push(t, r, undo("gradual@10", "setup", bad))
	if p.Outcome != reconciler.PushedHead || len(p.Commits) != 1 || races != 3 {
		t.Fatalf("got %+v after %d tries", p, races)
	}
	if log := f.host("log", "--format=%s", "-3", "main"); log != "Revert \"shop to gradual@10\"\ndocs 2\ndocs 1" {
		t.Errorf("log:\n%s", log)
	}
	if f.shown("README.md") != strings.Repeat("x\n", 2) || f.shown(shopFile) != shopPlan("setup") {
		t.Errorf("the tree lost what others pushed")
	}
	if n := f.host("rev-list", "--count", "--grep=Changeover-Rollback-Of", "main"); n != "1" {
		t.Errorf("%s reverts on the branch, want 1", n)
	}
}

func TestPushMakesNothingWhereAPersonWinsTheRace(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	r := f.open()
	r.beforePush = sync.OnceFunc(func() {
		f.git("revert", "--no-edit", string(bad))
		f.push()
	})
	p := push(t, r, undo("gradual@10", "setup", bad))
	if p.Outcome != reconciler.PushedNothing || len(p.Commits) != 0 || p.Head != f.hostHead() {
		t.Errorf("got %+v", p)
	}
	if n := f.host("rev-list", "--count", "main"); n != "3" {
		t.Errorf("%s commits, want 3", n)
	}
}

// The host itself compares: the ref moves between its answer and its update.
func TestPushSeesARaceThatOnlyTheHostSees(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	r := f.open()
	f.commit("docs", "README.md", "docs\n")
	f.git("push", "-q", "origin", "HEAD:side")
	f.hook("update", `if [ "$1" = refs/heads/main ] && [ ! -e raced ]; then touch raced; git update-ref refs/heads/main refs/heads/side; fi`)
	p := push(t, r, undo("gradual@10", "setup", bad))
	if p.Outcome != reconciler.PushedHead || f.shown("README.md") != "docs\n" || f.shown(shopFile) != shopPlan("setup") {
		t.Errorf("got %+v", p)
	}
	if _, err := os.Stat(f.bare + "/raced"); err != nil {
		t.Error("there was no race")
	}
}

func TestPushGivesUpOnRacesAfterItsTime(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	o := f.options()
	o.RaceTimeout = 200 * time.Millisecond
	r := openWith(t, o)
	n := 0
	r.beforePush = func() { n++; f.commitOn(fmt.Sprint("docs ", n)); f.push() }
	_, err := pushOne(r, undo("gradual@10", "setup", bad))
	wantKind(t, err, reconciler.RemoteRace)
	r.beforePush = nil
	if p := push(t, r, undo("gradual@10", "setup", bad)); p.Outcome != reconciler.PushedHead {
		t.Errorf("got %+v", p)
	}
}

const protect = `if [ "$1" = refs/heads/main ]; then echo "main is protected: open a pull request" >&2; exit 1; fi`

func TestPushThatIsRefusedGoesToABranch(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	f.hook("update", protect)
	r := f.open()
	u := undo("gradual@10", "setup", bad)
	p := push(t, r, u)
	branch := "changeover/rollback-shop-" + bad.Short()
	if p.Outcome != reconciler.PushedBranch || p.Branch != branch || p.Head != bad || f.hostHead() != bad || len(p.Commits) != 1 {
		t.Fatalf("got %+v, want branch %s", p, branch)
	}
	if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "main is protected: open a pull request") {
		t.Errorf("notes %q do not hold what the host said", p.Notes)
	}
	if got := f.host("rev-parse", branch); got != string(p.Commits[0]) {
		t.Errorf("the branch is at %s, want %s", got, p.Commits[0])
	}
	if again := push(t, r, u); again.Outcome != reconciler.PushedBranch || again.Commits[0] != p.Commits[0] {
		t.Errorf("a second time: %+v", again)
	}
	f.fsck(f.bare)

	t.Run("is replaced when the branch moves on", func(t *testing.T) {
		os.Remove(f.bare + "/hooks/update")
		f.commit("docs", "README.md", "docs\n")
		f.push()
		f.hook("update", protect)
		p := push(t, r, u)
		if p.Outcome != reconciler.PushedBranch || f.host("rev-parse", branch+"^") != string(f.hostHead()) {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("is left where a person worked on it", func(t *testing.T) {
		f.git("fetch", "-q", "origin")
		f.git("checkout", "-q", "origin/"+branch)
		mine := f.commit("and this", "README.md", "mine\n")
		f.git("push", "-q", "origin", "HEAD:"+branch)
		os.Remove(f.bare + "/hooks/update")
		f.git("checkout", "-q", "main")
		f.commit("more docs", "README.md", "more\n")
		f.push()
		f.hook("update", protect)
		p := push(t, r, u)
		if p.Outcome != reconciler.PushedBranch || len(p.Commits) != 0 || f.host("rev-parse", branch) != string(mine) {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("and once it is merged there is nothing to do", func(t *testing.T) {
		os.Remove(f.bare + "/hooks/update")
		f.git("fetch", "-q", "origin")
		f.git("merge", "-q", "-X", "ours", "--no-ff", "-m", "Merge the rollback", "origin/"+branch)
		f.push()
		if p := push(t, r, u); p.Outcome != reconciler.PushedNothing || f.shown(shopFile) != shopPlan("setup") {
			t.Errorf("got %+v", p)
		}
	})
}

func TestPushThatIsRefusedEverywhereIsAnError(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	f.hook("pre-receive", "echo read-only mirror >&2; exit 1")
	e := wantKind(t, errOf(pushOne(f.open(), undo("gradual@10", "setup", bad))), reconciler.RemoteRefused)
	if !strings.Contains(e.Error(), "pre-receive hook declined") {
		t.Errorf("error %v does not say what the host said", e)
	}
}

func errOf[T any](_ T, err error) error { return err }

func TestPushLandsOnceAfterTheHostWasGone(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	r := f.open()
	u := undo("gradual@10", "setup", bad)
	if err := os.Rename(f.bare, f.bare+".gone"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := pushOne(r, u)
		wantKind(t, err, reconciler.RemoteUnreachable)
		_, err = r.Poll(t.Context())
		wantKind(t, err, reconciler.RemoteUnreachable)
	}
	if v, err := r.preview(t.Context(), u); err != nil || v.Plan.Spec.Position != at("setup") {
		t.Errorf("preview while the host is gone: %v, %v", v.Plan, err)
	}
	if err := os.Rename(f.bare+".gone", f.bare); err != nil {
		t.Fatal(err)
	}
	f.commit("docs", "README.md", "docs\n")
	f.push()
	if p := push(t, r, u); p.Outcome != reconciler.PushedHead || len(p.Commits) != 1 || f.shown("README.md") != "docs\n" {
		t.Errorf("got %+v", p)
	}
	if p := push(t, r, u); p.Outcome != reconciler.PushedNothing {
		t.Errorf("a second time: %+v", p)
	}
}

// The host takes the push, and its answer is lost.
func TestPushWhoseAnswerIsLostCountsAsPushed(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	r := f.open()
	f.hook("post-receive", "kill -9 $PPID")
	p := push(t, r, undo("gradual@10", "setup", bad))
	if p.Outcome != reconciler.PushedHead || p.Head != f.hostHead() || f.shown(shopFile) != shopPlan("setup") {
		t.Errorf("got %+v", p)
	}
}

func TestPushOnWhichOthersPushedAtOnceCountsAsPushed(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	r := f.open()
	f.hook("post-receive", `export GIT_AUTHOR_NAME=B GIT_AUTHOR_EMAIL=b@c GIT_COMMITTER_NAME=B GIT_COMMITTER_EMAIL=b@c
git update-ref refs/heads/main $(git commit-tree -p main -m on-top main^{tree})`)
	p := push(t, r, undo("gradual@10", "setup", bad))
	if p.Outcome != reconciler.PushedHead || p.Head != f.hostHead() || f.host("log", "-1", "--format=%s", "main") != "on-top" || r.Head() != p.Head {
		t.Errorf("got %+v", p)
	}
}

// Success is what ls-remote says, not what the push says.
func TestPushThatTheHostDropsIsNoSuccess(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	r := f.open()
	f.hook("post-receive", `while read old new ref; do git update-ref $ref $old; done`)
	wantKind(t, errOf(pushOne(r, undo("gradual@10", "setup", bad))), reconciler.RemoteNoOp)
	if r.Head() != bad {
		t.Errorf("head %s, want %s", r.Head(), bad)
	}
}

func TestPushIsBoundedInTime(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	o := f.options()
	o.Timeout = 1500 * time.Millisecond
	r := openWith(t, o)
	f.hook("pre-receive", "sleep 20")
	begun := time.Now()
	e := wantKind(t, errOf(pushOne(r, undo("gradual@10", "setup", bad))), reconciler.RemoteUnreachable)
	if !errors.Is(e, context.DeadlineExceeded) || time.Since(begun) > 15*time.Second {
		t.Errorf("got %v after %s", e, time.Since(begun))
	}
}

func TestPushOfSeveralPlansAtOnceWithPolls(t *testing.T) {
	f := newFixture(t)
	var undos []reconciler.Undo
	for i := range 4 {
		name := fmt.Sprint("shop-", i)
		file := "plans/" + name + ".yaml"
		f.commit("add", file, shopPlan("setup", "name: shop", "name: "+name))
		u := undo("gradual@10", "setup", f.commit("raise "+name, file, shopPlan("gradual@10", "name: shop", "name: "+name)))
		u.Key.Name = name
		undos = append(undos, u)
	}
	f.push()
	r := f.open()
	var wg sync.WaitGroup
	for _, u := range undos {
		wg.Go(func() {
			if p, err := pushOne(r, u); err != nil || p.Outcome != reconciler.PushedHead {
				t.Errorf("%s: %+v, %v", u.Key, p, err)
			}
		})
		wg.Go(func() {
			if _, err := r.Poll(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := r.Changes(t.Context(), u.Key, "", r.Head()); err != nil {
				t.Error(err)
			}
			if _, err := r.Plans(t.Context(), r.Head()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := f.host("rev-list", "--count", "--grep=Changeover-Rollback-Of", "main"); n != "4" {
		t.Errorf("%s reverts, want 4", n)
	}
	if head := poll(t, r); head != f.hostHead() {
		t.Errorf("head %s, want %s", head, f.hostHead())
	}
	f.fsck(f.bare)
	f.fsck(r.o.Dir)
}

func TestCheckPush(t *testing.T) {
	f := newFixture(t)
	r := f.open()
	if err := r.CheckPush(t.Context()); err != nil {
		t.Error(err)
	}
	if refs := f.host("for-each-ref", "--format=%(refname)"); refs != "refs/heads/main" {
		t.Errorf("the check left refs behind: %s", refs)
	}
	if err := os.Rename(f.bare, f.bare+".gone"); err != nil {
		t.Fatal(err)
	}
	wantKind(t, r.CheckPush(t.Context()), reconciler.RemoteUnreachable)
}

func TestCommitSetsThePosition(t *testing.T) {
	f := newFixture(t)
	r := f.open()
	to := at("gradual@10")
	p, err := r.Commit(t.Context(), Edit{Key: shop, SetPosition: &to, Message: "advance shop to gradual@10\n\nAll is well."})
	if err != nil || p.Outcome != reconciler.PushedHead || p.Head != f.hostHead() {
		t.Fatalf("got %+v, %v", p, err)
	}
	if got := f.shown(shopFile); got != shopPlan("gradual@10") {
		t.Errorf("file:\n%s", got)
	}
	if got := f.host("log", "-1", "--format=%B", "main"); got != "advance shop to gradual@10\n\nAll is well.\n\nChangeover-Plan: default/shop" {
		t.Errorf("message:\n%s", got)
	}
	if p, err := r.Commit(t.Context(), Edit{Key: shop, SetPosition: &to, Message: "again"}); err != nil || p.Outcome != reconciler.PushedNothing {
		t.Errorf("the same again: %+v, %v", p, err)
	}
	f.fsck(f.bare)
}

// The daemon's own revert wins the race against a person's advance: landing the
// advance on top would be a raise that lifts the hold.
func TestCommitIsRefusedWhereThePositionIsNoLongerWhatThePersonSaw(t *testing.T) {
	f := newFixture(t)
	f.promote("gradual@10")
	r := f.open()
	r.beforePush = sync.OnceFunc(func() { f.promote("setup") })
	from, to := at("gradual@10"), at("gradual@25")
	_, err := r.Commit(t.Context(), Edit{Key: shop, From: &from, SetPosition: &to, Message: "advance"})
	if err == nil || !strings.Contains(err.Error(), `declares "setup" now`) {
		t.Errorf("got error %v", err)
	}
	if got := f.shown(shopFile); got != shopPlan("setup") {
		t.Errorf("file:\n%s", got)
	}
}

func TestCommitOfTrailersAloneChangesNoFile(t *testing.T) {
	f := newFixture(t)
	r := f.open()
	p, err := r.Commit(t.Context(), Edit{Key: shop, Message: "lift the hold", Trailers: [][2]string{{trailerUnhold, strings.Repeat("a", 40)}}})
	if err != nil || p.Outcome != reconciler.PushedHead {
		t.Fatalf("got %+v, %v", p, err)
	}
	if d := f.host("diff", "--stat", "main~", "main"); d != "" {
		t.Errorf("files changed: %s", d)
	}
	changes, err := r.Log(t.Context(), shop, p.Head, 1)
	if err != nil || len(changes) != 1 || string(changes[0].Unhold) != strings.Repeat("a", 40) {
		t.Errorf("log: %+v, %v", changes, err)
	}
}

func TestCommitToABranch(t *testing.T) {
	f := newFixture(t)
	r := f.open()
	to := at("gradual@10")
	e := Edit{Key: shop, SetPosition: &to, Message: "advance", Branch: "changeover/advance-shop-gradual-10"}
	p, err := r.Commit(t.Context(), e)
	if err != nil || p.Outcome != reconciler.PushedBranch || p.Branch != e.Branch || f.host("rev-parse", e.Branch) != string(p.Commits[0]) {
		t.Fatalf("got %+v, %v", p, err)
	}
	f.commit("docs", "README.md", "docs\n")
	f.push()
	wantKind(t, errOf(r.Commit(t.Context(), e)), reconciler.RemoteRefused)
}

func TestCommitRefusesWhatWouldBreakThePlan(t *testing.T) {
	f := newFixture(t)
	r := f.open()
	before := f.hostHead()
	off := at("gradual@11")
	if _, err := r.Commit(t.Context(), Edit{Key: shop, SetPosition: &off, Message: "x"}); !errors.Is(err, reconciler.ErrInvalidPlan) {
		t.Errorf("a position off the itinerary: %v", err)
	}
	to := at("gradual@10")
	if _, err := r.Commit(t.Context(), Edit{Key: plan.Key{Namespace: "default", Name: "nope"}, SetPosition: &to, Message: "x"}); !errors.Is(err, reconciler.ErrNoPlan) {
		t.Errorf("an unknown plan: %v", err)
	}
	f.hook("update", protect)
	wantKind(t, errOf(r.Commit(t.Context(), Edit{Key: shop, SetPosition: &to, Message: "x"})), reconciler.RemoteRefused)
	if f.hostHead() != before {
		t.Errorf("something was pushed")
	}
}
