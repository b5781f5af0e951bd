package git

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/changeover-dev/changeover/plan"
)

// Bounds of what is remembered of what plans read.
const (
	cachedTouches = 200_000 // names that were looked at
	cachedReads   = 8       // states of the files that one plan's file reads
	maxReadFaults = 100     // problems of the files that one plan reads
)

// readsFunc is Options.Reads.
type readsFunc = func(files fs.FS, doc *plan.Document) ([]string, []plan.Problem)

// read is a file that a plan reads beside its own.
type read struct {
	plan.Read
	// paths are what stands there in Git: the file itself, and the links on
	// the way to it. There is none where no file was found.
	paths []string
}

// at is a plan's file as it stands in a tree, with what it reads there.
func (x *index) at(o objects, root plumbing.Hash, f file) (*decoded, error) {
	d, err := x.decode(o, f)
	if err != nil || x.reads == nil {
		return d, err
	}
	id := fileID{f.path, f.blob}
	known, _ := x.readings.get(id)
	for i, k := range known {
		same, err := k.seen.hold(o, root)
		if err != nil {
			return nil, err
		}
		if !same {
			continue
		}
		if i > 0 {
			x.readings.replace(id, slices.Insert(slices.Delete(slices.Clone(known), i, i+1), 0, k))
		}
		return k, nil
	}
	k, err := x.readBeside(o, root, d)
	if err != nil {
		return nil, fmt.Errorf("read what plan %q reads: %w", f.path, err)
	}
	x.readings.replace(id, slices.Insert(slices.Clone(known[:min(len(known), cachedReads-1)]), 0, k))
	return k, nil
}

// touched is the cost of what is remembered of one plan's file.
func touched(known []*decoded) int {
	n := 1
	for _, k := range known {
		n += k.seen.count + len(k.reads) + 1
	}
	return n
}

// readBeside asks what a plan reads in a tree. The files are named through the
// same record, so that the result holds for as long as they are the same.
func (x *index) readBeside(o objects, root plumbing.Hash, d *decoded) (*decoded, error) {
	out := *d
	out.seen = newTouches(root)
	files := &tree{o: o, root: root, seen: out.seen}
	names, problems := x.reads(files, d.doc)
	names = slices.Clone(names)
	slices.Sort(names)
	var ids []plan.Read
	for _, name := range slices.Compact(names) {
		r := files.read(name)
		out.reads = append(out.reads, r)
		ids = append(ids, r.Read)
	}
	if out.seen.failed != nil {
		return nil, out.seen.failed
	}
	v := plan.Version{Content: d.content, Live: d.live}.Reading(ids)
	out.content, out.live = v.Content, v.Live
	problems = slices.Clone(problems)
	plan.Sort(problems)
	out.problems = slices.Concat(d.problems, problems[:min(len(problems), maxReadFaults)])
	return &out, nil
}

// read names what is at a path, links followed. Of a link to a folder the link
// alone counts, not what is in the folder.
func (t *tree) read(name string) read {
	r := read{Read: plan.Read{Path: name, ID: "none"}}
	p, err := t.resolve(name, false)
	if err != nil {
		return r
	}
	r.ID, r.paths = p.id(), p.links
	if p.mode == filemode.Symlink {
		r.paths = append(r.paths, p.path)
		if p, err = t.resolve(name, true); err != nil || !p.isFile() {
			return r
		}
		r.ID += " " + p.id()
		r.paths = p.links
	}
	if p.isFile() {
		r.paths = append(r.paths, p.path)
	}
	return r
}

// id names mode and content.
func (e entry) id() string { return fmt.Sprintf("%o %s", uint32(e.mode), e.hash) }

// holds reports whether the plan would be found to read the same in another
// tree that holds the same file of it.
func (f *found) holds(o objects, root plumbing.Hash) (bool, error) {
	if f == nil || f.seen == nil {
		return true, nil
	}
	return f.seen.hold(o, root)
}

// readPaths are the paths of what a plan reads beside its own file.
func (f *found) readPaths() []string {
	if f == nil {
		return nil
	}
	var out []string
	for _, r := range f.reads {
		out = append(out, r.paths...)
	}
	return out
}
