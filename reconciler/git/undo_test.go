package git

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

func TestUndoRevertsARaiseWithMessageAndTrailers(t *testing.T) {
	f := newFixture(t)
	first := f.rev("HEAD")
	bad := f.promote("gradual@10")
	r := f.open()
	p := push(t, r, undo("gradual@10", "setup", bad))
	if p.Outcome != reconciler.PushedHead || len(p.Commits) != 1 || p.Head != p.Commits[0] || p.Head != f.hostHead() || len(p.Notes) != 0 {
		t.Fatalf("got %+v, want one revert at the host's head %s", p, f.hostHead())
	}
	if got := f.host("rev-parse", "main^{tree}"); got != f.host("rev-parse", string(first)+"^{tree}") {
		t.Errorf("the tree after the revert is not that before the raise")
	}
	want := `Revert "shop to gradual@10"

This reverts commit ` + string(bad) + `.

Gate many-errors is breached: 0.041 > 0.03.

Changeover-Plan: default/shop
Changeover-Rollback-Of: ` + string(bad) + `
Changeover-From: gradual@10
Changeover-To: setup
Changeover-Gate: many-errors
Changeover-Evidence: errors=0.041`
	if got := f.host("log", "-1", "--format=%B", "main"); got != want {
		t.Errorf("message:\n%s\nwant:\n%s", got, want)
	}
	if got := f.host("log", "-1", "--format=%an <%ae> %aI|%cn <%ce> %cI", "main"); got != "Changeover <changeover@example.com> 2026-03-03T12:00:00+00:00|Changeover <changeover@example.com> 2026-03-03T12:00:00+00:00" {
		t.Errorf("author and committer: %s", got)
	}
	if trailers := f.host("log", "-1", "--format=%(trailers:only,key=Changeover-Rollback-Of,valueonly)", "main"); strings.TrimSpace(trailers) != string(bad) {
		t.Errorf("git reads the trailer as %q", trailers)
	}
	f.fsck(f.bare)
	f.fsck(r.o.Dir)
	if got := r.Head(); got != p.Head {
		t.Errorf("the store's head is %s, want the pushed %s", got, p.Head)
	}
	if got := position(t, r, p.Head); got != "setup" {
		t.Errorf("position %s, want setup", got)
	}
}

func TestUndoOfTwoRaisesInOnePushMakesTwoRevertsNewestFirst(t *testing.T) {
	f := newFixture(t)
	a := f.commit("to 10", shopFile, shopPlan("gradual@10"))
	b := f.commit("to 25", shopFile, shopPlan("gradual@25"))
	f.push()
	r := f.open()
	p := push(t, r, undo("gradual@25", "setup", b, a))
	if p.Outcome != reconciler.PushedHead || len(p.Commits) != 2 {
		t.Fatalf("got %+v, want two reverts", p)
	}
	log := f.host("log", "-2", "--format=%H %s", "main")
	want := string(p.Commits[0]) + " Revert \"to 10\"\n" + string(p.Commits[1]) + " Revert \"to 25\""
	if log != want {
		t.Errorf("log:\n%s\nwant:\n%s", log, want)
	}
	for i, fromTo := range []string{"gradual@10 setup", "gradual@25 gradual@10"} {
		m := parseMessage(f.host("log", "-1", "--format=%B", string(p.Commits[i])))
		if got := m.first(trailerFrom) + " " + m.first(trailerTo); got != fromTo {
			t.Errorf("revert %d goes %s, want %s", i, got, fromTo)
		}
	}
	if got := position(t, r, p.Head); got != "setup" {
		t.Errorf("position %s, want setup", got)
	}
}

func TestUndoLeavesADocsCommitOnTop(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	f.commit("docs", "README.md", "better\n")
	f.push()
	r := f.open()
	p := push(t, r, undo("gradual@10", "setup", bad))
	if p.Outcome != reconciler.PushedHead || f.shown("README.md") != "better\n" || f.shown(shopFile) != shopPlan("setup") {
		t.Errorf("got %+v; README %q", p, f.shown("README.md"))
	}
}

