package kustomize

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Bounds of what one plan reads.
const (
	maxFile  = 1 << 20  // bytes of one file
	maxTotal = 16 << 20 // bytes of all files
	maxFiles = 5000
	maxDepth = 32 // kustomizations one below the other
	// A base that is used several times is read as often. maxWork and maxUses
	// bound that, for one phase.
	maxWork = 2 * maxTotal
	maxUses = 2 * maxFiles
	maxPath = 1024 // bytes of one reference
	maxLink = 40   // symlinks on the way to one file
)

// source is one file of the repository.
type source struct {
	path string
	data []byte
}

// store is what was read for one plan.
type store struct {
	files   fs.FS
	infos   map[string]fs.FileInfo // of paths that are there, links not followed
	sources map[string]*source     // by path without links
	bytes   int
	// reads are the paths of all files and links that were read.
	reads map[string]struct{}
}

func newStore(files fs.FS) *store {
	return &store{files: files, infos: map[string]fs.FileInfo{}, sources: map[string]*source{}, reads: map[string]struct{}{}}
}

// target is what a reference leads to: a path without links.
type target struct {
	path string
	dir  bool
}

// legal are the names that kustomize's file system in memory can hold.
var legal = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)

// find resolves a reference of a kustomization in a folder. It refuses all that
// is no relative path to a file or folder of the repository.
func (s *scan) find(dir, ref string, no refuse) (target, bool) {
	switch {
	case strings.TrimSpace(ref) == "":
		no("empty-path", "the path is empty", "name a file or a folder of this repository")
	case remote(ref):
		no("remote", fmt.Sprintf("%q is not in this repository", shown(ref)), "a phase is built from its own repository alone: copy the files into it and name them by a relative path")
	case len(ref) > maxPath:
		no("path", fmt.Sprintf("the path has %d bytes; at most %d are allowed", len(ref), maxPath), "")
	case path.IsAbs(ref):
		no("absolute-path", fmt.Sprintf("%q is an absolute path", ref), "name it relative to the folder of this file")
	default:
		return s.findLocal(path.Join(dir, ref), ref, no)
	}
	return target{}, false
}

func (s *scan) findLocal(clean, ref string, no refuse) (target, bool) {
	if clean == ".." || strings.HasPrefix(clean, "../") {
		no("outside-repository", fmt.Sprintf("%q leads out of the repository", ref), "a phase is built from its own repository alone: copy the files into it")
		return target{}, false
	}
	t, err := s.store.resolve(clean)
	var link *linkError
	switch {
	case errors.As(err, &link):
		no("symlink", fmt.Sprintf("%q: %v", ref, link), "let links lead to files of this repository by relative paths, or put the file itself there")
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid), errors.Is(err, errNoFolder):
		s.missing(clean, ref, no)
	case err != nil:
		no("unreadable", fmt.Sprintf("%q: %v", ref, err), "")
	case !allLegal(t.path):
		no("file-name", fmt.Sprintf("%q has a name that kustomize cannot take", t.path), "name files and folders with letters, digits and - _ . : alone, without two dots in a row")
	default:
		return t, true
	}
	return target{}, false
}

// missing reports that there is nothing at a path.
func (s *scan) missing(clean, ref string, no refuse) {
	if resemblesRemote(ref) {
		no("remote", fmt.Sprintf("there is no %q in this repository", shown(ref)), "if another repository is meant: a phase is built from its own alone, copy the files into it")
		return
	}
	no("missing", fmt.Sprintf("there is no file or folder %q", clean), "paths are relative to the folder of the kustomization; is it committed?")
}

func allLegal(p string) bool {
	for name := range strings.SplitSeq(p, "/") {
		if name != "." && (!legal.MatchString(name) || strings.Contains(name, "..")) {
			return false
		}
	}
	return true
}

// linkError says what is wrong with a symlink.
type linkError struct{ link, wrong string }

func (e *linkError) Error() string { return fmt.Sprintf("the symlink %q %s", e.link, e.wrong) }

var errNoFolder = errors.New("not a folder")

