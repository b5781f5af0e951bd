package git

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/reconciler"
)

func TestUndoRestoresAFileThatDoesNotParse(t *testing.T) {
	for name, broken := range map[string]string{
		"syntax":   "apiVersion: [\n" + shopPlan("gradual@10"),
		"no plan":  "hello\n",
		"invalid":  shopPlan("gradual@10", "bake: 10m", "bakes: 10m"),
		"off":      shopPlan("gradual@11"),
		"trailing": shopPlan("gradual@10") + "---\nkind: Other\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			good := f.promote("gradual@10")
			bad := f.promote("gradual@25")
			f.commit("break it", shopFile, broken)
			f.push()
			r := f.open()
			u := undo("gradual@25", "gradual@10", bad)
			u.Good = good
			p := push(t, r, u)
			if p.Outcome != reconciler.PushedHead || len(p.Commits) != 1 || f.shown(shopFile) != shopPlan("gradual@10") {
				t.Errorf("got %+v:\n%s", p, f.shown(shopFile))
			}
			if p := push(t, r, u); p.Outcome != reconciler.PushedNothing {
				t.Errorf("a second time: %+v", p)
			}
		})
	}
}

// A plan names what it reads from where it lies. Moved since, its old text is
// valid in its old place alone.
func TestUndoRestoresAFileWhereItIsValid(t *testing.T) {
	f := newOverlaid(t)
	good := f.commit("raise", shopFile, overlaid("gradual@10"))
	f.git("mv", shopFile, "plans/moved.yaml")
	f.git("commit", "-q", "-m", "move")
	deep := strings.Replace(overlaid("gradual@25"), "../"+overlayDir, "../../"+overlayDir, 1)
	f.git("rm", "-q", "plans/moved.yaml")
	bad := f.commit("move deeper and raise", "plans/eu/shop.yaml", deep)
	f.commit("break it", "plans/eu/shop.yaml", strings.Replace(deep, "bake: 10m", "bakes: 10m", 1))
	f.push()
	r := f.openReading(&overlays{})
	u := undo("gradual@25", "gradual@10", bad)
	u.Good = good
	p := push(t, r, u)
	if p.Outcome != reconciler.PushedHead || f.shown(shopFile) != overlaid("gradual@10") || !strings.Contains(strings.Join(p.Notes, "\n"), "put back from") {
		t.Errorf("got %+v", p)
	}
	if files := f.host("ls-tree", "-r", "--name-only", "main", "plans/"); files != shopFile {
		t.Errorf("the plans are %s", files)
	}
}

// The parent of a commit that repairs and moves a plan has no plan that could be
// found by its name.
func TestUndoOfACommitThatRepairedAndMovedThePlan(t *testing.T) {
	f := newFixture(t)
	f.promote("gradual@10")
	f.commit("break it", shopFile, "apiVersion: [\n"+shopPlan("gradual@10"))
	f.git("rm", "-q", shopFile)
	bad := f.commit("repair, move and raise", "plans/b.yaml", shopPlan("gradual@25"))
	f.push()
	p := push(t, f.open(), undo("gradual@25", "gradual@10", bad))
	if p.Outcome != reconciler.PushedHead || f.shown(shopFile) != shopPlan("gradual@10") {
		t.Errorf("got %+v", p)
	}
}
