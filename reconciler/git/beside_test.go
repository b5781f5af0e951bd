package git

import (
	"errors"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// diff is what differs between two revisions on the host, by name.
func (f *fixture) diff(a, b string) string {
	f.t.Helper()
	return strings.ReplaceAll(f.host("diff", "--name-status", "--no-renames", a, b), "\t", " ")
}

func wantNotes(t *testing.T, p reconciler.Pushed, want ...string) {
	t.Helper()
	if len(p.Notes) != len(want) {
		t.Errorf("notes %q, want %d", p.Notes, len(want))
		return
	}
	for i, w := range want {
		if !strings.Contains(p.Notes[i], w) {
			t.Errorf("note %q does not say %q", p.Notes[i], w)
		}
	}
}

func TestUndoTakesBackWhatThePlanReads(t *testing.T) {
	for name, c := range map[string]struct {
		from, to string
		change   func(*fixture) plan.Revision
	}{
		"a raise with its overlay": {"gradual@10", "setup", func(f *fixture) plan.Revision {
			return f.commit("up", shopFile, overlaid("gradual@10"), appFile, app(3))
		}},
		"an overlay alone": {"setup", "setup", func(f *fixture) plan.Revision {
			return f.commit("scale", appFile, app(3))
		}},
		"a file more": {"setup", "setup", func(f *fixture) plan.Revision {
			return f.commit("more", overlayFile, "resources:\n- app.yaml\n- more.yaml\n", overlayDir+"/more.yaml", "kind: More\n")
		}},
		"a folder more": {"gradual@10", "setup", func(f *fixture) plan.Revision {
			return f.commit("more", shopFile, overlaid("gradual@10"), overlayFile, "resources:\n- app.yaml\n- sub/dir\n",
				overlayDir+"/sub/dir/kustomization.yaml", "resources:\n- x.yaml\n", overlayDir+"/sub/dir/x.yaml", "kind: X\n")
		}},
		"a file less": {"setup", "setup", func(f *fixture) plan.Revision {
			f.git("rm", "-q", appFile)
			return f.commit("less", overlayFile, "resources:\n")
		}},
		"a folder in place of a file": {"setup", "setup", func(f *fixture) plan.Revision {
			f.git("rm", "-q", appFile)
			return f.commit("folder", appFile+"/kustomization.yaml", "resources:\n- x.yaml\n", appFile+"/x.yaml", "kind: X\n")
		}},
		"a link in place of a file": {"setup", "setup", func(f *fixture) plan.Revision {
			f.git("rm", "-q", appFile)
			f.link("../../README.md", appFile)
			return f.commit("link")
		}},
		"a mode": {"setup", "setup", func(f *fixture) plan.Revision {
			f.git("config", "core.fileMode", "false")
			f.git("update-index", "--chmod=+x", appFile)
			f.git("commit", "-q", "-m", "mode")
			return f.rev("HEAD")
		}},
		"another overlay": {"gradual@10", "setup", func(f *fixture) plan.Revision {
			return f.commit("other", shopFile, overlaid("gradual@10", "../deploy/shop", "../deploy/other"),
				"deploy/other/kustomization.yaml", "resources:\n")
		}},
		"a plan that moves with its overlay": {"gradual@10", "setup", func(f *fixture) plan.Revision {
			f.git("mv", "deploy", "plans/deploy")
			f.git("mv", shopFile, "plans/deploy/plan.yaml")
			return f.commit("move", "plans/deploy/plan.yaml", overlaid("gradual@10", "../deploy/shop", "shop"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newOverlaid(t)
			bad := c.change(f)
			f.commit("docs", "README.md", "docs\n")
			f.push()
			r := f.openReading(&overlays{})
			p := push(t, r, undo(c.from, c.to, bad))
			if p.Outcome != reconciler.PushedHead || len(p.Commits) != 1 {
				t.Fatalf("got %+v", p)
			}
			wantNotes(t, p)
			if d := f.diff(string(bad)+"~", "main"); d != "M README.md" {
				t.Errorf("what differs from before the commit:\n%s", d)
			}
			was, now := version(t, r, f.rev(string(bad)+"~")), version(t, r, p.Head)
			if was.Content != now.Content || was.Live != now.Live || now.Plan.Spec.Position != at(c.to) {
				t.Errorf("the version after the revert is not the one before the commit")
			}
			if again := push(t, r, undo(c.from, c.to, bad)); again.Outcome != reconciler.PushedNothing {
				t.Errorf("a second time: %+v", again)
			}
			f.fsck(f.bare)
		})
	}
}

func TestUndoOfSeveralCommitsTakesBackWhatEachChanged(t *testing.T) {
	f := newOverlaid(t)
	first := f.rev("HEAD")
	a := f.commit("10", shopFile, overlaid("gradual@10"), appFile, app(2))
	b := f.commit("scale", appFile, app(3), overlayFile, "resources:\n- app.yaml\n- more.yaml\n", overlayDir+"/more.yaml", "kind: More\n")
	c := f.commit("25", shopFile, overlaid("gradual@25"), appFile, app(4), overlayDir+"/more.yaml", "kind: More\nmetadata: {}\n")
	f.push()
	r := f.openReading(&overlays{})
	p := push(t, r, undo("gradual@25", "setup", c, b, a))
	if d := f.diff(string(first), "main"); p.Outcome != reconciler.PushedHead || len(p.Commits) != 3 || d != "" {
		t.Errorf("got %+v; differs from before in\n%s", p, d)
	}
	wantNotes(t, p)
	// Each revert is that of its commit: what it leaves is what the others made.
	for i, want := range []string{app(1), app(2), app(3)} {
		if got := f.host("show", string(p.Commits[i])+":"+appFile) + "\n"; got != want {
			t.Errorf("revert %d leaves\n%s", i, got)
		}
	}
	f.fsck(f.bare)
}

func TestUndoLeavesWhatThePlanDoesNotRead(t *testing.T) {
	f := newOverlaid(t)
	bad := f.commit("up", shopFile, overlaid("gradual@10"), appFile, app(3), overlayDir+"/notes.txt", "n\n", "app/a.txt", "a\n")
	f.push()
	p := push(t, f.openReading(&overlays{}), undo("gradual@10", "setup", bad))
	wantNotes(t, p, "app/a.txt, deploy/shop/notes.txt: these are not the plan's")
	if d := f.diff(string(bad), "main"); d != "M deploy/shop/app.yaml\nM plans/shop.yaml" {
		t.Errorf("the revert changed:\n%s", d)
	}
}

func TestUndoWithoutAHookTouchesThePlansFileAlone(t *testing.T) {
	f := newOverlaid(t)
	bad := f.commit("up", shopFile, overlaid("gradual@10"), appFile, app(3))
	f.push()
	p := push(t, f.open(), undo("gradual@10", "setup", bad))
	wantNotes(t, p, "deploy/shop/app.yaml: these are not the plan's")
	if d := f.diff(string(bad), "main"); d != "M plans/shop.yaml" {
		t.Errorf("the revert changed:\n%s", d)
	}
}

func TestUndoKeepsLaterChangesOfWhatThePlanReads(t *testing.T) {
	f := newOverlaid(t)
	bad := f.commit("up", shopFile, overlaid("gradual@10"), appFile, app(3))
	f.commit("image", appFile, strings.Replace(app(3), "app:1", "app:2", 1))
	f.push()
	p := push(t, f.openReading(&overlays{}), undo("gradual@10", "setup", bad))
	if want := strings.Replace(app(1), "app:1", "app:2", 1); f.shown(appFile) != want || f.shown(shopFile) != overlaid("setup") {
		t.Errorf("after the revert:\n%s\n%s", f.shown(appFile), f.shown(shopFile))
	}
	wantNotes(t, p)
}

func TestUndoMergesModeAndContentEachByItself(t *testing.T) {
	f := newOverlaid(t)
	f.git("config", "core.fileMode", "false")
	f.git("update-index", "--chmod=+x", appFile)
	f.git("commit", "-q", "-m", "mode")
	bad := f.rev("HEAD")
	f.commit("scale", appFile, app(3))
	f.push()
	push(t, f.openReading(&overlays{}), undo("setup", "setup", bad))
	if got := f.host("ls-tree", "main", appFile); !strings.HasPrefix(got, "100644") || f.shown(appFile) != app(3) {
		t.Errorf("after the revert %s:\n%s", got, f.shown(appFile))
	}
}

func TestUndoInConflictKeepsWhatThePlanReadsAtHead(t *testing.T) {
	for name, later := range map[string]func(*fixture){
		"the same lines": func(f *fixture) { f.commit("scale", appFile, app(5)) },
		"gone": func(f *fixture) {
			f.git("rm", "-q", appFile)
			f.commit("gone", overlayFile, "resources:\n- other.yaml\n", overlayDir+"/other.yaml", "kind: Other\n")
		},
		"a link now": func(f *fixture) {
			f.git("rm", "-q", appFile)
			f.link("../../README.md", appFile)
			f.commit("link")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newOverlaid(t)
			bad := f.commit("up", shopFile, overlaid("gradual@10"), appFile, app(3))
			later(f)
			f.push()
			p := push(t, f.openReading(&overlays{}), undo("gradual@10", "setup", bad))
			if d := f.diff(string(p.Commits[0])+"~", "main"); d != "M plans/shop.yaml" {
				t.Errorf("the revert changed:\n%s", d)
			}
			wantNotes(t, p, "does not let commit "+bad.Short()+" be reverted in "+appFile)
			if body := f.host("log", "-1", "--format=%B", "main"); !strings.Contains(body, appFile) {
				t.Errorf("the message does not name the file:\n%s", body)
			}
		})
	}
	t.Run("of an overlay alone nothing is left to do", func(t *testing.T) {
		f := newOverlaid(t)
		bad := f.commit("scale", appFile, app(3))
		f.commit("scale more", appFile, app(5))
		f.push()
		p := push(t, f.openReading(&overlays{}), undo("setup", "setup", bad))
		if p.Outcome != reconciler.PushedNothing || f.shown(appFile) != app(5) {
			t.Errorf("got %+v", p)
		}
		wantNotes(t, p, "does not let commit")
	})
}

const sharedFile = "deploy/base/kustomization.yaml"

// newShared has a base that the plan of the shop and one more read.
func newShared(t testing.TB) *fixture {
	t.Helper()
	f := newOverlaid(t)
	f.commit("a base for two", overlayFile, "resources:\n- app.yaml\n- ../base\n", sharedFile, "resources:\n- base.yaml\n", "deploy/base/base.yaml", app(1),
		"deploy/other/kustomization.yaml", "resources:\n- ../base\n",
		"plans/other.yaml", overlaid("setup", "name: shop", "name: other", "deploy/shop", "deploy/other"))
	f.push()
	return f
}

func TestUndoLeavesWhatOtherPlansReadToo(t *testing.T) {
	f := newShared(t)
	bad := f.commit("up", shopFile, overlaid("gradual@10"), appFile, app(3), "deploy/base/base.yaml", app(3))
	f.push()
	p := push(t, f.openReading(&overlays{}), undo("gradual@10", "setup", bad))
	if d := f.diff(string(bad), "main"); d != "M deploy/shop/app.yaml\nM plans/shop.yaml" {
		t.Errorf("the revert changed:\n%s", d)
	}
	wantNotes(t, p, "Other plans (default/other) read deploy/base/base.yaml too: left as it is")
	if body := f.host("log", "-1", "--format=%B", "main"); !strings.Contains(body, "deploy/base/base.yaml") {
		t.Errorf("the message does not name the file:\n%s", body)
	}
	t.Run("what they read at head counts", func(t *testing.T) {
		f := newShared(t)
		bad := f.commit("up", shopFile, overlaid("gradual@10"), "deploy/base/base.yaml", app(3))
		f.commit("the other goes its own way", "deploy/other/kustomization.yaml", "resources:\n")
		f.push()
		p := push(t, f.openReading(&overlays{}), undo("gradual@10", "setup", bad))
		if f.shown("deploy/base/base.yaml") != app(1) {
			t.Errorf("the file that one plan alone reads was not reverted")
		}
		wantNotes(t, p)
	})
	t.Run("a change of it alone is not undone", func(t *testing.T) {
		f := newShared(t)
		bad := f.commit("base", "deploy/base/base.yaml", app(3))
		f.push()
		p := push(t, f.openReading(&overlays{}), undo("setup", "setup", bad))
		if p.Outcome != reconciler.PushedNothing || f.shown("deploy/base/base.yaml") != app(3) {
			t.Errorf("got %+v", p)
		}
		wantNotes(t, p, "Other plans (default/other)")
	})
	t.Run("nor is another plan's own file", func(t *testing.T) {
		f := newOverlaid(t)
		f.commit("odd", overlayFile, "resources:\n- app.yaml\n- ../../plans/other.yaml\n", "plans/other.yaml", shopPlan("setup", "name: shop", "name: other"))
		bad := f.commit("both up", shopFile, overlaid("gradual@10"), "plans/other.yaml", shopPlan("gradual@10", "name: shop", "name: other"))
		f.push()
		p := push(t, f.openReading(&overlays{}), undo("gradual@10", "setup", bad))
		if d := f.diff(string(bad), "main"); d != "M plans/shop.yaml" {
			t.Errorf("the revert changed:\n%s", d)
		}
		wantNotes(t, p, "Other plans (default/other) read plans/other.yaml too")
	})
}

// Where the overlay as it was would not do with what came later, only the
// plan's file is undone.
func TestUndoLeavesTheOverlayWhereItWouldNotBeValid(t *testing.T) {
	f := newOverlaid(t)
	bad := f.commit("up", shopFile, overlaid("gradual@10"), overlayFile, "resources:\n- new.yaml\n- app.yaml\n", overlayDir+"/new.yaml", "kind: New\n")
	f.commit("needs it too", overlayDir+"/sub/kustomization.yaml", "resources:\n- ../new.yaml\n", overlayFile, "resources:\n- new.yaml\n- app.yaml\n# 1\n# 2\n- sub\n")
	f.push()
	p := push(t, f.openReading(&overlays{}), undo("gradual@10", "setup", bad))
	if d := f.diff(string(p.Commits[0])+"~", "main"); d != "M plans/shop.yaml" {
		t.Errorf("the revert changed:\n%s", d)
	}
	wantNotes(t, p, "would not be valid")

	t.Run("and of that only the position where the rest would not be either", func(t *testing.T) {
		f := newOverlaid(t)
		bad := f.commit("up", shopFile, overlaid("gradual@10", "deploy/shop", "deploy/next"), "deploy/next/kustomization.yaml", "resources:\n")
		f.git("rm", "-q", "-r", overlayDir)
		f.commit("clean up", "deploy/shop", "a file\n")
		f.push()
		p := push(t, f.openReading(&overlays{}), undo("gradual@10", "setup", bad))
		if f.shown(shopFile) != overlaid("setup", "deploy/shop", "deploy/next") {
			t.Errorf("after the revert:\n%s", f.shown(shopFile))
		}
		wantNotes(t, p, "only spec.position was set back", "would not be valid")
	})
}

func TestUndoSeesAPersonsRevertOfWhatThePlanReads(t *testing.T) {
	f := newOverlaid(t)
	bad := f.commit("scale", appFile, app(3))
	f.git("revert", "--no-edit", string(bad))
	f.commit("scale again", appFile, app(3))
	f.push()
	p := push(t, f.openReading(&overlays{}), undo("setup", "setup", bad))
	if p.Outcome != reconciler.PushedNothing || f.shown(appFile) != app(3) {
		t.Errorf("got %+v", p)
	}
	wantNotes(t, p, "was reverted before")
}

func TestUndoRestoresWhatThePlanReads(t *testing.T) {
	for name, breaks := range map[string]func(*fixture){
		"a file of the overlay is gone": func(f *fixture) { f.git("rm", "-q", appFile); f.commit("break") },
		"the overlay is broken":         func(f *fixture) { f.commit("break", overlayFile, "resources:\n- nowhere\n") },
		"the plan has lost its name":    func(f *fixture) { f.commit("break", shopFile, overlaid("gradual@25", "{name: shop}", "{}")) },
		"the plan too":                  func(f *fixture) { f.commit("break", overlayFile, "resources:\n- nowhere\n", shopFile, "[") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newOverlaid(t)
			good := f.commit("good", shopFile, overlaid("gradual@10"), appFile, app(2))
			bad := f.commit("bad", shopFile, overlaid("gradual@25"), appFile, app(4))
			breaks(f)
			f.push()
			r := f.openReading(&overlays{})
			u := undo("gradual@25", "gradual@10", bad)
			u.Good = good
			p := push(t, r, u)
			if d := f.diff(string(good), "main"); p.Outcome != reconciler.PushedHead || d != "" {
				t.Errorf("got %+v; differs from the good revision in\n%s", p, d)
			}
			if len(p.Notes) != 2 || !strings.Contains(p.Notes[1], appFile) {
				t.Errorf("notes %q", p.Notes)
			}
		})
	}
	t.Run("but not what other plans read too", func(t *testing.T) {
		f := newShared(t)
		good := f.commit("good", shopFile, overlaid("gradual@10"))
		bad := f.commit("bad", shopFile, overlaid("gradual@25"), "deploy/base/base.yaml", app(4))
		f.commit("break", overlayFile, "resources:\n- nowhere\n")
		f.push()
		u := undo("gradual@25", "gradual@10", bad)
		u.Good = good
		p := push(t, f.openReading(&overlays{}), u)
		if d := f.diff(string(good), "main"); d != "M deploy/base/base.yaml" {
			t.Errorf("differs from the good revision in\n%s", d)
		}
		wantNotes(t, p, "whole file was restored", overlayFile+" were restored", "Other plans (default/other) read deploy/base/base.yaml too")
	})
	t.Run("and a broken base of two halts", func(t *testing.T) {
		f := newShared(t)
		good := f.commit("good", shopFile, overlaid("gradual@10"))
		bad := f.commit("bad", shopFile, overlaid("gradual@25"))
		f.commit("break", sharedFile, "resources:\n- nowhere\n")
		f.push()
		before := f.hostHead()
		u := undo("gradual@25", "gradual@10", bad)
		u.Good = good
		if _, err := pushOne(f.openReading(&overlays{}), u); !errors.Is(err, reconciler.ErrMismatch) || !strings.Contains(err.Error(), sharedFile) {
			t.Errorf("got %v, want a mismatch that names the base", err)
		}
		if f.hostHead() != before {
			t.Errorf("something was pushed")
		}
	})
}

// A folder with somebody else's files is never replaced.
func TestUndoNeverReplacesAFolder(t *testing.T) {
	f := newOverlaid(t)
	f.git("rm", "-q", appFile)
	bad := f.commit("folder", overlayFile, "resources:\n- app.yaml\n", appFile+"/kustomization.yaml", "resources:\n")
	f.commit("mine", appFile+"/mine.txt", "mine\n")
	f.push()
	before := f.hostHead()
	p := push(t, f.openReading(&overlays{}), undo("setup", "setup", bad))
	if f.shown(appFile+"/mine.txt") != "mine\n" || f.hostHead() != before {
		t.Errorf("got %+v, %s", p, f.diff(string(before), "main"))
	}
	if len(p.Notes) == 0 {
		t.Errorf("nothing is said")
	}
}
