package git

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/test/counts"
)

// histories is how many are generated where the full counts are asked for, and
// shard how many of them share a repository.
const (
	histories = 5000
	shard     = 100
)

// TestRollbackInAnyHistory generates histories, undoes in each what a breach
// would undo, through the same decisions as the daemon, and compares the whole
// tree with what Git's own reverts make of it, taken for the plan's paths
// alone. Where Git stops at a conflict the result must be a valid plan at the
// position that was asked for. A history that fails is kept below
// testdata/rapid, and -rapid.seed plays it again.
func TestRollbackInAnyHistory(t *testing.T) {
	counts.Rapid(t, histories, 40)
	a := anyHistory{t: t}
	rapid.Check(t, a.check)
	a.fsck()
	t.Logf("%d histories, %d with something to undo, %d reverts by Git: %d trees equal; "+
		"%d in conflict for Git, %d that Git makes into no valid plan, %d that Git would raise, %d restored whole, %d lowered already, %d gone",
		a.n, a.undone, a.reverts, a.equal, a.conflicts, a.invalid, a.raised, a.restored, a.nothing, a.gone)
	for name, few := range map[string]bool{
		"equal": a.equal < a.undone/4, "conflicts": a.conflicts < a.undone/40, // none asked for of few histories
		"undone": a.undone < a.n/2,
	} {
		if few {
			t.Errorf("the histories are too simple: few are %s", name)
		}
	}
}

// anyHistory counts what became of the histories.
type anyHistory struct {
	differ
	t                                                                              *testing.T
	n, undone, reverts, equal, conflicts, invalid, raised, restored, nothing, gone int
}

// fresh begins a repository, so that none grows beyond what Git is quick with.
func (a *anyHistory) fresh() {
	a.fsck()
	a.dir = a.t.TempDir()
	a.git(a.t, nil, "init", "-q", "-b", "gen", a.dir)
	a.git(a.t, nil, "config", "gc.auto", "0")
	a.git(a.t, nil, "config", "core.autocrlf", "false")
}

// fsck lets Git check all that was written.
func (a *anyHistory) fsck() {
	if a.dir == "" {
		return
	}
	out, err := a.try(nil, "fsck", "--strict", "--full", "--no-dangling")
	if err != nil || strings.Contains(out, "error") || strings.Contains(out, "warning") || strings.Contains(out, "missing") {
		a.t.Errorf("git fsck --strict: %v\n%s", err, out)
	}
	if err := os.RemoveAll(a.dir); err != nil {
		a.t.Error(err)
	}
}

func (a *anyHistory) check(t *rapid.T) {
	if a.n%shard == 0 {
		a.fresh()
	}
	a.n++
	w := generateWorlds(t)
	marks := a.load(t, w)
	merges := map[plumbing.Hash]bool{}
	for m := range w.merges {
		merges[marks[m]] = true
	}
	head := marks[w.trunk[len(w.trunk)-1]]
	at := rapid.IntRange(0, len(w.trunk)-2).Draw(t, "good")
	// What was pushed after the decision is not undone with it; a raise is a
	// reason to decide anew.
	seen := rapid.IntRange(at+1, len(w.trunk)-1).Draw(t, "seen")
	later := map[plan.Revision]bool{} // and whether it was seen
	for i, m := range w.trunk[at+1:] {
		later[revision(marks[m])] = at+1+i <= seen
	}

	st := diskStorage(filepath.Join(a.dir, ".git"))
	r := repositoryOn(st)
	r.index = newIndex("plans", (&overlays{}).reads)
	u, ok := pendingUndo(t, r, revision(marks[w.trunk[at]]), revision(head), later)
	if !ok {
		return
	}
	a.undone++
	p, each, err := r.buildAll(t.Context(), []reconciler.Undo{u}, head)
	if err == nil {
		err = each[0].Err
	}
	if err != nil {
		t.Fatalf("undo %v at %s: %v", u.Commits, short(head), err)
	}
	a.judge(t, r, u, head, a.keep(t, r, p), each[0].Notes, merges)
}