func TestUndoKeepsLaterContentOfTheSameFile(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	later := []string{"bake: 10m", "bake: 20m"}
	f.commit("bake longer", shopFile, shopPlan("gradual@10", later...))
	f.push()
	r := f.open()
	push(t, r, undo("gradual@10", "setup", bad))
	if got := f.shown(shopFile); got != shopPlan("setup", later...) {
		t.Errorf("file after the revert:\n%s", got)
	}
}

func TestUndoInConflictSetsOnlyThePositionBack(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	later := []string{"# one line is a promotion", "# promoted by Ada", "# The shop moves", "# Our shop moves"}
	f.commit("comment", shopFile, shopPlan("gradual@10", later...))
	f.push()
	r := f.open()
	p := push(t, r, undo("gradual@10", "setup", bad))
	if got := f.shown(shopFile); got != shopPlan("setup", later...) {
		t.Errorf("file after the revert:\n%s", got)
	}
	if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "only spec.position was set back") {
		t.Errorf("notes %q do not name the fallback", p.Notes)
	}
	if body := f.host("log", "-1", "--format=%B", "main"); !strings.Contains(body, "only spec.position was set back") {
		t.Errorf("message does not name the fallback:\n%s", body)
	}
}

func TestUndoLeavesOtherFilesOfTheCommitAndNamesThem(t *testing.T) {
	f := newFixture(t)
	f.commit("two", "app/a.txt", "1\n", "app/b.txt", "1\n")
	bad := f.commit("promote and more", shopFile, shopPlan("gradual@10"), "app/a.txt", "2\n", "app/b.txt", "2\n")
	f.push()
	r := f.open()
	p := push(t, r, undo("gradual@10", "setup", bad))
	if f.shown("app/a.txt") != "2\n" || f.shown("app/b.txt") != "2\n" {
		t.Errorf("files that are not the plan's were touched")
	}
	if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "app/a.txt, app/b.txt") {
		t.Errorf("notes %q do not name the files", p.Notes)
	}
	if body := f.host("log", "-1", "--format=%B", "main"); !strings.Contains(body, "app/a.txt, app/b.txt") {
		t.Errorf("message does not name the files:\n%s", body)
	}
}

func TestUndoOfAMergeRevertsAgainstItsFirstParent(t *testing.T) {
	f := newFixture(t)
	f.git("checkout", "-q", "-b", "feature")
	f.commit("to 10", shopFile, shopPlan("gradual@10"))
	f.git("checkout", "-q", "main")
	f.commit("docs", "README.md", "main\n")
	f.git("merge", "-q", "--no-ff", "-m", "Merge the promotion", "feature")
	merge := f.rev("HEAD")
	f.push()
	r := f.open()
	p := push(t, r, undo("gradual@10", "setup", merge))
	if p.Outcome != reconciler.PushedHead || f.shown(shopFile) != shopPlan("setup") || f.shown("README.md") != "main\n" {
		t.Errorf("got %+v", p)
	}
}