// resolve follows the links on a path from the repository's root, as an
// operating system would, and never out of the repository.
func (s *store) resolve(p string) (target, error) {
	ahead, done := strings.Split(p, "/"), []string(nil)
	dir, links, last := true, 0, "" // done is a folder; links followed, the last of them
	for len(ahead) > 0 {
		name := ahead[0]
		ahead = ahead[1:]
		switch {
		case !dir:
			return target{}, errNoFolder
		case name == "" || name == ".":
			continue
		case name == ".." && len(done) == 0:
			return target{}, &linkError{last, "leads out of the repository"}
		case name == "..":
			done = done[:len(done)-1]
			continue
		}
		at := path.Join(append(done, name)...)
		info, err := s.lstat(at)
		if last != "" && errors.Is(err, fs.ErrNotExist) {
			return target{}, &linkError{last, fmt.Sprintf("leads to %q, which is not there", at)}
		}
		if err != nil {
			return target{}, err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			done, dir = append(done, name), info.IsDir()
			continue
		}
		if links++; links > maxLink {
			return target{}, &linkError{at, "leads to itself, or through too many others"}
		}
		to, err := s.link(at)
		if err != nil {
			return target{}, err
		}
		last, ahead = at, append(strings.Split(to, "/"), ahead...)
	}
	return target{path: path.Join(append([]string{"."}, done...)...), dir: dir}, nil
}

// link reads a symlink.
func (s *store) link(p string) (string, error) {
	s.reads[p] = struct{}{}
	to, err := fs.ReadLink(s.files, p)
	if err == nil && (path.IsAbs(to) || len(to) > maxPath) {
		return "", &linkError{p, "leads out of the repository, to an absolute path"}
	}
	return to, err
}

// lstat is that of the file system, which is asked once for each path.
func (s *store) lstat(p string) (fs.FileInfo, error) {
	if info, ok := s.infos[p]; ok {
		return info, nil
	}
	if !fs.ValidPath(p) {
		return nil, fs.ErrNotExist
	}
	info, err := fs.Lstat(s.files, p)
	if err == nil {
		s.infos[p] = info
	}
	return info, err
}

// read returns a file. Path has no links.
func (s *scan) read(p string, no refuse) *source {
	src := s.store.sources[p]
	if src == nil {
		if src = s.store.load(p, no); src == nil {
			return nil
		}
	}
	s.uses, s.work = s.uses+1, s.work+len(src.data)
	if s.uses > maxUses || s.work > maxWork {
		s.stop(no, "too-large", "the kustomizations of this phase read the same files too often", "is a base used again and again? Split the phase")
		return nil
	}
	return src
}

// load reads a file of the repository, within the bounds.
func (s *store) load(p string, no refuse) *source {
	if len(s.sources) >= maxFiles {
		no("too-many-files", fmt.Sprintf("the plan reads more than %d files", maxFiles), "name only what the phases need")
		return nil
	}
	if info, err := s.lstat(p); err != nil || !info.Mode().IsRegular() {
		no("not-a-file", fmt.Sprintf("%q is no regular file", p), "")
		return nil
	}
	f, err := s.files.Open(p)
	if err != nil {
		no("unreadable", fmt.Sprintf("%q: %v", p, err), "")
		return nil
	}
	defer func() { _ = f.Close() }() // what was only read loses nothing
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		no("unreadable", fmt.Sprintf("%q: %v", p, err), "")
		return nil
	case len(data) > maxFile:
		no("too-large", fmt.Sprintf("%q has more than %d bytes", p, maxFile), "split the file")
		return nil
	case s.bytes+len(data) > maxTotal:
		no("too-large", fmt.Sprintf("the plan's phases read more than %d bytes in all", maxTotal), "name only what the phases need")
		return nil
	}
	s.bytes += len(data)
	src := &source{path: p, data: data}
	s.sources[p], s.reads[p] = src, struct{}{}
	return src
}

// within reports whether a path is a folder or below it.
func within(p, dir string) bool { return p == dir || dir == "." || strings.HasPrefix(p, dir+"/") }

// relative is the path from a folder to a target, both from the root and
// without links. It always begins with ./ or ../, so that nothing can take it
// for the address of another machine.
func relative(dir, to string) string {
	up := ""
	for !within(to, dir) {
		up, dir = up+"../", path.Dir(dir)
	}
	rest := strings.TrimPrefix(to, dir+"/")
	switch {
	case dir == ".":
		rest = to
	case to == dir:
		rest = "."
	}
	if up == "" {
		return "./" + rest
	}
	return up + rest
}

// paths are all that were read, sorted.
func (s *store) paths() []string { return slices.Sorted(maps.Keys(s.reads)) }
