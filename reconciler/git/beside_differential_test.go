package git

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/counts"
)

// generateOverlaid makes a trunk of commits that change the plan's position, its
// overlay and other files.
func generateOverlaid(t *rapid.T) *worlds {
	h := &worlds{merges: map[int]bool{}}
	w := world{
		shop:    shopState{path: shopFile, cluster: true, position: "gradual@10", bakes: [3]string{"1m", "1m", "1m"}},
		overlay: map[string]node{}, others: map[string]node{"README.md": {plainMode, "one\n"}, "deploy/other/x.yaml": {plainMode, "x: 1\n"}},
	}
	notes, tip := "0", 0
	w.editOverlay(t)
	for range rapid.IntRange(3, 7).Draw(t, "commits") {
		w = w.clone()
		for range rapid.IntRange(0, 3).Draw(t, "edits") {
			w.editOverlay(t)
		}
		if chance(t, "raise", 3) {
			w.shop.position = oneOf(t, "position", "setup", "gradual@10", "gradual@25", "gradual@50")
		}
		if rapid.Bool().Draw(t, "note") {
			notes += "1"
		}
		for _, name := range []string{overlayDir + "/notes.txt", "docs/a.md"} {
			w.others[name] = node{plainMode, notes}
		}
		tip = h.commit(w, tip, 0)
		h.trunk = append(h.trunk, tip)
	}
	return h
}

// besideDiffer counts, by path of what the plan reads.
type besideDiffer struct {
	differ
	equal, taken, mergedLines, conflicts, left int
}

// TestUndoOfWhatThePlanReadsEqualsGitRevert compares path by path with Git's
// own revert, also where that stops at a conflict in another path: what Git
// merges is the same, and what is in conflict stays as it is at head.
func TestUndoOfWhatThePlanReadsEqualsGitRevert(t *testing.T) {
	d := besideDiffer{differ: differ{dir: t.TempDir()}}
	d.git(t, nil, "init", "-q", "-b", "gen", d.dir)
	counts.Rapid(t, 100, 25)
	rapid.Check(t, func(rt *rapid.T) {
		h := generateOverlaid(rt)
		marks := d.load(rt, h)
		head := marks[h.trunk[len(h.trunk)-1]]
		d.git(rt, nil, "reset", "-q", "--hard", head.String())
		for _, bad := range h.trunk[1:] {
			d.compareBeside(rt, head, marks[bad])
			d.git(rt, nil, "reset", "-q", "--hard", head.String())
			d.git(rt, nil, "clean", "-fdxq") // what a conflict left would keep the next revert from beginning
		}
	})
	t.Logf("%d paths equal, %d of them as before the commit, %d merged by lines; %d in conflict stay; %d left for the plan's sake",
		d.equal, d.taken, d.mergedLines, d.conflicts, d.left)
	if d.taken < 20 || d.mergedLines < 1 || d.conflicts < 5 || d.left > d.equal/3 {
		t.Errorf("the histories are too simple")
	}
}

func (d *besideDiffer) compareBeside(t *rapid.T, head, bad plumbing.Hash) {
	r := repositoryOn(diskStorage(filepath.Join(d.dir, ".git")))
	r.index = newIndex("plans", (&overlays{}).reads)
	h, err := r.store.commit(head)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.store.commit(bad)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.store.parentOf(c)
	if err != nil {
		t.Fatal(err)
	}
	x := &undoing{r: r, u: reconciler.Undo{Key: shop}, b: newBuilder(r.store), head: h, tip: h.hash, tree: h.tree}
	if err := x.revert(t.Context(), c); err != nil {
		t.Fatalf("revert %s: %v", bad, err)
	}
	if strings.Contains(strings.Join(x.notes, "\n"), "would not be valid") {
		d.left++
		return
	}
	_, _ = d.try(nil, append(revertWithoutRenames(), bad.String())...)
	listed, err := d.try(nil, "ls-files", "-s")
	if err != nil {
		t.Fatalf("git ls-files: %v\n%s", err, listed)
	}
	index := map[string]string{} // by path; a conflict is not at stage 0
	for line := range strings.Lines(listed) {
		meta, path, _ := strings.Cut(strings.TrimSpace(line), "\t")
		f := strings.Fields(meta)
		index[path] = f[1]
		if f[2] != "0" {
			index[path] = "conflict"
		}
	}
	w, _, err := x.threeWay(t.Context(), c, p)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range w.reads {
		d.comparePath(t, x, h, c, p, path, index[path])
	}
	for _, path := range []string{overlayDir + "/notes.txt", "docs/a.md"} {
		if a, b, err := x.both(h.tree, x.tree, path); err != nil || a != b {
			t.Fatalf("%s was changed: %v", path, err)
		}
	}
}

func (d *besideDiffer) comparePath(t *rapid.T, x *undoing, h, c, p *commit, path, want string) {
	var at [4]entry
	for i, tree := range []plumbing.Hash{h.tree, x.tree, c.tree, p.tree} {
		var err error
		if at[i], err = x.fileAt(tree, path); err != nil {
			t.Fatal(err)
		}
	}
	ours, got, base, theirs := at[0], at[1], at[2], at[3]
	if base == theirs {
		return
	}
	name := ""
	if got != (entry{}) {
		name = got.hash.String()
	}
	switch {
	case want == "conflict":
		d.conflicts++
		if got != ours {
			t.Fatalf("%s is in conflict for git, and was changed", path)
		}
	case name != want:
		t.Fatalf("%s: git has %q, ours is %q", path, want, name)
	default:
		d.equal++
		switch got {
		case theirs:
			d.taken++
		case ours, base:
		default:
			d.mergedLines++
		}
	}
}
