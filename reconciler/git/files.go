package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/changeover-dev/changeover/plan"
)

// Bounds of what is read through a file system.
const (
	maxRead       = 16 << 20 // bytes of one file
	maxLinkTarget = 4096     // bytes
	maxLinks      = 40       // links on the way to one file
)

// Files implements reconciler.Source. The file system is also an
// fs.ReadDirFS, fs.ReadFileFS, fs.StatFS and fs.ReadLinkFS, and may be used by
// several goroutines. It reads the local store when it is asked, and goes on
// doing so after ctx ended. Symlinks are followed inside of the repository
// only. A file of more than 16 MiB cannot be read; every file has the commit's
// time.
func (r *Repository) Files(_ context.Context, rev plan.Revision) (fs.FS, error) {
	c, err := r.commitAt(rev)
	if err != nil {
		return nil, err
	}
	return &tree{o: r.store, root: c.tree, at: c.at}, nil
}

// tree is a commit's files as a file system.
type tree struct {
	o    objects
	root plumbing.Hash
	at   time.Time
	seen *touches // what was looked at, where that is recorded
}

var (
	_ fs.ReadDirFS  = (*tree)(nil)
	_ fs.ReadFileFS = (*tree)(nil)
	_ fs.StatFS     = (*tree)(nil)
	_ fs.ReadLinkFS = (*tree)(nil)
)

var errNoFolder = errors.New("it is not a folder")

// place is where a name leads.
type place struct {
	entry
	path  string   // without links
	links []string // those on the way, as their own paths without links
	node  *touch
}

// isFolder: a submodule is an empty folder.
func (p place) isFolder() bool { return p.isDir() || p.mode == filemode.Submodule }

