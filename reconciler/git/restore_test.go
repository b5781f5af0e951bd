package git

import (
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
