package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

func (f *fixture) goAway() (comeBack func()) {
	f.t.Helper()
	if err := os.Rename(f.bare, f.bare+".gone"); err != nil {
		f.t.Fatal(err)
	}
	return func() {
		f.t.Helper()
		if err := os.Rename(f.bare+".gone", f.bare); err != nil {
			f.t.Fatal(err)
		}
	}
}

func TestOpenWithAStoreWorksWhileTheRemoteIsGone(t *testing.T) {
	f := newFixture(t)
	raise := f.promote("gradual@10")
	o := f.options()
	if err := openWith(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	comeBack := f.goAway()
	r := openWith(t, o)
	if r.Head() != raise || position(t, r, r.Head()) != "gradual@10" {
		t.Errorf("head %s, want %s", r.Head(), raise)
	}
	head, err := r.Poll(t.Context())
	wantKind(t, err, reconciler.RemoteUnreachable)
	if head != raise {
		t.Errorf("a failed poll answers %s, want the last head", head)
	}
	comeBack()
	next := f.promote("gradual@25")
	if head := poll(t, r); head != next || position(t, r, head) != "gradual@25" {
		t.Errorf("head %s, want %s", head, next)
	}
	f.fsck(filepath.Join(o.Dir, "branch.git"))
}

func TestOpenWithoutAStoreNeedsTheRemote(t *testing.T) {
	f := newFixture(t)
	f.goAway()
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "store")} {
		o := f.options()
		o.Dir = dir
		_, err := Open(t.Context(), o)
		e := wantKind(t, err, reconciler.RemoteUnreachable)
		if !strings.Contains(err.Error(), "no local copy yet") {
			t.Errorf("error %v (%v) does not say what is missing", err, e)
		}
		if _, err := os.Stat(o.Dir + "/branch.git.new"); o.Dir != "" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("leftovers: %v", err)
		}
	}
}

func TestOpenNamesAMissingBranchAndAnEmptyRepository(t *testing.T) {
	f := newFixture(t)
	o := f.options()
	o.Branch = "production"
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), `the remote has no branch "production"`) {
		t.Errorf("missing branch: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty.git")
	f.run("/", "init", "-q", "--bare", empty)
	o.URL = empty
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "no commits yet") {
		t.Errorf("empty repository: %v", err)
	}
}

func TestOpenMakesADamagedStoreAnew(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"pack cut short": func(dir string) error {
			packs, _ := filepath.Glob(dir + "/objects/pack/*.pack")
			if len(packs) == 0 {
				return errors.New("no pack")
			}
			for _, p := range packs {
				if err := os.Chmod(p, 0o600); err != nil {
					return err
				}
				if err := os.Truncate(p, 40); err != nil {
					return err
				}
			}
			return nil
		},
		"objects gone": func(dir string) error { return os.RemoveAll(dir + "/objects") },
		"refs gone":    func(dir string) error { return os.RemoveAll(dir + "/refs") },
		"swap cut off": func(dir string) error { return os.Rename(dir, dir+".new") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			raise := f.promote("gradual@10")
			o := f.options()
			_ = openWith(t, o).Close()
			if err := damage(filepath.Join(o.Dir, "branch.git")); err != nil {
				t.Fatal(err)
			}
			r := openWith(t, o)
			if r.Head() != raise || position(t, r, raise) != "gradual@10" {
				t.Errorf("head %s, want %s", r.Head(), raise)
			}
			f.fsck(filepath.Join(o.Dir, "branch.git"))
			left, _ := filepath.Glob(o.Dir + "/*")
			if len(left) != 1 {
				t.Errorf("leftovers: %s", left)
			}
		})
	}
}

func TestOpenTakesBackAStoreWhoseSwapWasCutOff(t *testing.T) {
	f := newFixture(t)
	o := f.options()
	_ = openWith(t, o).Close()
	if err := os.Rename(o.Dir+"/branch.git", o.Dir+"/branch.git.old"); err != nil {
		t.Fatal(err)
	}
	f.goAway()
	openWith(t, o)
}