func TestUndoFollowsARenamedPlan(t *testing.T) {
	t.Run("renamed later", func(t *testing.T) {
		f := newFixture(t)
		bad := f.promote("gradual@10")
		f.git("mv", shopFile, "plans/checkout.yml")
		f.commit("rename")
		f.push()
		push(t, f.open(), undo("gradual@10", "setup", bad))
		if got := f.shown("plans/checkout.yml"); got != shopPlan("setup") {
			t.Errorf("file after the revert:\n%s", got)
		}
		if names := f.host("ls-tree", "--name-only", "main", "plans/"); names != "plans/checkout.yml" {
			t.Errorf("files %q", names)
		}
	})
	t.Run("renamed by the raise", func(t *testing.T) {
		f := newFixture(t)
		f.git("rm", "-q", shopFile)
		bad := f.commit("rename and promote", "plans/deep/checkout.yaml", shopPlan("gradual@10"))
		f.push()
		push(t, f.open(), undo("gradual@10", "setup", bad))
		if got, want := f.host("rev-parse", "main^{tree}"), f.host("rev-parse", string(bad)+"^^{tree}"); got != want {
			t.Errorf("files %q", f.host("ls-tree", "-rt", "--name-only", "main", "plans/"))
		}
		f.fsck(f.bare)
	})
	t.Run("its old place taken", func(t *testing.T) {
		f := newFixture(t)
		f.git("rm", "-q", shopFile)
		bad := f.commit("rename and promote", "plans/checkout.yaml", shopPlan("gradual@10"))
		f.commit("another", shopFile, "kind: Other\n")
		f.push()
		p := push(t, f.open(), undo("gradual@10", "setup", bad))
		if f.shown("plans/checkout.yaml") != shopPlan("setup") || f.shown(shopFile) != "kind: Other\n" || len(p.Notes) == 0 {
			t.Errorf("got %+v", p)
		}
	})
}