// pendingUndo is what the daemon has to undo when a breach comes after all of
// the later commits were applied, or held.
func pendingUndo(t *rapid.T, r *Repository, good, head plan.Revision, later map[plan.Revision]bool) (reconciler.Undo, bool) {
	changes, err := r.Changes(t.Context(), shop, "", head)
	if err != nil {
		t.Fatal(err)
	}
	v, err := r.Version(t.Context(), shop, head)
	if err != nil { // what does not parse is never applied, and moves nothing
		if v, err = r.Version(t.Context(), shop, good); err != nil {
			return reconciler.Undo{}, false
		}
	}
	it, stop := v.Plan.Itinerary(), v.Plan.Spec.Position
	at := time.Unix(1_770_000_000, 0)
	changes = decide.Record{}.See(it, head, changes, at).Changes
	var holds []plan.Revision
	for _, c := range changes {
		seen, after := later[c.Commit]
		if !after {
			continue
		}
		if c.Raise || c.Content && seen {
			holds = append(holds, c.Commit)
		}
		if c.Raise && atOrBefore(it, c.From, stop) {
			stop = c.From
		}
	}
	rec := decide.Rebuild(it, v, stop, at, holds, head, changes)
	if rec.Pending == nil {
		return reconciler.Undo{}, false
	}
	return reconciler.Undo{
		Key: shop, Commits: rec.Pending.Undo, From: rec.Pending.From, Target: rec.Pending.Target, Good: good,
		Message: "Gate many-errors is breached: 0.041 > 0.03.", Gates: []string{"many-errors"}, At: time.Unix(1_780_000_000, 0),
	}, true
}

