package git

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/reconciler"
)

// overlayState is an overlay as people edit it: files with lines, of which the
// kustomization lists all.
type overlayState map[string][]string

func (o overlayState) clone() overlayState {
	c := overlayState{}
	for k, v := range o {
		c[k] = slices.Clone(v)
	}
	return c
}

// files are those of the overlay; the kustomization has comments to give lines
// something to merge with.
func (o overlayState) files(into map[string]string) {
	names := []string{}
	for name, lines := range o {
		into[overlayDir+"/"+name] = strings.Join(lines, "\n") + "\n"
		names = append(names, name)
	}
	slices.Sort(names)
	k := "resources:\n"
	for _, n := range names {
		k += "# before " + n + "\n\n# what " + n + " is\n- " + n + "\n"
	}
	into[overlayFile] = k
}

func editOverlay(t *rapid.T, o overlayState) {
	name := rapid.SampledFrom([]string{"a.yaml", "b.yaml", "c.yaml"}).Draw(t, "file")
	lines, there := o[name]
	switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
	case !there:
		for i := range 12 {
			lines = append(lines, fmt.Sprintf("%s line %d", name, i))
		}
		o[name] = lines
	case kind == 0:
		delete(o, name)
	case kind < 3:
		i := rapid.IntRange(0, len(lines)).Draw(t, "at")
		o[name] = slices.Insert(lines, i, fmt.Sprintf("new %d", rapid.IntRange(0, 99).Draw(t, "n")))
	default:
		lines[rapid.IntRange(0, len(lines)-1).Draw(t, "line")] = fmt.Sprintf("v%d", rapid.IntRange(0, 3).Draw(t, "value"))
	}
}

// generateOverlaid makes a trunk of commits that change the plan, its overlay
// and other files.
func generateOverlaid(t *rapid.T) (h *history, trunk []int) {
	h = &history{merges: map[int]bool{}}
	o := overlayState{}
	editOverlay(t, o)
	position, notes := "gradual@10", "0"
	tip := 0
	for range rapid.IntRange(3, 7).Draw(t, "commits") {
		o = o.clone()
		for range rapid.IntRange(0, 3).Draw(t, "edits") {
			editOverlay(t, o)
		}
		if rapid.IntRange(0, 2).Draw(t, "raise") == 0 {
			position = rapid.SampledFrom([]string{"setup", "gradual@10", "gradual@25", "gradual@50"}).Draw(t, "position")
		}
		if rapid.Bool().Draw(t, "note") {
			notes += "1"
		}
		s := snapshot{shop: shopState{path: shopFile}, others: map[string]string{overlayDir + "/notes.txt": notes, "README.md": notes}, raw: overlaid(position)}
		o.files(s.others)
		tip = h.commit(s, tip, 0)
		trunk = append(trunk, tip)
	}
	return h, trunk
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
	rapid.Check(t, func(rt *rapid.T) {
		h, trunk := generateOverlaid(rt)
		marks := d.load(rt, h)
		head := marks[trunk[len(trunk)-1]]
		d.git(rt, nil, "reset", "-q", "--hard", head.String())
		for _, bad := range trunk[1:] {
			d.compareBeside(rt, head, marks[bad])
			d.git(rt, nil, "reset", "-q", "--hard", head.String())
		}
	})
	t.Logf("%d paths equal, %d of them as before the commit, %d merged by lines; %d in conflict stay; %d left for the plan's sake",
		d.equal, d.taken, d.mergedLines, d.conflicts, d.left)
	if d.taken < 50 || d.mergedLines < 20 || d.conflicts < 20 || d.left > d.equal/10 {
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
	_, _ = d.try(nil, "revert", "-X", "no-renames", "--no-commit", bad.String())
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
	for _, path := range []string{overlayDir + "/notes.txt", "README.md"} {
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
