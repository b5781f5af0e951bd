package kustomize

import (
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/changeover-dev/changeover/plan"
)

// scan reads the kustomizations that one phase reaches.
type scan struct {
	store *store
	found map[plan.Problem]struct{}
	stack []string // folders of the kustomizations on the way here
	tree  *tree
	// What was read, counted as often as it is used.
	uses, work, nodes int
	over              bool // a bound was passed: nothing more is read
}

func newScan(st *store) *scan {
	return &scan{store: st, found: map[plan.Problem]struct{}{}, tree: newTree()}
}

// stop ends the scan at a bound.
func (s *scan) stop(no refuse, code, message, hint string) {
	if !s.over {
		no(code, message, hint)
	}
	s.over = true
}

// unit is one kustomization. Its nodes are its own: what is checked is written
// anew in them.
type unit struct {
	s    *scan
	dir  string
	src  *source
	root *yaml.Node
}

func (u *unit) at(n *yaml.Node) refuse { return u.s.at(u.src, n) }

// phase scans the kustomization of a phase. Folder and file are as the plan
// names them.
func (s *scan) phase(file, folder string, no refuse) (dir string) {
	t, ok := s.find(path.Dir(file), folder, no)
	if !ok {
		return ""
	}
	if !t.dir {
		no("not-a-folder", fmt.Sprintf("%q is a file", t.path), "name the folder that holds the kustomization.yaml")
		return ""
	}
	s.visit(t.path, false, no)
	return t.path
}

// visit scans the kustomization of a folder. No is for what is wrong with the
// reference to it.
func (s *scan) visit(dir string, component bool, no refuse) {
	if s.over || s.circle(dir, no) {
		return
	}
	if len(s.stack) >= maxDepth {
		s.stop(no, "too-deep", fmt.Sprintf("kustomizations lie more than %d deep, one below the other", maxDepth), "")
		return
	}
	s.stack = append(s.stack, dir)
	defer func() { s.stack = s.stack[:len(s.stack)-1] }()

	src := s.kustomization(dir, no)
	if src == nil {
		return
	}
	u := &unit{s: s, dir: dir, src: src}
	k := u.parse()
	if k == nil {
		return
	}
	u.meta(k, component, no)
	u.references()
	s.tree.unit(dir, u.decode())
}

// circle reports whether a folder is, or holds, one that leads to it.
func (s *scan) circle(dir string, no refuse) bool {
	for i, above := range s.stack {
		switch {
		case above == dir:
			no("cycle", fmt.Sprintf("the kustomizations lead in a circle: %s", strings.Join(append(s.stack[i:len(s.stack):len(s.stack)], dir), " -> ")),
				"let one of them no longer name the next")
			return true
		case within(above, dir):
			no("cycle", fmt.Sprintf("the folder %q holds %q, which leads to it; kustomize refuses that", dir, above),
				"move the base beside the folder that uses it")
			return true
		}
	}
	return false
}

// kustomization reads the one kustomization file of a folder.
func (s *scan) kustomization(dir string, no refuse) *source {
	var files []string
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		at := path.Join(dir, name)
		if _, err := s.store.lstat(at); err != nil {
			continue
		}
		t, ok := s.findLocal(at, name, s.whole(at))
		switch {
		case !ok:
			return nil
		case t.dir:
			continue
		case !within(t.path, dir):
			s.whole(at)("outside-folder", fmt.Sprintf("the kustomization is a symlink to %q, out of its folder", t.path), "put the file itself there")
			return nil
		}
		files = append(files, t.path)
	}
	switch len(files) {
	case 0:
		no("missing", fmt.Sprintf("the folder %q has no kustomization.yaml", dir), "")
		return nil
	case 1:
		return s.read(files[0], s.whole(files[0]))
	}
	s.whole(files[1])("several-kustomizations", fmt.Sprintf("the folder has a second kustomization, %q", files[0]), "keep one of them")
	return nil
}

// parse reads the kustomization's one YAML document; nil where it is none.
func (u *unit) parse() map[string]any {
	docs, ok := u.s.documents(u.src)
	if !ok {
		return nil
	}
	if len(docs) == 0 {
		u.s.whole(u.src.path)("empty", "the kustomization is empty", "list the files with the objects in `resources`")
		return nil
	}
	u.root = docs[0]
	for _, extra := range docs[1:] {
		u.at(extra)("several-documents", "a second YAML document; kustomize would not read it", "keep one document")
	}
	return u.decode()
}

// decode is the kustomization as json.Marshal takes it; nil where it is none.
func (u *unit) decode() map[string]any {
	k, _ := fields{at: u.at}.value(u.root, reflect.TypeFor[types.Kustomization]()).(map[string]any)
	return k
}

// meta checks what the kustomization is.
func (u *unit) meta(k map[string]any, component bool, no refuse) {
	kind, version := types.KustomizationKind, types.KustomizationVersion
	if k["kind"] == types.ComponentKind {
		kind, version = types.ComponentKind, types.ComponentVersion
	}
	switch {
	case k["kind"] != nil && k["kind"] != kind:
		u.at(field(u.root, "kind"))("kind", fmt.Sprintf("kind %q is neither Kustomization nor Component", k["kind"]), "")
	case component && kind != types.ComponentKind:
		no("kind", fmt.Sprintf("the kustomization in %q is no Component", u.dir), "name it under `resources`, or make it `kind: Component`")
	case !component && kind == types.ComponentKind:
		no("kind", fmt.Sprintf("the kustomization in %q is a Component", u.dir), "name it under `components`")
	}
	if v := k["apiVersion"]; v != nil && v != version {
		u.at(field(u.root, "apiVersion"))("kind", fmt.Sprintf("apiVersion %q: a %s has %s", v, kind, version), "")
	}
	for i := 0; i+1 < len(u.root.Content); i += 2 {
		if name := u.root.Content[i].Value; name != "kind" && name != "apiVersion" && u.root.Content[i+1].ShortTag() != "!!null" {
			return
		}
	}
	u.at(u.root)("empty", "the kustomization is empty", "list the files with the objects in `resources`")
}

// Reads lists every file that the kustomizations of the plan's phases read,
// and the symlinks on the way to them, by their paths from the repository's
// root, sorted; and all that is wrong with the kustomizations, sorted, at file,
// line and column of the kustomization, or of the plan where its path is wrong.
// Files is the repository as a whole; where it has symlinks it must be an
// fs.ReadLinkFS. The document's File is its path in the repository.
//
// Nothing but files is read: no network, no process. It may be called from any
// goroutine.
func Reads(files fs.FS, doc *plan.Document) (paths []string, problems []plan.Problem) {
	st := newStore(files)
	all := newScan(st)
	for i, ph := range doc.Plan.Spec.Phases {
		if ph.Cluster == nil {
			continue
		}
		s := newScan(st)
		s.found = all.found
		s.phase(doc.File, ph.Cluster.Path, func(code, message, hint string) {
			s.add(doc.Problem(fmt.Sprintf("spec.phases[%d].cluster.path", i), 0, code, message, hint))
		})
	}
	return st.paths(), all.problems()
}