func TestUndoMakesNothingWhereAPersonWasFaster(t *testing.T) {
	for name, person := range map[string]func(*fixture, plan.Revision){
		"reverted":          func(f *fixture, bad plan.Revision) { f.git("revert", "--no-edit", string(bad)) },
		"lowered":           func(f *fixture, bad plan.Revision) { f.commit("down", shopFile, shopPlan("setup")) },
		"lowered, reworded": func(f *fixture, bad plan.Revision) { f.commit("down", shopFile, shopPlan("setup", "# one", "# 1")) },
		"removed":           func(f *fixture, bad plan.Revision) { f.git("rm", "-q", shopFile); f.commit("gone") },
		"reverted by merge": func(f *fixture, bad plan.Revision) {
			f.git("checkout", "-q", "-b", "x")
			f.git("revert", "--no-edit", string(bad))
			f.git("checkout", "-q", "main")
			f.git("merge", "-q", "--no-ff", "-m", "merge", "x")
		},
		"reverted, re-raised": func(f *fixture, bad plan.Revision) {
			f.git("revert", "--no-edit", string(bad))
			f.commit("again", shopFile, shopPlan("gradual@25"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.promote("gradual@10")
			bad := f.promote("gradual@25")
			r := f.open()
			person(f, bad)
			f.push()
			before := f.hostHead()
			p := push(t, r, undo("gradual@25", "gradual@10", bad))
			if p.Outcome != reconciler.PushedNothing || len(p.Commits) != 0 || p.Head != before || f.hostHead() != before {
				t.Errorf("got %+v, want nothing at %s", p, before)
			}
		})
	}
}

func TestUndoGoesOnWhereAPersonLoweredLess(t *testing.T) {
	f := newFixture(t)
	a := f.promote("gradual@10")
	b := f.promote("gradual@50")
	f.promote("gradual@25")
	r := f.open()
	p := push(t, r, undo("gradual@50", "setup", b, a))
	if got := position(t, r, p.Head); got != "setup" {
		t.Errorf("position %s, want setup; %+v", got, p)
	}
}

func TestUndoOfContentKeepsTheDeclaredPosition(t *testing.T) {
	f := newFixture(t)
	f.promote("gradual@10")
	bad := f.commit("more", shopFile, shopPlan("gradual@10", "bake: 10m", "bake: 1m"))
	f.push()
	r := f.open()
	p := push(t, r, undo("gradual@10", "gradual@10", bad))
	if p.Outcome != reconciler.PushedHead || f.shown(shopFile) != shopPlan("gradual@10") {
		t.Errorf("got %+v", p)
	}
	t.Run("also after a person lowered", func(t *testing.T) {
		bad := f.commitOn("more", shopFile, shopPlan("gradual@10", "bake: 10m", "bake: 1m"))
		f.commit("down", shopFile, shopPlan("setup", "bake: 10m", "bake: 1m"))
		f.push()
		p := push(t, r, undo("gradual@10", "gradual@10", bad))
		if p.Outcome != reconciler.PushedHead || f.shown(shopFile) != shopPlan("setup") {
			t.Errorf("got %+v", p)
		}
	})
}

func TestUndoNeverRaises(t *testing.T) {
	t.Run("a position that a person lowered below the target", func(t *testing.T) {
		f := newFixture(t)
		f.promote("gradual@10")
		bad := f.commit("up, and more", shopFile, shopPlan("gradual@25", "bake: 10m", "bake: 1m"))
		f.commit("down", shopFile, shopPlan("setup", "bake: 10m", "bake: 1m"))
		f.push()
		p := push(t, f.open(), undo("gradual@25", "gradual@10", bad))
		if p.Outcome != reconciler.PushedHead || f.shown(shopFile) != shopPlan("setup") || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "and is setup") {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("nor with a commit that lowered", func(t *testing.T) {
		f := newFixture(t)
		f.promote("gradual@25")
		bad := f.commit("down, and more", shopFile, shopPlan("setup", "bake: 10m", "bake: 1m"))
		f.push()
		p := push(t, f.open(), undo("setup", "setup", bad))
		if p.Outcome != reconciler.PushedHead || f.shown(shopFile) != shopPlan("setup") {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("nor undoes a rename once the position is lowered", func(t *testing.T) {
		f := newFixture(t)
		f.promote("gradual@10")
		f.git("rm", "-q", shopFile)
		bad := f.commit("rename and promote", "plans/checkout.yaml", shopPlan("gradual@25"))
		f.commit("down", "plans/checkout.yaml", shopPlan("gradual@10"))
		f.push()
		if p := push(t, f.open(), undo("gradual@25", "gradual@10", bad)); p.Outcome != reconciler.PushedNothing {
			t.Errorf("got %+v", p)
		}
	})
}

func TestUndoNeverRevertsItsOwnReverts(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	r := f.open()
	own := push(t, r, undo("gradual@10", "setup", bad)).Commits[0]
	before := f.hostHead()
	p := push(t, r, undo("setup", "gradual@10", own))
	if p.Outcome != reconciler.PushedNothing || f.hostHead() != before {
		t.Errorf("got %+v", p)
	}
	t.Run("of content", func(t *testing.T) {
		f := newFixture(t)
		f.promote("gradual@10")
		bad := f.commit("more", shopFile, shopPlan("gradual@10", "bake: 10m", "bake: 1m"))
		f.push()
		r := f.open()
		own := push(t, r, undo("gradual@10", "gradual@10", bad)).Commits[0]
		p := push(t, r, undo("gradual@10", "gradual@10", own))
		if p.Outcome != reconciler.PushedNothing || f.hostHead() != own {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("but a person's revert of one is a raise like any other", func(t *testing.T) {
		f.git("fetch", "-q", "origin")
		f.git("reset", "-q", "--hard", "origin/main")
		f.git("revert", "--no-edit", string(own))
		again := f.rev("HEAD")
		f.push()
		p := push(t, r, undo("gradual@10", "setup", again, bad))
		if p.Outcome != reconciler.PushedHead || len(p.Commits) != 1 || f.shown(shopFile) != shopPlan("setup") {
			t.Errorf("got %+v", p)
		}
	})
}

func TestUndoIsNotDoneTwice(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	o := f.options()
	u := undo("gradual@10", "setup", bad)
	push(t, openWith(t, o), u)
	// As after a crash before the record was written; a person has raised
	// anew meanwhile.
	f.commitOn("raise anew", shopFile, shopPlan("gradual@25"))
	f.push()
	before := f.hostHead()
	o.Dir = t.TempDir() + "/fresh"
	p := push(t, openWith(t, o), u)
	if p.Outcome != reconciler.PushedNothing || f.hostHead() != before {
		t.Errorf("got %+v, want nothing", p)
	}
}

func TestUndoMakesEqualCommitsFromEqualInputs(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	u := undo("gradual@10", "setup", bad)
	a, b := f.open(), f.open()
	va, err := a.preview(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	vb, err := b.preview(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if va.Revision != vb.Revision || va.Plan.Spec.Position != at("setup") || va.Path != shopFile {
		t.Errorf("previews differ or are wrong: %+v, %+v", va, vb)
	}
	if f.hostHead() != bad {
		t.Errorf("a preview pushed")
	}
	if p := push(t, a, u); p.Head != va.Revision {
		t.Errorf("pushed %s, the preview said %s", p.Head, va.Revision)
	}
}

func TestUndoThatMissesItsTargetIsAMismatch(t *testing.T) {
	f := newFixture(t)
	first := f.rev("HEAD")
	a := f.promote("gradual@10")
	b := f.promote("gradual@25")
	r := f.open()
	before := f.hostHead()
	for name, c := range map[string]struct {
		u   reconciler.Undo
		got string
	}{
		"other position": {undo("gradual@25", "setup", b), "gradual@10"},
		"root":           {undo("gradual@25", "none", b, a, first), "none"},
	} {
		_, err := pushOne(r, c.u)
		var m *reconciler.MismatchError
		if !errors.Is(err, reconciler.ErrMismatch) || !errors.As(err, &m) || m.Want != c.u.Target || m.Got.String() != c.got {
			t.Errorf("%s: got %v, want a mismatch with %s", name, err, c.got)
		}
	}
	if f.hostHead() != before {
		t.Errorf("something was pushed")
	}
}

func TestUndoOfTheCommitThatAddedThePlanIsRefused(t *testing.T) {
	f := newFixture(t)
	other := plan.Key{Namespace: "default", Name: "other"}
	added := f.commit("add other", "plans/other.yaml", shopPlan("gradual@10", "name: shop", "name: other"))
	f.push()
	u := undo("gradual@10", "setup", added)
	u.Key = other
	if _, err := pushOne(f.open(), u); !errors.Is(err, reconciler.ErrMismatch) {
		t.Errorf("got %v, want a mismatch", err)
	}
}

func TestUndoKeepsModesAndOddTrees(t *testing.T) {
	f := newFixture(t)
	// Names that sort differently as files and as folders.
	f.commit("odd", "plans/shop.yaml.d/x", "1\n", "plans/shop.yaml-old", "1\n", "plans-2/x", "1\n", "plans.txt", "1\n")
	if err := os.Symlink("README.md", f.work+"/plans/link.yaml"); err != nil {
		t.Fatal(err)
	}
	f.git("update-index", "--chmod=+x", shopFile)
	f.git("config", "core.fileMode", "false")
	f.commit("link")
	bad := f.promote("gradual@10")
	push(t, f.open(), undo("gradual@10", "setup", bad))
	if d := f.host("diff", "--stat", string(bad)+"~", "main"); d != "" {
		t.Errorf("the tree differs from that before the raise:\n%s", d)
	}
	f.fsck(f.bare)
}

// preview builds an undo on the newest head that was read, without pushing it,
// and returns the plan that would stand then.
func (r *Repository) preview(ctx context.Context, u reconciler.Undo) (plan.Version, error) {
	head, err := r.store.commit(r.head())
	if err != nil {
		return plan.Version{}, err
	}
	x, err := r.build(ctx, u, head, &proposal{b: newBuilder(r.store), tip: head.hash}, head.tree)
	if err != nil {
		return plan.Version{}, err
	}
	f, err := r.index.find(ctx, x.b, x.tree, u.Key)
	if err != nil {
		return plan.Version{}, err
	}
	if f == nil {
		return plan.Version{}, r.absent(ctx, u.Key, x.head)
	}
	if err := f.err(); err != nil {
		return plan.Version{}, err
	}
	return f.version(revision(x.tip), f.path), nil
}
