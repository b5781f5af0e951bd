package git

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// What a daemon sees bit by bit, one that lost its record must read from the
// whole history just so.
func TestChangesAreTheSameReadAtOnceOrBitByBit(t *testing.T) {
	d := differ{dir: t.TempDir()}
	d.git(t, nil, "init", "-q", "-b", "gen", d.dir)
	seen := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		h := &worlds{merges: map[int]bool{}}
		var trunk []int
		tip := 0
		for i := range rapid.IntRange(1, 10).Draw(rt, "commits") {
			path := rapid.SampledFrom([]string{shopFile, "plans/b.yaml"}).Draw(rt, "path")
			text := rapid.SampledFrom([]string{
				shopPlan("setup"), shopPlan("gradual@10"), shopPlan("gradual@25"), shopPlan("gradual@25", "bake: 10m", "bake: 1m"),
				shopPlan("gradual@11"), "apiVersion: [\n", shopPlan("setup", "name: shop", "name: other"),
			}).Draw(rt, "file")
			tip = h.commitTree(map[string]node{"README.md": {plainMode, fmt.Sprintln(i)}, path: {plainMode, text}}, tip, 0)
			trunk = append(trunk, tip)
		}
		marks := d.load(rt, h)
		r := repositoryOn(diskStorage(filepath.Join(d.dir, ".git")))
		changes := func(since, until plan.Revision) []decide.Change {
			out, err := r.Changes(rt.Context(), shop, since, until)
			if err != nil {
				rt.Fatal(err)
			}
			return out
		}
		head := revision(marks[tip])
		whole := changes("", head)
		var parts []decide.Change
		var since plan.Revision
		for _, mark := range trunk {
			if mark == tip || rapid.Bool().Draw(rt, "read") {
				until := revision(marks[mark])
				parts = append(parts, changes(since, until)...)
				since = until
			}
		}
		if diff := cmp.Diff(whole, parts); diff != "" {
			rt.Fatalf("at once (-) and bit by bit (+):\n%s", diff)
		}
		for _, c := range whole {
			seen[told(c)]++
		}
	})
	if len(seen) < 8 {
		t.Errorf("the histories are too simple: %v", seen)
	}
}
