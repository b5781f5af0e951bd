package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/changeover-dev/changeover/plan"
)

func (f *fixture) link(target, path string) {
	f.t.Helper()
	full := filepath.Join(f.work, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Symlink(target, full); err != nil {
		f.t.Fatal(err)
	}
}

func files(t testing.TB, r *Repository, rev plan.Revision) fs.FS {
	t.Helper()
	fsys, err := r.Files(t.Context(), rev)
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

func TestFilesAreAFileSystem(t *testing.T) {
	f := newFixture(t)
	// Names that sort differently as files and as folders.
	f.write("odd/a.d/x", "1\n")
	f.write("odd/a", "2\n")
	f.write("odd/a-b", "3\n")
	f.write("odd/run", "#!/bin/sh\n")
	f.write("empty", "")
	f.link("../README.md", "odd/link")
	f.link("odd", "dir")
	f.git("add", "-A")
	f.git("update-index", "--chmod=+x", "odd/run")
	f.git("commit", "-q", "-m", "odd")
	f.git("update-index", "--add", "--cacheinfo", "160000,"+string(f.rev("HEAD"))+",vendor/sub")
	f.git("commit", "-q", "-m", "submodule")
	f.push()
	onDisk := f.options()
	inMemory := f.options()
	inMemory.Dir = ""
	for name, o := range map[string]Options{"on disk": onDisk, "in memory": inMemory} {
		t.Run(name, func(t *testing.T) {
			r := openWith(t, o)
			fsys := files(t, r, r.Head())
			want := []string{"README.md", "empty", "odd/a", "odd/a-b", "odd/a.d/x", "odd/link", "odd/run", "dir", "vendor/sub", shopFile}
			if err := fstest.TestFS(fsys, want...); err != nil {
				t.Error(err)
			}
			sub, err := fs.ReadDir(fsys, "vendor/sub")
			if err != nil || len(sub) != 0 {
				t.Errorf("a submodule: %v, %v; want an empty folder", sub, err)
			}
			var modes []string
			for _, name := range []string{"odd", "odd/a", "odd/run", "odd/link", "vendor/sub"} {
				i, err := fs.Lstat(fsys, name)
				if err != nil {
					t.Fatal(err)
				}
				modes = append(modes, fmt.Sprint(i.Mode(), i.Size()))
			}
			if got := strings.Join(modes, " "); got != "dr-xr-xr-x 0 -r--r--r-- 2 -r-xr-xr-x 10 Lrwxrwxrwx 12 dr-xr-xr-x 0" {
				t.Errorf("modes and sizes %s", got)
			}
		})
	}
}

func TestFilesAreThoseOfTheRevision(t *testing.T) {
	f := newFixture(t)
	first := f.rev("HEAD")
	f.promote("gradual@10")
	r := f.open()
	for rev, want := range map[plan.Revision]string{first: shopPlan("setup"), r.Head(): shopPlan("gradual@10")} {
		if b, err := fs.ReadFile(files(t, r, rev), shopFile); err != nil || string(b) != want {
			t.Errorf("at %s: %q, %v", rev, b, err)
		}
	}
	if _, err := r.Files(t.Context(), "1111111111111111111111111111111111111111"); err == nil {
		t.Error("an unknown revision has files")
	}
}

// What os.Root does with links, in a real folder, is the reference.
func TestFilesFollowLinksAsOSRootDoes(t *testing.T) {
	f := newFixture(t)
	f.write("d/file", "in d\n")
	f.write("d/sub/deep", "deep\n")
	f.write("file", "at the root\n")
	for path, target := range map[string]string{
		"ok": "file", "d/up": "../file", "d/sub/upup": "../../file", "chain": "d/up", "dir": "d/sub", "dirdot": "./d/./sub/.",
		"through": "dir/../file", "out": "../file", "d/out": "../../outside", "abs": "/etc/passwd", "loop": "loop2", "loop2": "loop",
		"self": "self/x", "gone": "nowhere", "slash": "file/", "dslash": "d/sub/", "far": "d//sub///deep", "rooted": ".", "d/root": "..",
		"onfile": "file/..", "outandin": "../" + filepath.Base(f.work) + "/file",
	} {
		f.link(target, path)
	}
	f.commit("links")
	f.push()
	root, err := os.OpenRoot(f.work)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	r := f.open()
	got, want := files(t, r, r.Head()), root.FS()
	read := func(fsys fs.FS, name string) string {
		i, err := fs.Stat(fsys, name)
		if err != nil {
			return fmt.Sprint("error, gone ", errors.Is(err, fs.ErrNotExist))
		}
		if i.IsDir() {
			return "a folder"
		}
		b, err := fs.ReadFile(fsys, name)
		return fmt.Sprintf("%s %q %v", i.Name(), b, err)
	}
	followed := 0
	for _, name := range []string{
		"ok", "d/up", "d/sub/upup", "chain", "dir", "dir/deep", "dir/upup", "dirdot/deep", "through", "out", "d/out", "abs", "loop", "self", "gone",
		"dslash/deep", "slash", "onfile", "far", "rooted/file", "rooted/d/root/d/file", "d/root/file", "outandin", "nowhere", "file/x", "dir/none", "out/x",
	} {
		g, w := read(got, name), read(want, name)
		if g != w && !(strings.HasPrefix(w, "error") && strings.HasPrefix(g, "error")) {
			t.Errorf("%s: %s, os.Root has %s", name, g, w)
		}
		if !strings.HasPrefix(g, "error") {
			followed++
		}
	}
	if followed < 12 {
		t.Errorf("only %d links were followed", followed)
	}
	for name, want := range map[string]string{"out": "leads out", "d/out": "leads out", "abs": "leads out", "loop": "more than 40 links", "self": "more than 40 links"} {
		for what, try := range map[string]func() error{
			"open":    func() error { _, err := got.Open(name); return err },
			"read":    func() error { _, err := fs.ReadFile(got, name); return err },
			"stat":    func() error { _, err := fs.Stat(got, name); return err },
			"readdir": func() error { _, err := fs.ReadDir(got, name); return err },
		} {
			if err := try(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: %v, want %q", what, name, err, want)
			}
		}
		if target, err := fs.ReadLink(got, name); err != nil || target == "" {
			t.Errorf("readlink %s: %q, %v", name, target, err)
		}
	}
	if _, err := fs.ReadLink(got, "file"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("readlink of a file: %v", err)
	}
	if _, err := got.Open("../file"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a name that leads out: %v", err)
	}
}

func TestFilesBoundWhatIsRead(t *testing.T) {
	f := newFixture(t)
	f.commit("large", "just", strings.Repeat("x", maxRead), "large", strings.Repeat("x", maxRead+1))
	f.push()
	r := f.open()
	fsys := files(t, r, r.Head())
	if b, err := fs.ReadFile(fsys, "just"); err != nil || len(b) != maxRead {
		t.Errorf("a file of just the bound: %d bytes, %v", len(b), err)
	}
	if _, err := fs.ReadFile(fsys, "large"); err == nil || !strings.Contains(err.Error(), "more than 16 MiB") {
		t.Errorf("a file over the bound: %v", err)
	}
	if i, err := fs.Stat(fsys, "large"); err != nil || i.Size() != maxRead+1 {
		t.Errorf("its size: %v, %v", i, err)
	}
}

func TestFilesDoNotShowNamesThatNoPathCanHold(t *testing.T) {
	f := newFixture(t)
	blob := f.git("hash-object", "-w", "README.md")
	f.git("config", "core.protectNTFS", "false")
	object := func(names ...string) string {
		var b strings.Builder
		for _, n := range names {
			fmt.Fprintf(&b, "100644 %s\x00", n)
			raw := [20]byte{}
			for i := range raw {
				fmt.Sscanf(blob[2*i:2*i+2], "%02x", &raw[i])
			}
			b.Write(raw[:])
		}
		path := filepath.Join(f.t.TempDir(), "tree")
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return f.git("hash-object", "-w", "--literally", "-t", "tree", path)
	}
	tree := object(".", "..", "a/../../b", "fine", "\xff")
	f.git("update-ref", "refs/heads/main", f.git("commit-tree", "-m", "evil", "-p", "HEAD", tree))
	f.git("push", "-q", "origin", "main:main")
	r := f.open()
	fsys := files(t, r, r.Head())
	list, err := fs.ReadDir(fsys, ".")
	if err != nil || len(list) != 1 || list[0].Name() != "fine" {
		t.Errorf("listed %v, %v; want the one good name", list, err)
	}
	if err := fstest.TestFS(fsys, "fine"); err != nil {
		t.Error(err)
	}
}