func TestOpenNeverReplacesAForeignFolder(t *testing.T) {
	f := newFixture(t)
	o := f.options()
	o.Dir = f.work
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "has no store of ours") {
		t.Errorf("got %v", err)
	}
	f.git("status")
}

func TestOpenOnAnotherBranchMakesTheStoreAnew(t *testing.T) {
	f := newFixture(t)
	o := f.options()
	_ = openWith(t, o).Close()
	f.commit("dev", shopFile, shopPlan("gradual@50"))
	f.git("push", "-q", "origin", "HEAD:dev")
	o.Branch = "dev"
	r := openWith(t, o)
	if got := position(t, r, r.Head()); got != "gradual@50" {
		t.Errorf("position %s, want that of dev", got)
	}
}

func TestPollOfAnUnchangedBranchWritesNothing(t *testing.T) {
	f := newFixture(t)
	r := f.open()
	list := func() (out string) {
		err := filepath.WalkDir(r.o.Dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			out += fmt.Sprintln(path, info.ModTime().UnixNano())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := list()
	for range 3 {
		poll(t, r)
	}
	if after := list(); after != before {
		t.Errorf("files changed:\n%s\nwas:\n%s", after, before)
	}
}

func TestPollGetsADamagedStoreAnew(t *testing.T) {
	f := newFixture(t)
	raise := f.promote("gradual@10")
	r := f.open()
	packs, _ := filepath.Glob(r.o.Dir + "/objects/pack/*.pack")
	for _, p := range packs {
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
	r.store.trees.limit, r.store.commits.limit = 0, 0
	r.store.trees.put([20]byte{}, nil)
	r.store.commits.put([20]byte{}, nil)
	r.index.dirs.limit = 0
	r.index.dirs.put([20]byte{}, nil)
	if _, err := r.Plans(t.Context(), raise); err == nil {
		t.Fatal("the store is not damaged")
	}
	if head := poll(t, r); head != raise || position(t, r, raise) != "gradual@10" {
		t.Errorf("head %s, want %s", head, raise)
	}
	f.fsck(r.o.Dir)
}

func TestPollFallsBackToAWholeClone(t *testing.T) {
	f := newFixture(t)
	r := f.open()
	next := f.promote("gradual@10")
	// Nothing can be written here any more.
	pack := r.o.Dir + "/objects/pack"
	if err := os.RemoveAll(pack); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pack, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if head := poll(t, r); head != next || position(t, r, head) != "gradual@10" {
		t.Errorf("head %s, want %s", head, next)
	}
	f.fsck(r.o.Dir)
}

func TestPackThatIsCutShortLeavesNothingBehind(t *testing.T) {
	f := newFixture(t)
	r := f.open()
	packs, _ := filepath.Glob(r.o.Dir + "/objects/pack/*.pack")
	data, err := os.ReadFile(packs[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 10, len(data) / 2, len(data) - 1} {
		if err := r.store.receive(strings.NewReader(string(data[:n]))); err == nil {
			t.Errorf("%d of %d bytes: no error", n, len(data))
		}
	}
	left, _ := filepath.Glob(r.o.Dir + "/objects/pack/tmp_*")
	top, _ := filepath.Glob(r.o.Dir + "/tmp_*")
	if len(left)+len(top) != 0 {
		t.Errorf("leftovers: %s %s", left, top)
	}
	if r.store.receive(strings.NewReader(string(data))) != nil {
		t.Error("the whole pack is refused")
	}
}

// stores opens a repository with its store on disk and one in memory.
func stores(t *testing.T, f *fixture, test func(t *testing.T, r *Repository)) {
	for _, dir := range []string{"disk", "memory"} {
		t.Run(dir, func(t *testing.T) {
			o := f.options()
			if dir == "memory" {
				o.Dir = ""
			}
			test(t, openWith(t, o))
		})
	}
}

func TestPollAfterAForcePushKeepsWhatWasDropped(t *testing.T) {
	f := newFixture(t)
	first := f.rev("HEAD")
	dropped := f.promote("gradual@10")
	stores(t, f, func(t *testing.T, r *Repository) {
		f.git("push", "-q", "-f", "origin", string(dropped)+":main")
		poll(t, r)
		f.git("reset", "-q", "--hard", string(first))
		next := f.commit("rewritten", shopFile, shopPlan("gradual@25"))
		f.git("push", "-q", "-f", "origin", "HEAD:main")
		if head := poll(t, r); head != next {
			t.Fatalf("head %s, want %s", head, next)
		}
		for old, want := range map[plan.Revision]bool{dropped: false, first: true, next: true, plan.Revision(strings.Repeat("1", 40)): false} {
			if got, err := r.Contains(t.Context(), next, old); err != nil || got != want {
				t.Errorf("head contains %s: %v, %v; want %v", old, got, err, want)
			}
		}
		if got := position(t, r, dropped); got != "gradual@10" {
			t.Errorf("the dropped revision declares %s", got)
		}
		t.Run("through a whole clone too", func(t *testing.T) {
			r.store.damaged.Store(true)
			if head := poll(t, r); head != next {
				t.Errorf("head %s, want %s", head, next)
			}
			r.index, r.store = newIndex("plans", nil), newStore(r.store.st) // nothing cached
			if got := position(t, r, dropped); got != "gradual@10" {
				t.Errorf("the dropped revision declares %s", got)
			}
			if r.o.Dir != "" {
				f.fsck(r.o.Dir)
			}
		})
	})
}

func TestPollBackToAnOlderCommit(t *testing.T) {
	f := newFixture(t)
	first := f.rev("HEAD")
	raise := f.promote("gradual@10")
	r := f.open()
	f.host("update-ref", "refs/heads/main", string(first))
	if head := poll(t, r); head != first || position(t, r, head) != "setup" {
		t.Errorf("head %s, want %s", head, first)
	}
	if got := position(t, r, raise); got != "gradual@10" {
		t.Errorf("the dropped revision declares %s", got)
	}
}

func TestPollFetchesOnlyWhatIsNew(t *testing.T) {
	f := newFixture(t)
	f.commit("large", "large.bin", strings.Repeat("0123456789abcdef\n", 200_000))
	f.push()
	r := f.open()
	f.promote("gradual@10")
	poll(t, r)
	packs, _ := filepath.Glob(r.o.Dir + "/objects/pack/*.pack")
	if len(packs) != 2 {
		t.Fatalf("packs: %s", packs)
	}
	small := false
	for _, p := range packs {
		info, err := os.Stat(p)
		small = small || err == nil && info.Size() < 4096
	}
	if !small {
		t.Errorf("the second fetch was not small")
	}
}

func TestPollJoinsManySmallPacks(t *testing.T) {
	f := newFixture(t)
	o := f.options()
	r := openWith(t, o)
	var revs []plan.Revision
	for i := range maxPacks + 3 {
		revs = append(revs, f.commit("docs", "README.md", fmt.Sprintln(i)))
		f.push()
		poll(t, r)
	}
	packs, _ := filepath.Glob(r.o.Dir + "/objects/pack/*.pack")
	if len(packs) > maxPacks/2 {
		t.Errorf("%d packs are left", len(packs))
	}
	for _, rev := range revs {
		if _, err := r.Plans(t.Context(), rev); err != nil {
			t.Error(err)
		}
	}
	f.fsck(r.o.Dir)
	r2 := openWith(t, o)
	if r2.Head() != r.Head() || position(t, r2, revs[0]) != "setup" {
		t.Errorf("the store does not open again")
	}
}

func TestPollEndsWithItsContext(t *testing.T) {
	f := newFixture(t)
	r := f.open()
	f.promote("gradual@10")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Poll(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	poll(t, r)
}

func TestWholeCloneIsNotTriedAgainAtOnce(t *testing.T) {
	now := epoch
	r := &Repository{o: Options{Now: func() time.Time { return now }}}
	broken := errors.New("fetch: broken")
	if !r.mayClone(broken) || r.mayClone(broken) || r.mayClone(nil) {
		t.Error("want one try")
	}
	now = now.Add(cloneAgain)
	if !r.mayClone(broken) || r.mayClone(&reconciler.RemoteError{Kind: reconciler.RemoteAuth}) {
		t.Error("want another try later, and none without credentials")
	}
}
