package git

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// threeWay is one plan's file in the three trees of a revert: base is the bad
// commit, theirs its first parent, ours what stands now.
type threeWay struct {
	base, theirs, ours file
	// to is the position before the bad commit.
	to plan.Position
	// reads are the paths that the plan reads beside its file, at the bad
	// commit or before it.
	reads []string
}

// revert undoes one commit in the plan's file and in what the plan reads, as a
// commit of its own. Where nothing is left to undo it makes none.
func (x *undoing) revert(ctx context.Context, c *commit) error {
	cannot := func(reason string) error {
		return &reconciler.MismatchError{Want: x.u.Target, Reason: fmt.Sprintf("commit %s %s", short(c.hash), reason)}
	}
	if c.parent().IsZero() {
		return cannot("is the first of the branch and cannot be reverted")
	}
	p, err := x.r.store.parentOf(c)
	if err != nil {
		return err
	}
	w, missing, err := x.threeWay(ctx, c, p)
	if err != nil {
		return err
	}
	if missing != "" {
		return cannot(missing)
	}
	beside, err := x.beside(ctx, c, p, w)
	if err != nil {
		return err
	}
	if w.base == w.theirs && len(beside.paths) == 0 {
		return nil // the commit changed other files alone
	}
	ours, err := x.r.index.decode(x.b, w.ours)
	if err != nil {
		return err
	}
	tries, err := x.attempts(w, ours, beside)
	if err != nil {
		return err
	}
	others := x.others(c, p, w, beside.paths)
	for _, t := range tries {
		tree, now, err := x.try(ctx, w, t)
		if err != nil {
			return err
		}
		if tree != x.tree && !now.ok() {
			continue
		}
		remarks := slices.DeleteFunc(append(t.remarks, others), func(s string) bool { return s == "" })
		for _, r := range remarks {
			x.note("%s", r)
		}
		if tree != x.tree { // else it was reverted already
			return x.commit(tree, []*commit{c}, ours.position(), now.position(), remarks)
		}
		return nil
	}
	return cannot("does not give a valid plan when it is reverted")
}

// attempt is one way to undo a commit.
type attempt struct {
	path    string // of the plan's file
	data    []byte // its content
	beside  []pathChange
	remarks []string
}

// attempts are the ways to undo a commit, the best first. Where the plan reads
// other files it may turn out not to be valid with them; then less is undone.
func (x *undoing) attempts(w threeWay, ours *decoded, beside besides) ([]attempt, error) {
	path, err := x.path(w)
	if err != nil {
		return nil, err
	}
	data, remark, err := x.merge(w, ours)
	if err != nil {
		return nil, err
	}
	all := attempt{path, data, beside.changes, append([]string{remark}, beside.remarks...)}
	if x.r.index.reads == nil {
		return []attempt{all}, nil
	}
	const left = "The other files that the plan reads are left as they are: with them reverted it would not be valid."
	lowered, why := positionOnly(w, ours)
	return []attempt{
		all,
		{path, data, nil, []string{remark, left}},
		{w.ours.path, lowered, nil, []string{why, left}},
	}, nil
}

// try makes the tree of an attempt, and finds the plan in it.
func (x *undoing) try(ctx context.Context, w threeWay, t attempt) (tree plumbing.Hash, now *found, err error) {
	tree = x.tree
	if t.path != w.ours.path {
		if tree, err = x.b.set(tree, w.ours.path, nil); err != nil {
			return tree, nil, err
		}
	}
	tree, err = x.b.set(tree, t.path, &entry{mode: mergeMode(w), hash: x.b.put(plumbing.BlobObject, t.data)})
	if err != nil {
		return tree, nil, err
	}
	for _, c := range t.beside {
		if tree, err = x.b.set(tree, c.path, c.to); err != nil {
			return tree, nil, err
		}
	}
	now, err = x.r.index.find(ctx, x.b, tree, x.u.Key)
	return tree, now, err
}

