package git

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// besides is what undoing a commit does to the files that the plan reads
// beside its own.
type besides struct {
	paths   []string // those that the commit changed, sorted
	changes []pathChange
	remarks []string
}

// pathChange puts something at a path, or takes away what is there where to is
// nil.
type pathChange struct {
	path string
	to   *entry
}

// beside undoes a commit in the files that the plan reads, each by itself:
// one that was not changed since gets what was there before, another is
// merged, and where that is not possible it stays. So does one that other
// plans read too.
func (x *undoing) beside(ctx context.Context, c, p *commit, w threeWay) (besides, error) {
	var out besides
	var shared, sharers, kept []string
	paths := slices.Clone(w.reads)
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		if path == w.base.path || path == w.theirs.path || path == w.ours.path {
			continue
		}
		base, theirs, err := x.both(c.tree, p.tree, path)
		if err != nil {
			return out, err
		}
		if base == theirs {
			continue
		}
		out.paths = append(out.paths, path)
		by, err := x.readBy(ctx, path, w.ours.path)
		if err != nil {
			return out, err
		}
		if len(by) > 0 {
			shared, sharers = append(shared, path), append(sharers, by...)
			continue
		}
		ours, err := x.fileAt(x.tree, path)
		if err != nil {
			return out, err
		}
		to, ok, err := x.mergeFile(base, ours, theirs)
		switch {
		case err != nil:
			return out, err
		case !ok:
			kept = append(kept, path)
		case to != ours:
			out.changes = append(out.changes, pathChange{path, to.orNone()})
		}
	}
	blocked, err := x.clear(&out)
	if err != nil {
		return out, err
	}
	kept = append(kept, blocked...)
	if len(shared) > 0 {
		out.remarks = append(out.remarks, sharedRemark(shared, sharers))
	}
	if len(kept) > 0 {
		out.remarks = append(out.remarks, fmt.Sprintf("What was changed later does not let commit %s be reverted in %s: left as it is.", short(c.hash), some(kept)))
	}
	return out, nil
}

func sharedRemark(paths, by []string) string {
	slices.Sort(by)
	return fmt.Sprintf("Other plans (%s) read %s too: left as it is.", some(slices.Compact(by)), some(paths))
}

func (x *undoing) both(a, b plumbing.Hash, path string) (ea, eb entry, err error) {
	if ea, err = x.fileAt(a, path); err == nil {
		eb, err = x.fileAt(b, path)
	}
	return ea, eb, err
}

// fileAt is the file or link at a path; the zero entry where there is none.
func (x *undoing) fileAt(root plumbing.Hash, path string) (entry, error) {
	e, ok, err := lookup(x.b, root, path)
	if err != nil || !ok || !e.isFile() && e.mode != filemode.Symlink {
		return entry{}, err
	}
	return e, nil
}

// orNone is nil for the zero entry.
func (e entry) orNone() *entry {
	if e == (entry{}) {
		return nil
	}
	return &e
}

// mergeFile merges one path; ok is false where that is a conflict.
func (x *undoing) mergeFile(base, ours, theirs entry) (to entry, ok bool, err error) {
	switch {
	case ours == base:
		return theirs, true, nil
	case ours == theirs:
		return ours, true, nil
	case !base.isFile() || !ours.isFile() || !theirs.isFile():
		return ours, false, nil
	}
	to = ours
	if ours.mode == base.mode {
		to.mode = theirs.mode
	}
	switch {
	case ours.hash == base.hash:
		to.hash = theirs.hash
		return to, true, nil
	case ours.hash == theirs.hash, theirs.hash == base.hash:
		return to, true, nil
	}
	var texts [3][]byte
	for i, e := range []entry{base, ours, theirs} {
		b, whole, err := x.b.blob(e.hash, maxFile)
		if err != nil || !whole {
			return ours, false, err
		}
		texts[i] = b
	}
	merged, ok := mergeLines(texts[0], texts[1], texts[2])
	if !ok {
		return ours, false, nil
	}
	to.hash = x.b.put(plumbing.BlobObject, merged)
	return to, true, nil
}

