package git

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// shops are three plans of one repository.
var shops = []string{"shop", "till", "stock"}

func shopPlanOf(name, position string) string {
	return strings.Replace(shopPlan(position), "{name: shop}", "{name: "+name+"}", 1)
}

// threeShops has three plans at 10 % by one commit, on a host that counts the
// pushes that it takes.
func threeShops(t *testing.T) (*fixture, plan.Revision) {
	f := newFixture(t)
	var at, raised []string
	for _, name := range shops {
		at = append(at, "plans/"+name+".yaml", shopPlanOf(name, "setup"))
		raised = append(raised, "plans/"+name+".yaml", shopPlanOf(name, "gradual@10"))
	}
	f.commit("add the others", at...)
	f.push()
	bad := f.commit("all to 10", raised...)
	f.push()
	f.hook("post-receive", "echo push >> pushes")
	return f, bad
}

func undosOf(bad plan.Revision) []reconciler.Undo {
	var us []reconciler.Undo
	for i := len(shops) - 1; i >= 0; i-- {
		u := undo("gradual@10", "setup", bad)
		u.Key.Name = shops[i]
		us = append(us, u)
	}
	return us
}

func pushes(f *fixture) int {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join(f.bare, "pushes"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		f.t.Fatal(err)
	}
	return strings.Count(string(b), "push")
}

func TestTheRevertsOfSeveralPlansAreOnePush(t *testing.T) {
	f, bad := threeShops(t)
	r := f.open()
	ps, err := r.Push(t.Context(), undosOf(bad))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range ps {
		if p.Err != nil || p.Outcome != reconciler.PushedHead || len(p.Commits) != 1 || p.Head != f.hostHead() {
			t.Errorf("undo %d: %+v", i, p)
		}
	}
	if n := pushes(f); n != 1 {
		t.Errorf("%d pushes, want 1", n)
	}
	want := "default/shop\ndefault/till\ndefault/stock" // newest first: the last to be undone is on top
	if got := f.host("log", "-3", "--format=%(trailers:key=Changeover-Plan,valueonly,separator=%x2C)", "main"); got != want {
		t.Errorf("plans of the reverts, newest first:\n%s\nwant\n%s", got, want)
	}
	for _, name := range shops {
		if f.shown("plans/"+name+".yaml") != shopPlanOf(name, "setup") {
			t.Errorf("%s is not back", name)
		}
	}
	f.fsck(f.bare)
	again, err := r.Push(t.Context(), undosOf(bad))
	if err != nil || again[0].Outcome != reconciler.PushedNothing || again[2].Outcome != reconciler.PushedNothing || pushes(f) != 1 {
		t.Errorf("a second push: %+v, %v", again, err)
	}
}

func TestTheRevertsOfSeveralPlansAreBuiltAnewAfterALostRace(t *testing.T) {
	f, bad := threeShops(t)
	r := f.open()
	races := 0
	r.beforePush = func() {
		if races++; races == 1 {
			f.commitOn("a person lowers the till", "plans/till.yaml", shopPlanOf("till", "setup"))
			f.push()
		}
	}
	ps, err := r.Push(t.Context(), undosOf(bad))
	if err != nil {
		t.Fatal(err)
	}
	if ps[0].Outcome != reconciler.PushedHead || ps[1].Outcome != reconciler.PushedNothing || ps[2].Outcome != reconciler.PushedHead {
		t.Errorf("got %+v", ps)
	}
	for _, name := range shops {
		if f.shown("plans/"+name+".yaml") != shopPlanOf(name, "setup") {
			t.Errorf("%s is not back", name)
		}
	}
}

func TestOneUndoThatCannotBeBuiltKeepsNoOther(t *testing.T) {
	f, bad := threeShops(t)
	us := undosOf(bad)
	us[1].Target = at("elsewhere") // not where the revert leads
	ps, err := f.open().Push(t.Context(), us)
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(ps[1].Err, reconciler.ErrMismatch) || len(ps[1].Commits) != 0 || ps[0].Err != nil || ps[2].Err != nil {
		t.Errorf("got %+v", ps)
	}
	if f.shown("plans/till.yaml") != shopPlanOf("till", "gradual@10") || f.shown("plans/shop.yaml") != shopPlanOf("shop", "setup") ||
		f.shown("plans/stock.yaml") != shopPlanOf("stock", "setup") {
		t.Error("the branch does not hold the reverts of the other two alone")
	}
}

func TestTheRevertsOfSeveralPlansGoToOneBranchTogether(t *testing.T) {
	f, bad := threeShops(t)
	f.hook("update", protect)
	ps, err := f.open().Push(t.Context(), undosOf(bad))
	if err != nil {
		t.Fatal(err)
	}
	branch := "changeover/rollback-stock-" + bad.Short()
	for i, p := range ps {
		if p.Outcome != reconciler.PushedBranch || p.Branch != branch || len(p.Commits) != 1 {
			t.Errorf("undo %d: %+v, want branch %s", i, p, branch)
		}
	}
	if n := f.host("rev-list", "--count", "main.."+branch); n != "3" {
		t.Errorf("%s commits on the branch, want 3", n)
	}
}