// resolve finds what a name leads to. The last link is followed only where
// that is wanted.
func (t *tree) resolve(name string, follow bool) (place, error) {
	if !fs.ValidPath(name) {
		return place{}, fs.ErrInvalid
	}
	way := []place{{entry: entry{name: ".", mode: filemode.Dir, hash: t.root}, path: ".", node: t.seen.top()}}
	var links []string
	for rest := strings.Split(name, "/"); len(rest) > 0; {
		here := way[len(way)-1]
		part := rest[0]
		rest = rest[1:]
		switch {
		case !here.isFolder():
			return place{}, fs.ErrNotExist
		case part == "" || part == ".":
			continue
		case part == "..":
			if len(way) == 1 {
				return place{}, errors.New("a link leads out of the repository")
			}
			way = way[:len(way)-1]
			continue
		}
		next, err := t.child(here, part)
		if err != nil {
			return place{}, err
		}
		if next.mode != filemode.Symlink || !follow && len(rest) == 0 {
			way = append(way, next)
			continue
		}
		if links = append(links, next.path); len(links) > maxLinks {
			return place{}, fmt.Errorf("it goes over more than %d links", maxLinks)
		}
		target, err := t.target(next)
		if err != nil {
			return place{}, err
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	found := way[len(way)-1]
	found.links = links
	return found, nil
}

// child is one name in a folder.
func (t *tree) child(dir place, name string) (place, error) {
	entries, err := t.entries(dir)
	if err != nil {
		return place{}, err
	}
	i := slices.IndexFunc(entries, func(e entry) bool { return e.name == name })
	if i < 0 {
		t.seen.child(dir.node, entry{name: name})
		return place{}, fs.ErrNotExist
	}
	return place{entry: entries[i], path: path.Join(dir.path, name), node: t.seen.child(dir.node, entries[i])}, nil
}

// entries are what is in a folder.
func (t *tree) entries(dir place) ([]entry, error) {
	if !dir.isDir() {
		return nil, nil
	}
	entries, err := t.o.tree(dir.hash)
	return entries, t.seen.fail(err)
}

// target is what a link says.
func (t *tree) target(link place) (string, error) {
	b, whole, err := t.o.blob(link.hash, maxLinkTarget)
	switch {
	case err != nil:
		return "", t.seen.fail(err)
	case !whole || len(b) == 0 || bytes.IndexByte(b, 0) >= 0:
		return "", fmt.Errorf("link %q does not hold a path", link.path)
	case b[0] == '/':
		return "", fmt.Errorf("link %q leads out of the repository", link.path)
	}
	return string(b), nil
}

// content is what is in a file.
func (t *tree) content(file place) ([]byte, error) {
	if !file.isFile() {
		return nil, errors.New("it is not a file")
	}
	b, whole, err := t.o.blob(file.hash, maxRead)
	if err == nil && !whole {
		return nil, fmt.Errorf("it has more than %d MiB", maxRead>>20)
	}
	return b, t.seen.fail(err)
}

// list is what is in a folder, as entries. Names that no path can hold are
// left out.
func (t *tree) list(dir place) ([]fs.DirEntry, error) {
	t.seen.list(dir.node)
	entries, err := t.entries(dir)
	if err != nil {
		return nil, err
	}
	out := make([]fs.DirEntry, 0, len(entries))
	for _, e := range entries {
		if e.name != "." && fs.ValidPath(e.name) && !strings.Contains(e.name, "/") {
			out = append(out, dirEntry{t, place{entry: e, path: path.Join(dir.path, e.name)}})
		}
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

// info describes what is at a place, under the name that was asked for.
func (t *tree) info(p place, name string) (fs.FileInfo, error) {
	i := fileInfo{name: path.Base(name), mode: fileMode(p.mode), at: t.at}
	if p.isFolder() {
		return i, nil
	}
	size, err := t.o.size(p.hash)
	i.size = size
	return i, t.seen.fail(err)
}

func fileMode(m filemode.FileMode) fs.FileMode {
	switch m {
	case filemode.Dir, filemode.Submodule:
		return fs.ModeDir | 0o555
	case filemode.Symlink:
		return fs.ModeSymlink | 0o777
	case filemode.Executable:
		return 0o555
	}
	return 0o444
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// Open implements fs.FS.
func (t *tree) Open(name string) (fs.File, error) {
	p, err := t.resolve(name, true)
	var info fs.FileInfo
	if err == nil {
		info, err = t.info(p, name)
	}
	if err != nil {
		return nil, pathError("open", name, err)
	}
	if p.isFolder() {
		return &openFolder{opened{info, name, false}, t, p, nil, false}, nil
	}
	return &openFile{opened{info, name, false}, t, p, nil}, nil
}

// ReadFile implements fs.ReadFileFS.
func (t *tree) ReadFile(name string) ([]byte, error) {
	p, err := t.resolve(name, true)
	var b []byte
	if err == nil {
		b, err = t.content(p)
	}
	return slices.Clone(b), pathError("read", name, err)
}

// ReadDir implements fs.ReadDirFS.
func (t *tree) ReadDir(name string) ([]fs.DirEntry, error) {
	p, err := t.resolve(name, true)
	if err == nil && !p.isFolder() {
		err = errNoFolder
	}
	var out []fs.DirEntry
	if err == nil {
		out, err = t.list(p)
	}
	return out, pathError("readdir", name, err)
}

// Stat implements fs.StatFS.
func (t *tree) Stat(name string) (fs.FileInfo, error) { return t.stat("stat", name, true) }

// Lstat implements fs.ReadLinkFS.
func (t *tree) Lstat(name string) (fs.FileInfo, error) { return t.stat("lstat", name, false) }

func (t *tree) stat(op, name string, follow bool) (fs.FileInfo, error) {
	p, err := t.resolve(name, follow)
	if err != nil {
		return nil, pathError(op, name, err)
	}
	i, err := t.info(p, name)
	return i, pathError(op, name, err)
}

// ReadLink implements fs.ReadLinkFS.
func (t *tree) ReadLink(name string) (string, error) {
	p, err := t.resolve(name, false)
	if err == nil && p.mode != filemode.Symlink {
		err = fs.ErrInvalid
	}
	if err != nil {
		return "", pathError("readlink", name, err)
	}
	b, _, err := t.o.blob(p.hash, maxLinkTarget)
	return string(b), pathError("readlink", name, t.seen.fail(err))
}