// clear puts what goes first, and drops the changes for which no place would be
// free then: a folder with files of others, or a file where a folder must be.
func (x *undoing) clear(b *besides) (blocked []string, err error) {
	slices.SortStableFunc(b.changes, func(a, c pathChange) int {
		switch {
		case a.to == nil && c.to != nil:
			return -1
		case a.to != nil && c.to == nil:
			return 1
		}
		return strings.Compare(a.path, c.path)
	})
	tree := x.tree
	free := b.changes[:0]
	for _, c := range b.changes {
		ok := c.to == nil
		if !ok {
			if ok, err = x.free(tree, c.path); err != nil {
				return nil, err
			}
		}
		if !ok {
			blocked = append(blocked, c.path)
			continue
		}
		if tree, err = x.b.set(tree, c.path, c.to); err != nil {
			return nil, err
		}
		free = append(free, c)
	}
	b.changes = free
	return blocked, nil
}

// free reports whether a file can be put at a path without anything else
// having to go.
func (x *undoing) free(root plumbing.Hash, path string) (bool, error) {
	for i, r := range path {
		if r != '/' {
			continue
		}
		e, ok, err := lookup(x.b, root, path[:i])
		if err != nil || !ok {
			return err == nil, err
		}
		if !e.isDir() {
			return false, nil
		}
	}
	e, ok, err := lookup(x.b, root, path)
	return err == nil && (!ok || e.isFile() || e.mode == filemode.Symlink), err
}

// readBy names the other plans at head that read a path or are it. own is where
// the plan's own file is at head.
func (x *undoing) readBy(ctx context.Context, path, own string) ([]string, error) {
	if x.readers != nil {
		return x.readers[path], nil
	}
	files, err := x.r.index.files(ctx, x.b, x.head.tree)
	if err != nil {
		return nil, err
	}
	readers := map[string]map[string]bool{}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d, err := x.r.index.at(x.b, x.head.tree, f)
		if err != nil {
			return nil, err
		}
		key := d.doc.Plan.Key()
		if key == x.u.Key || f.path == own {
			continue
		}
		name := key.String()
		if key.Name == "" {
			name = f.path
		}
		other := found{file: f, decoded: d}
		for _, p := range append(other.readPaths(), f.path) {
			if readers[p] == nil {
				readers[p] = map[string]bool{}
			}
			readers[p][name] = true
		}
	}
	x.readers = map[string][]string{}
	for p, names := range readers {
		x.readers[p] = slices.Sorted(maps.Keys(names))
	}
	return x.readers[path], nil
}

// restoreBeside puts the files that a valid plan reads back into a tree, as
// they were with it.
func (x *undoing) restoreBeside(ctx context.Context, tree plumbing.Hash, from *commit, f *found, own string) (_ plumbing.Hash, notes []string, err error) {
	var shared, sharers, kept, restored []string
	for _, path := range f.readPaths() {
		was, now, err := x.both(from.tree, tree, path)
		if err != nil {
			return tree, nil, err
		}
		if was == now || was == (entry{}) || path == own || path == f.path {
			continue
		}
		by, err := x.readBy(ctx, path, own)
		if err != nil {
			return tree, nil, err
		}
		free, err := x.free(tree, path)
		switch {
		case err != nil:
			return tree, nil, err
		case len(by) > 0:
			shared, sharers = append(shared, path), append(sharers, by...)
		case !free:
			kept = append(kept, path)
		default:
			if tree, err = x.b.set(tree, path, &was); err != nil {
				return tree, nil, err
			}
			restored = append(restored, path)
		}
	}
	if len(restored) > 0 {
		notes = append(notes, fmt.Sprintf("with it %s were restored from %s", some(restored), short(from.hash)))
	}
	if len(shared) > 0 {
		notes = append(notes, sharedRemark(shared, sharers))
	}
	if len(kept) > 0 {
		notes = append(notes, fmt.Sprintf("something else stands where %s was: left as it is", some(kept)))
	}
	return tree, notes, nil
}
