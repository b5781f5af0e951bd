package git

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// texts makes files of pairs of name and content.
func texts(pairs ...string) map[string][]byte {
	out := map[string][]byte{}
	for i := 0; i+1 < len(pairs); i += 2 {
		out[pairs[i]] = []byte(pairs[i+1])
	}
	return out
}

func publish(t testing.TB, r *Repository, folder string, files map[string][]byte) plan.Revision {
	t.Helper()
	rev, err := r.Publish(t.Context(), "rendered", folder, files, "render "+folder+"\n\nwhy")
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

// onBranch is what is on the host's branch, as path and content.
func (f *fixture) onBranch(branch string) string {
	f.t.Helper()
	var out []string
	for path := range strings.Lines(f.host("ls-tree", "-r", "--name-only", branch)) {
		path = strings.TrimSpace(path)
		out = append(out, path+"="+f.host("show", branch+":"+path))
	}
	return strings.Join(out, " ")
}

func TestPublishReplacesOneFolderOfABranch(t *testing.T) {
	inMemory, onDisk := "in memory", "on disk"
	for _, where := range []string{inMemory, onDisk} {
		t.Run(where, func(t *testing.T) {
			f := newFixture(t)
			o := f.options()
			if where == inMemory {
				o.Dir = ""
			}
			r := openWith(t, o)
			main := f.hostHead()
			first := publish(t, r, "default/shop", texts("a.yaml", "1", "sub/deep/b.yaml", "2"))
			if got := f.onBranch("rendered"); got != "default/shop/a.yaml=1 default/shop/sub/deep/b.yaml=2" {
				t.Errorf("the branch has %s", got)
			}
			if n := f.host("rev-list", "--count", "rendered"); n != "1" || string(first) != f.host("rev-parse", "rendered") {
				t.Errorf("%s commits, head %s; want one of its own, %s", n, f.host("rev-parse", "rendered"), first)
			}
			if got := f.host("log", "-1", "--format=%an <%ae> %cI %B", "rendered"); got != "Changeover <changeover@example.com> 2026-03-02T12:00:00+00:00 render default/shop\n\nwhy" {
				t.Errorf("the commit says %q", got)
			}
			second := publish(t, r, "default/other", texts("c.yaml", "3"))
			third := publish(t, r, "default/shop", texts("a.yaml", "1", "d.yaml", "4"))
			if got := f.onBranch("rendered"); got != "default/other/c.yaml=3 default/shop/a.yaml=1 default/shop/d.yaml=4" {
				t.Errorf("the branch has %s", got)
			}
			if got := f.host("rev-list", "rendered"); got != strings.Join([]string{string(third), string(second), string(first)}, "\n") {
				t.Errorf("commits %s", got)
			}
			if same := publish(t, r, "default/shop", texts("d.yaml", "4", "a.yaml", "1")); same != third {
				t.Errorf("a commit was made for what did not change")
			}
			publish(t, r, "default/other", nil)
			if got := f.onBranch("rendered"); got != "default/shop/a.yaml=1 default/shop/d.yaml=4" {
				t.Errorf("the branch has %s", got)
			}
			if f.hostHead() != main || poll(t, r) != main {
				t.Errorf("the watched branch moved")
			}
			f.fsck(f.bare)
		})
	}
}

func TestPublishOfNothingToNoBranchMakesNone(t *testing.T) {
	f := newFixture(t)
	if rev := publish(t, f.open(), "a/b", nil); rev != "" {
		t.Errorf("got %s", rev)
	}
	if out, err := f.try(f.bare, "rev-parse", "--verify", "-q", "rendered"); err == nil {
		t.Errorf("there is a branch at %s", out)
	}
}

// A branch of a long history is read without it.
func TestPublishAddsToABranchOfOthersWithoutReadingItsHistory(t *testing.T) {
	f := newFixture(t)
	f.git("checkout", "-q", "--orphan", "rendered")
	f.git("rm", "-q", "-rf", ".")
	old := f.commit("theirs", "theirs.txt", "1\n", "default/shop/old.yaml", "old\n", "default/shop.txt", "near\n")
	f.commit("more", "theirs.txt", "2\n")
	head := f.commit("again", "theirs.txt", "1\n")
	f.git("push", "-q", "origin", "rendered")
	r := f.open()
	rev := publish(t, r, "default/shop", texts("new.yaml", "new"))
	if got := f.onBranch("rendered"); got != "default/shop.txt=near default/shop/new.yaml=new theirs.txt=1" {
		t.Errorf("the branch has %s", got)
	}
	if parent := f.host("rev-parse", string(rev)+"^"); parent != string(head) {
		t.Errorf("parent %s, want %s", parent, head)
	}
	if _, err := r.commitAt(old); err == nil {
		t.Errorf("the branch's history was fetched")
	}
	f.fsck(f.bare)
	// The watched branch is read as before, also through a clone.
	f.git("checkout", "-q", "main")
	next := f.promote("gradual@10")
	r.store.damaged.Store(true)
	if got := poll(t, r); got != next {
		t.Errorf("head %s, want %s", got, next)
	}
	publish(t, r, "default/shop", texts("new.yaml", "newer"))
	if got := f.onBranch("rendered"); got != "default/shop.txt=near default/shop/new.yaml=newer theirs.txt=1" {
		t.Errorf("after a clone the branch has %s", got)
	}
	if len(r.store.kept()) != 0 {
		t.Errorf("heads were kept: %v", r.store.kept())
	}
}

func TestPublishIsBuiltAnewAfterALostRace(t *testing.T) {
	f := newFixture(t)
	a, b := f.open(), f.open()
	publish(t, a, "default/shop", texts("a.yaml", "1"))
	races := 0
	a.beforePush = func() {
		if races++; races <= 2 {
			publish(t, b, fmt.Sprintf("default/other%d", races), texts("x.yaml", "1"))
		}
	}
	publish(t, a, "default/shop", texts("a.yaml", "2"))
	if got := f.onBranch("rendered"); got != "default/other1/x.yaml=1 default/other2/x.yaml=1 default/shop/a.yaml=2" || races != 3 {
		t.Errorf("after %d tries the branch has %s", races, got)
	}
	t.Run("also for the branch itself", func(t *testing.T) {
		f := newFixture(t)
		a, b := f.open(), f.open()
		a.beforePush = sync.OnceFunc(func() { publish(t, b, "default/other", texts("x.yaml", "1")) })
		publish(t, a, "default/shop", texts("a.yaml", "2"))
		if got := f.onBranch("rendered"); got != "default/other/x.yaml=1 default/shop/a.yaml=2" {
			t.Errorf("the branch has %s", got)
		}
	})
	t.Run("and by many at once", func(t *testing.T) {
		var wait sync.WaitGroup
		for i := range 4 {
			r := f.open()
			wait.Go(func() {
				for j := range 3 {
					if _, err := r.Publish(t.Context(), "rendered", fmt.Sprintf("many/p%d", i), texts("n", fmt.Sprint(j)), "m"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wait.Wait()
		for i := range 4 {
			if got := f.host("show", fmt.Sprintf("rendered:many/p%d/n", i)); got != "2" {
				t.Errorf("p%d has %s", i, got)
			}
		}
	})
	f.fsck(f.bare)
}

func TestPublishRefusesWhatMustNotBeWritten(t *testing.T) {
	f := newFixture(t)
	r := f.open()
	before := f.host("for-each-ref")
	for name, c := range map[string]struct {
		branch, folder string
		files          map[string][]byte
		want           string
	}{
		"the watched branch": {"main", "a", texts("x", "1"), "read from"},
		"a ref":              {"refs/heads/main", "a", texts("x", "1"), "not a branch name"},
		"no branch":          {"", "a", texts("x", "1"), "not a branch name"},
		"an option":          {"-f", "a", texts("x", "1"), "not a branch name"},
		"the root":           {"rendered", ".", texts("x", "1"), "not a folder"},
		"no folder":          {"rendered", "", texts("x", "1"), "not a folder"},
		"a folder above":     {"rendered", "a/../..", texts("x", "1"), "not a folder"},
		"an absolute folder": {"rendered", "/a", texts("x", "1"), "not a folder"},
		"git's own folder":   {"rendered", ".git", texts("x", "1"), "not a folder"},
		"in another case":    {"rendered", "a/.GIT/hooks", texts("x", "1"), "not a folder"},
		"by its short name":  {"rendered", "git~1", texts("x", "1"), "not a folder"},
		"a file above":       {"rendered", "a", texts("../b", "1"), "not the name of a file"},
		"an absolute file":   {"rendered", "a", texts("/etc/passwd", "1"), "not the name of a file"},
		"a backslash":        {"rendered", "a", texts(`..\b`, "1"), "not the name of a file"},
		"git's own file":     {"rendered", "a", texts("x/.git", "1"), "not the name of a file"},
		"a line break":       {"rendered", "a", texts("x\ny", "1"), "not the name of a file"},
		"an empty name":      {"rendered", "a", texts("", "1"), "not the name of a file"},
		"a file and folder":  {"rendered", "a", texts("x", "1", "x-y", "1", "x/y/z", "1"), "is a file, and a folder"},
		"too much":           {"rendered", "a", map[string][]byte{"x": make([]byte, maxPublished), "y": {1}}, "are more than"},
	} {
		if _, err := r.Publish(t.Context(), c.branch, c.folder, c.files, "m"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := r.Publish(t.Context(), "rendered", "a", texts("x", "1"), " \n"); err == nil {
		t.Error("a commit without a message")
	}
	if after := f.host("for-each-ref"); after != before {
		t.Errorf("something was pushed:\n%s", after)
	}
}

func TestPublishThatTheHostRefusesSaysSo(t *testing.T) {
	f := newFixture(t)
	f.hook("update", `if [ "$1" = refs/heads/rendered ]; then echo "rendered is protected" >&2; exit 1; fi`)
	_, err := f.open().Publish(t.Context(), "rendered", "a", texts("x", "1"), "m")
	if e := wantKind(t, err, reconciler.RemoteRefused); !strings.Contains(e.Error(), "rendered is protected") {
		t.Errorf("got %v", e)
	}
}

func TestPublishDoesNotHoldUpARevert(t *testing.T) {
	f := newFixture(t)
	bad := f.promote("gradual@10")
	f.hook("update", `if [ "$1" = refs/heads/rendered ]; then touch begun; while [ ! -e go ]; do sleep 0.05; done; fi`)
	r := f.open()
	done := make(chan error, 1)
	go func() {
		_, err := r.Publish(t.Context(), "rendered", "a", texts("x", "1"), "m")
		done <- err
	}()
	for {
		if _, err := os.Stat(filepath.Join(f.bare, "begun")); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if p := push(t, r, undo("gradual@10", "setup", bad)); p.Outcome != reconciler.PushedHead {
		t.Errorf("got %+v", p)
	}
	select {
	case err := <-done:
		t.Errorf("the publishing was over before the revert: %v", err)
	default:
	}
	if err := os.WriteFile(filepath.Join(f.bare, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPublishedReadsBackWhatIsOnTheBranch(t *testing.T) {
	f := newFixture(t)
	now := epoch
	o := f.options()
	o.Now = func() time.Time { return now }
	r := openWith(t, o)
	read := func(folder string) string {
		t.Helper()
		files, _, err := r.Published(t.Context(), "rendered", folder)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, name := range slices.Sorted(maps.Keys(files)) {
			out = append(out, name+"="+string(files[name]))
		}
		return strings.Join(out, " ")
	}
	if got := read("default/shop"); got != "" {
		t.Errorf("of no branch: %s", got)
	}
	rev := publish(t, r, "default/shop", texts("b", "2", "sub/a", "1"))
	if got := read("default/shop"); got != "b=2 sub/a=1" {
		t.Errorf("after publishing: %s", got)
	}
	if _, at, err := r.Published(t.Context(), "rendered", "default/shop"); at != rev || err != nil {
		t.Errorf("head %s, %v; want %s", at, err, rev)
	}
	if got := read("default/none"); got != "" {
		t.Errorf("of no folder: %s", got)
	}
	publish(t, f.open(), "default/shop", texts("b", "3"))
	if got := read("default/shop"); got != "b=2 sub/a=1" {
		t.Errorf("asked again at once: %s", got)
	}
	now = now.Add(tipAge + time.Second)
	if got := read("default/shop"); got != "b=3" {
		t.Errorf("after %s: %s", tipAge, got)
	}
	if _, _, err := r.Published(t.Context(), "main", "plans"); err == nil {
		t.Error("the watched branch is no branch to publish to")
	}
}

func TestPublishOverHTTPS(t *testing.T) {
	f := newFixture(t)
	h := newHTTPSHost(t, f)
	a, err := h.open(t, f.options())
	if err != nil {
		t.Fatal(err)
	}
	b, err := h.open(t, f.options())
	if err != nil {
		t.Fatal(err)
	}
	publish(t, a, "x", texts("n", "1"))
	publish(t, b, "y", texts("n", "2"))
	publish(t, a, "x", texts("n", "3"))
	if got := f.onBranch("rendered"); got != "x/n=3 y/n=2" {
		t.Errorf("the branch has %s", got)
	}
}

func BenchmarkPublish(b *testing.B) {
	f := newFixture(b)
	r := f.open()
	files := map[string][]byte{}
	for i := range 30 {
		files[fmt.Sprintf("%02d.yaml", i)] = []byte(strings.Repeat("kind: Deployment\n", 60))
	}
	for i := 0; b.Loop(); i++ {
		files["mark"] = fmt.Append(nil, i)
		publish(b, r, "default/shop", files)
	}
}