// threeWay finds the plan's file on all three sides, wherever it lies there.
// missing says why there is nothing to merge, or is empty.
func (x *undoing) threeWay(ctx context.Context, c, p *commit) (w threeWay, missing string, err error) {
	base, err := x.r.index.find(ctx, x.b, c.tree, x.u.Key)
	if err != nil {
		return w, "", err
	}
	if base == nil {
		return w, "does not hold the plan", nil
	}
	ours, err := x.r.index.find(ctx, x.b, x.tree, x.u.Key)
	if err != nil {
		return w, "", err
	}
	w.base, w.ours = base.file, ours.file
	theirs, err := x.r.index.find(ctx, x.b, p.tree, x.u.Key)
	if err != nil {
		return w, "", err
	}
	w.reads = append(base.readPaths(), theirs.readPaths()...)
	if theirs != nil {
		w.theirs, w.to = theirs.file, theirs.position()
	}
	if theirs.ok() {
		return w, "", nil
	}
	h, err := x.r.standing(ctx, x.u.Key, p)
	switch {
	case err != nil:
		return w, "", err
	case theirs == nil && h.path == "":
		return w, "added the plan and cannot be reverted", nil
	case h.last == nil:
		return w, "has no valid version of the plan before it", nil
	}
	w.to = h.last.position()
	if theirs == nil { // a file that does not parse stands for it, maybe elsewhere
		w.theirs = h.last.file
	}
	return w, "", nil
}

// path is where the reverted file goes: back to where it was before the bad
// commit moved it, unless it was moved again since or the place is taken.
func (x *undoing) path(w threeWay) (string, error) {
	if w.ours.path != w.base.path || w.base.path == w.theirs.path {
		return w.ours.path, nil
	}
	_, taken, err := lookup(x.b, x.tree, w.theirs.path)
	if err != nil {
		return "", err
	}
	if taken {
		x.note("%q cannot move back to %q: another file is there", w.ours.path, w.theirs.path)
		return w.ours.path, nil
	}
	return w.theirs.path, nil
}

// merge gives the content of the reverted file. What cannot be merged, or does
// not make a valid plan, is left as it is but for the position.
func (x *undoing) merge(w threeWay, ours *decoded) (data []byte, remark string, err error) {
	if w.ours.blob == w.theirs.blob {
		return ours.doc.Source, "", nil
	}
	var texts [2][]byte
	for i, h := range []plumbing.Hash{w.base.blob, w.theirs.blob} {
		if texts[i], _, err = x.b.blob(h, maxFile); err != nil {
			return nil, "", err
		}
	}
	base, theirs := texts[0], texts[1]
	// Undoing a commit that lowered the plan must not raise it.
	doc := x.merged(w, base, ours.doc.Source, theirs)
	if doc != nil && !raises(ours.doc.Plan.Itinerary(), ours.position(), doc.Plan.Spec.Position) && !raises(doc.Plan.Itinerary(), ours.position(), doc.Plan.Spec.Position) {
		return doc.Source, "", nil
	}
	if data, remark, err = x.mergeRest(w, ours, base, theirs); err != nil || data != nil {
		return data, remark, err
	}
	data, remark = positionOnly(w, ours)
	return data, remark, nil
}

// merged is the plan that three texts of it give; nil where they conflict, or
// give none that is valid.
func (x *undoing) merged(w threeWay, base, ours, theirs []byte) *plan.Document {
	data, clean := theirs, true
	if w.ours.blob != w.base.blob {
		data, clean = mergeLines(base, ours, theirs)
	}
	if !clean {
		return nil
	}
	doc, problems := plan.Decode(w.ours.path, data)
	if plan.HasErrors(problems) || doc.Plan.Key() != x.u.Key {
		return nil
	}
	return doc
}

