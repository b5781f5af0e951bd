package git

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/changeover-dev/changeover/plan"
)

// Bounds of what is read of a revision.
const (
	maxFile  = 1 << 20 // bytes of a plan's file
	maxDepth = 64      // folders below each other
	maxYAML  = 50_000  // YAML files below the watched folder
)

// index finds the plans in a tree, and remembers what it found by the names of
// trees and blobs: a commit elsewhere in the repository costs nothing. It may
// be used by several goroutines.
type index struct {
	path    string // the watched folder; empty: the root
	dirs    *lru[plumbing.Hash, []file]
	claims  *lru[plumbing.Hash, bool]
	keys    *lru[plumbing.Hash, plan.Key]
	decoded *lru[fileID, *decoded]

	reads    readsFunc
	readings *lru[fileID, []*decoded]
}

func newIndex(path string, reads readsFunc) *index {
	return &index{
		path:    path,
		dirs:    newLRU[plumbing.Hash](100_000, func(f []file) int { return len(f) + 1 }),
		claims:  newLRU[plumbing.Hash, bool](200_000, nil),
		keys:    newLRU[plumbing.Hash, plan.Key](20_000, nil),
		decoded: newLRU[fileID, *decoded](2_000, nil),

		reads:    reads,
		readings: newLRU[fileID](cachedTouches, touched),
	}
}

// file is a file that claims to be a plan.
type file struct {
	path string
	blob plumbing.Hash
	mode filemode.FileMode
}

type fileID struct {
	path string
	blob plumbing.Hash
}

// decoded is a plan's file as plan.Decode read it, and from at with what the
// plan reads beside it. It is shared and never changed.
type decoded struct {
	doc           *plan.Document
	problems      []plan.Problem
	content, live plan.Digest

	reads []read   // by path
	seen  *touches // what the reads were found by; nil where none were looked for
}

func (d *decoded) valid() bool { return !plan.HasErrors(d.problems) }

func (d *decoded) position() plan.Position { return d.doc.Plan.Spec.Position }

// watched is the tree of the watched folder; zero where there is none.
func (x *index) watched(o objects, root plumbing.Hash) (plumbing.Hash, error) {
	e, ok, err := lookup(o, root, x.path)
	if err != nil || !ok || !e.isDir() {
		return plumbing.ZeroHash, err
	}
	return e.hash, nil
}

// files lists the plans' files below the watched folder, by path.
func (x *index) files(ctx context.Context, o objects, root plumbing.Hash) ([]file, error) {
	dir, err := x.watched(o, root)
	if err != nil || dir.IsZero() {
		return nil, err
	}
	seen := 0
	rel, err := x.below(ctx, o, dir, 0, &seen)
	if err != nil || x.path == "" {
		return rel, err
	}
	return under(x.path, rel), nil
}

// below lists the plans' files of a folder, with paths from it. Symlinks and
// submodules are not followed.
func (x *index) below(ctx context.Context, o objects, dir plumbing.Hash, depth int, seen *int) ([]file, error) {
	if files, ok := x.dirs.get(dir); ok {
		return files, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("list plans: folders below %q are nested deeper than %d", x.path, maxDepth)
	}
	entries, err := o.tree(dir)
	if err != nil {
		return nil, err
	}
	var out []file
	for _, e := range entries {
		switch {
		case e.isDir():
			sub, err := x.below(ctx, o, e.hash, depth+1, seen)
			if err != nil {
				return nil, err
			}
			out = append(out, under(e.name, sub)...)
		case e.isFile() && isYAML(e.name):
			if *seen++; *seen > maxYAML {
				return nil, fmt.Errorf("list plans: more than %d YAML files below %q; watch a narrower folder", maxYAML, x.path)
			}
			claims, err := x.claimsPlan(o, e.hash)
			if err != nil {
				return nil, err
			}
			if claims {
				out = append(out, file{e.name, e.hash, e.mode})
			}
		}
	}
	x.dirs.put(dir, out)
	return out, nil
}

func isYAML(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

func under(dir string, rel []file) []file {
	out := make([]file, len(rel))
	for i, f := range rel {
		out[i] = file{dir + "/" + f.path, f.blob, f.mode}
	}
	return out
}

func (x *index) claimsPlan(o objects, blob plumbing.Hash) (bool, error) {
	if c, ok := x.claims.get(blob); ok {
		return c, nil
	}
	b, whole, err := o.blob(blob, maxFile)
	if err != nil {
		return false, err
	}
	// A file that is cut off does not parse; what it says of itself stands at
	// its beginning.
	c := plan.IsPlan(b)
	if !whole {
		head := b[:64<<10]
		c = bytes.Contains(head, []byte("changeover.dev/")) && bytes.Contains(head, []byte(plan.Kind))
	}
	x.claims.put(blob, c)
	return c, nil
}

// decode reads a plan's file alone.
func (x *index) decode(o objects, f file) (*decoded, error) {
	id := fileID{f.path, f.blob}
	if d, ok := x.decoded.get(id); ok {
		return d, nil
	}
	b, whole, err := o.blob(f.blob, maxFile)
	if err != nil {
		return nil, err
	}
	d := &decoded{}
	if !whole {
		d.doc = &plan.Document{File: f.path, Plan: &plan.Plan{}}
		d.problems = []plan.Problem{{
			File: f.path, Severity: plan.SeverityError, Code: "file-too-large",
			Message: fmt.Sprintf("a plan's file may have at most %d bytes", maxFile),
		}}
	} else {
		d.doc, d.problems = plan.Decode(f.path, b)
		d.content, d.live = plan.ContentDigest(d.doc.Plan), plan.LiveDigest(d.doc.Plan)
	}
	x.decoded.put(id, d)
	x.keys.put(f.blob, d.doc.Plan.Key())
	return d, nil
}

func (x *index) keyOf(o objects, f file) (plan.Key, error) {
	if k, ok := x.keys.get(f.blob); ok {
		return k, nil
	}
	d, err := x.decode(o, f)
	if err != nil {
		return plan.Key{}, err
	}
	return d.doc.Plan.Key(), nil
}

// found is a plan in a tree.
type found struct {
	file
	*decoded
	twice string // the other file that declares it too, or empty
}

// ok reports whether there is one plan and it is valid.
func (f *found) ok() bool { return f != nil && f.twice == "" && f.valid() }

// find looks for a plan in a commit's tree; nil where it is not there.
func (x *index) find(ctx context.Context, o objects, root plumbing.Hash, key plan.Key) (*found, error) {
	files, err := x.files(ctx, o, root)
	if err != nil {
		return nil, err
	}
	var f *found
	for _, c := range files {
		k, err := x.keyOf(o, c)
		if err != nil {
			return nil, err
		}
		if k != key {
			continue
		}
		if f != nil {
			f.twice = c.path
			return f, nil
		}
		d, err := x.at(o, root, c)
		if err != nil {
			return nil, err
		}
		f = &found{file: c, decoded: d}
	}
	return f, nil
}