// keep writes what was made into the repository, under a name.
func (a *anyHistory) keep(t *rapid.T, r *Repository, p *proposal) *commit {
	if err := r.store.add(p.b, p.b.reachable(p.tip)); err != nil {
		t.Fatal(err)
	}
	a.git(t, nil, "update-ref", fmt.Sprintf("refs/ours/%d", a.n), p.tip.String())
	c, err := r.store.commit(p.tip)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// judge looks at the result by itself, and compares it with Git's.
func (a *anyHistory) judge(t *rapid.T, r *Repository, u reconciler.Undo, head plumbing.Hash, made *commit, notes []string, merges map[plumbing.Hash]bool) {
	was, err := r.store.commit(head)
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.index.find(t.Context(), r.store, made.tree, shop)
	if f == nil && made.hash == head { // moved and broken at once: there is no plan to undo anything in
		a.gone++
		return
	}
	if err != nil || !f.ok() {
		t.Fatalf("the result is no valid plan: %v\n%s", err, show(f))
	}
	before, err := r.index.find(t.Context(), r.store, was.tree, shop)
	if err != nil {
		t.Fatal(err)
	}
	it := f.doc.Plan.Itinerary()
	lowered := before.ok() && atOrBefore(it, before.position(), u.Target)
	if got := f.position(); got != u.Target && !(lowered && got == before.position()) {
		t.Fatalf("the result declares %s, want %s", got, u.Target)
	}
	switch {
	case !before.ok():
		a.restored++
		return
	case made.hash == head:
		a.nothing++
		if !lowered {
			t.Fatalf("nothing was done at %s on the way to %s: %q", before.position(), u.Target, notes)
		}
		return
	}
	theirs, verdict := a.revert(t, r, u, head, before.position(), merges)
	switch verdict {
	case conflicted:
		a.conflicts++
	case inPlan:
		a.conflicts++
		if len(u.Commits) == 1 && !strings.Contains(strings.Join(notes, "\n"), "was changed since") {
			t.Fatalf("git finds a conflict in the plan's file, ours merges it: %q", notes)
		}
	case notValid:
		a.invalid++
	case raised:
		a.raised++
	default:
		a.equal++
		if theirs != made.tree {
			diff, _ := a.try(nil, "diff", theirs.String(), made.tree.String())
			t.Fatalf("git's tree and ours differ (%q):\n%s", notes, diff)
		}
	}
}

// Verdicts on what Git made.
const (
	clean = iota
	conflicted
	inPlan // in conflict too
	notValid
	raised
)

// revert lets Git revert the same commits one by one, and takes of each what it
// did to the plan's paths.
func (a *anyHistory) revert(t *rapid.T, r *Repository, u reconciler.Undo, head plumbing.Hash, from plan.Position, merges map[plumbing.Hash]bool) (plumbing.Hash, int) {
	tip, declared := head, from
	a.git(t, nil, "reset", "-q", "--hard", tip.String())
	for _, rev := range u.Commits {
		bad := plumbing.NewHash(string(rev))
		paths := a.pathsOf(t, r, bad, tip)
		args := revertWithoutRenames()
		if merges[bad] {
			args = append(args, "-m", "1")
		}
		out, err := a.try(nil, append(args, bad.String())...)
		if err != nil && !strings.Contains(out, "CONFLICT") {
			t.Fatalf("git revert: %v\n%s", err, out)
		}
		a.reverts++
		stages, conflict := a.staged(t, paths)
		switch {
		case strings.Contains(out, "CONFLICT (content): Merge conflict in plans/"):
			return plumbing.ZeroHash, inPlan
		case conflict || err != nil && namesOneOf(out, paths):
			return plumbing.ZeroHash, conflicted
		}
		tip = a.commitOf(t, tip, paths, stages)
		a.git(t, nil, "reset", "-q", "--hard", tip.String())
		c, err := r.store.commit(tip)
		if err != nil {
			t.Fatal(err)
		}
		f, err := r.index.find(t.Context(), r.store, c.tree, shop)
		if err != nil {
			t.Fatal(err)
		}
		if !f.ok() {
			return plumbing.ZeroHash, notValid
		}
		if stop := f.position(); !declared.IsZero() && raises(f.doc.Plan.Itinerary(), declared, stop) {
			return plumbing.ZeroHash, raised
		}
		declared = f.position()
	}
	c, err := r.store.commit(tip)
	if err != nil {
		t.Fatal(err)
	}
	return c.tree, clean
}

// pathsOf are the plan's: its file and what it reads, at the commit or before
// it, and where its file is now.
func (a *anyHistory) pathsOf(t *rapid.T, r *Repository, bad, tip plumbing.Hash) []string {
	c, err := r.store.commit(bad)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i, h := range []plumbing.Hash{bad, c.parent(), tip} {
		at, err := r.store.commit(h)
		if err != nil {
			t.Fatal(err)
		}
		f, err := r.index.find(t.Context(), r.store, at.tree, shop)
		if err != nil {
			t.Fatal(err)
		}
		if f == nil {
			continue
		}
		out = append(out, f.path)
		if i < 2 {
			out = append(out, f.readPaths()...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// namesOneOf reports whether Git's message on a conflict is about one of the
// paths, as where a file stands in the place of a folder.
func namesOneOf(out string, paths []string) bool {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "CONFLICT") && slices.ContainsFunc(paths, func(p string) bool { return strings.Contains(line, p) }) {
			return true
		}
	}
	return false
}

// staged is what Git's index has at the paths after a revert, as mode and name.
func (a *anyHistory) staged(t *rapid.T, paths []string) (stages map[string]string, conflict bool) {
	out, err := a.try(nil, append([]string{"ls-files", "-s", "--"}, paths...)...)
	if err != nil {
		t.Fatalf("git ls-files: %v\n%s", err, out)
	}
	stages = map[string]string{}
	for line := range strings.Lines(out) {
		meta, path, _ := strings.Cut(strings.TrimSpace(line), "\t")
		f := strings.Fields(meta)
		stages[path] = f[0] + " " + f[1]
		conflict = conflict || f[2] != "0"
	}
	return stages, conflict
}

// commitOf is a commit on the tip that has what is staged at the paths, and
// nothing else changed.
func (a *anyHistory) commitOf(t *rapid.T, tip plumbing.Hash, paths []string, stages map[string]string) plumbing.Hash {
	var info strings.Builder
	for _, p := range paths {
		if s, ok := stages[p]; ok {
			fmt.Fprintf(&info, "%s\t%s\n", s, p)
		} else {
			fmt.Fprintf(&info, "0 %s\t%s\n", plumbing.ZeroHash, p)
		}
	}
	// In an index of its own: Git's still tells what its revert wrote.
	a.env = []string{"GIT_INDEX_FILE=" + filepath.Join(a.dir, ".git", "index-of-paths")}
	defer func() { a.env = nil }()
	a.git(t, nil, "read-tree", tip.String())
	a.git(t, []byte(info.String()), "update-index", "--index-info")
	tree, err := a.try(nil, "write-tree")
	if err != nil {
		t.Fatalf("git write-tree: %v\n%s", err, tree)
	}
	made, err := a.try(nil, "commit-tree", "-p", tip.String(), "-m", "revert", strings.TrimSpace(tree))
	if err != nil {
		t.Fatalf("git commit-tree: %v\n%s", err, made)
	}
	return plumbing.NewHash(strings.TrimSpace(made))
}