// mergeRest merges all but the position, which was moved since: it becomes the
// lower of what stands and of what was before the commit. The data is nil where
// the rest is in conflict too.
func (x *undoing) mergeRest(w threeWay, ours *decoded, base, theirs []byte) (data []byte, remark string, err error) {
	was, err := x.r.index.decode(x.b, w.base)
	if err != nil || !was.valid() {
		return nil, "", err
	}
	neutral := withPosition(ours.doc.Source, was.position())
	if neutral == nil {
		return nil, "", nil
	}
	rest, clean := mergeLines(base, neutral, theirs)
	if !clean {
		return nil, "", nil
	}
	to := w.to
	if raises(ours.doc.Plan.Itinerary(), ours.position(), to) {
		to = ours.position()
	}
	if rest = withPosition(rest, to); rest == nil {
		return nil, "", nil
	}
	if doc, problems := plan.Decode(w.ours.path, rest); plan.HasErrors(problems) || doc.Plan.Key() != x.u.Key {
		return nil, "", nil
	}
	return rest, fmt.Sprintf("The position in %q was changed since, and is %s.", w.ours.path, to), nil
}

// withPosition is a plan's text at a position; nil where that cannot be written
// into it.
func withPosition(text []byte, to plan.Position) []byte {
	out, err := plan.SetPosition(text, to)
	if err != nil {
		return nil
	}
	return out
}

// raises reports whether going from one stop to another is forward.
func raises(it plan.Itinerary, from, to plan.Position) bool {
	i, j := it.Index(from), it.Index(to)
	return i >= 0 && j > i
}

// positionOnly is the plan's file as it stands, with the position set back.
func positionOnly(w threeWay, ours *decoded) (data []byte, remark string) {
	now := ours.doc.Source
	if ours.position() == w.to || atOrBefore(ours.doc.Plan.Itinerary(), ours.position(), w.to) {
		return now, fmt.Sprintf("%q was changed since; it is left as it is.", w.ours.path)
	}
	edited, err := plan.SetPosition(now, w.to)
	if err != nil {
		return now, fmt.Sprintf("%q was changed since, and its position cannot be set back: %s.", w.ours.path, err)
	}
	return edited, fmt.Sprintf("%q was changed since; only spec.position was set back in it.", w.ours.path)
}

func mergeMode(w threeWay) filemode.FileMode {
	if w.ours.mode == w.base.mode {
		return w.theirs.mode
	}
	return w.ours.mode
}

// others says which other files the bad commit changed: they are not reverted.
func (x *undoing) others(c, p *commit, w threeWay, beside []string) string {
	const most = 1000
	paths, err := changedPaths(x.b, p.tree, c.tree, "", most)
	if err != nil {
		return ""
	}
	paths = slices.DeleteFunc(paths, func(s string) bool {
		return s == w.base.path || s == w.theirs.path || slices.Contains(beside, s)
	})
	if len(paths) == 0 {
		return ""
	}
	return fmt.Sprintf("Commit %s also changed %s: these are not the plan's and are left as they are.", short(c.hash), some(paths))
}

// some names the first of many.
func some(names []string) string {
	const shown = 5
	if n := len(names) - shown; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), n)
	}
	return strings.Join(names, ", ")
}

// changedPaths lists the files that differ between two trees, at most about
// most of them.
func changedPaths(o objects, a, b plumbing.Hash, dir string, most int) ([]string, error) {
	sides := [2]map[string]entry{{}, {}}
	var names []string
	for i, h := range []plumbing.Hash{a, b} {
		if h.IsZero() {
			continue
		}
		entries, err := o.tree(h)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if _, ok := sides[0][e.name]; !ok {
				names = append(names, e.name)
			}
			sides[i][e.name] = e
		}
	}
	slices.Sort(names)
	var out []string
	for _, n := range slices.Compact(names) {
		old, now := sides[0][n], sides[1][n]
		if old == now || len(out) >= most {
			continue
		}
		var subs [2]plumbing.Hash
		file := false
		for i, e := range []entry{old, now} {
			if e.isDir() {
				subs[i] = e.hash
			} else if e.name != "" {
				file = true
			}
		}
		if file {
			out = append(out, dir+n)
		}
		if subs != [2]plumbing.Hash{} {
			deeper, err := changedPaths(o, subs[0], subs[1], dir+n+"/", most-len(out))
			if err != nil {
				return nil, err
			}
			out = append(out, deeper...)
		}
	}
	return out, nil
}
