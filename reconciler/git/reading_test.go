package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// overlays is a small stand-in for kustomize: a folder's kustomization.yaml
// lists files and folders as its resources. It counts how often it is asked.
type overlays struct{ asked atomic.Int64 }

func (k *overlays) reads(files fs.FS, doc *plan.Document) (out []string, problems []plan.Problem) {
	k.asked.Add(1)
	var visit func(dir, by string, line int)
	visit = func(dir, by string, line int) {
		name := path.Join(dir, "kustomization.yaml")
		text, err := fs.ReadFile(files, name)
		if err != nil {
			problems = append(problems, plan.Problem{File: by, Line: line, Column: 1, Severity: plan.SeverityError, Code: "kustomization", Message: fmt.Sprintf("%q is not there", dir)})
			return
		}
		out = append(out, name)
		for i, l := range strings.Split(string(text), "\n") {
			r, ok := strings.CutPrefix(l, "- ")
			if !ok {
				continue
			}
			r = path.Join(dir, r)
			switch info, err := fs.Stat(files, r); {
			case err != nil:
				problems = append(problems, plan.Problem{File: name, Line: i + 1, Column: 3, Severity: plan.SeverityError, Code: "kustomization", Message: fmt.Sprintf("%q cannot be read", r)})
			case info.IsDir():
				visit(r, name, i+1)
			default:
				out = append(out, r)
			}
		}
	}
	for i, ph := range doc.Plan.Spec.Phases {
		if ph.Cluster != nil {
			line, _ := doc.Locate(fmt.Sprintf("spec.phases[%d].cluster.path", i), 0)
			visit(path.Join(path.Dir(doc.File), ph.Cluster.Path), doc.File, line)
		}
	}
	return out, problems
}

const (
	overlayDir  = "deploy/shop"
	overlayFile = overlayDir + "/kustomization.yaml"
	appFile     = overlayDir + "/app.yaml"
)

// overlaid is shopPlan with an overlay outside of the watched folder.
func overlaid(position string, edits ...string) string {
	return shopPlan(position, append([]string{"routes: [{to: legacy}]\n", "routes: [{to: legacy}]\n      cluster: {path: ../" + overlayDir + "}\n"}, edits...)...)
}

func app(replicas int, more ...string) string {
	return fmt.Sprintf("kind: Deployment\nmetadata:\n  name: app\nspec:\n  # how many\n  replicas: %d\n  # which\n  image: app:1\n%s", replicas, strings.Join(more, ""))
}

// newOverlaid has the shop's plan with its overlay in its second commit.
func newOverlaid(t testing.TB) *fixture {
	t.Helper()
	f := newFixture(t)
	f.commit("add the overlay", shopFile, overlaid("setup"), overlayFile, "resources:\n- app.yaml\n", appFile, app(1))
	f.push()
	return f
}

// openReading opens a repository that asks k what plans read.
func (f *fixture) openReading(k *overlays) *Repository {
	f.t.Helper()
	o := f.options()
	o.Reads = k.reads
	return openWith(f.t, o)
}

func version(t testing.TB, r *Repository, rev plan.Revision) plan.Version {
	t.Helper()
	v, err := r.Version(t.Context(), shop, rev)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVersionCountsWhatThePlanReads(t *testing.T) {
	f := newOverlaid(t)
	revs := []plan.Revision{f.rev("HEAD")}
	same := func(name string, files ...string) { revs = append(revs, f.commit("same: "+name, files...)) }
	same("elsewhere", "README.md", "docs\n")
	same("beside it", overlayDir+"/notes.txt", "not read\n")
	same("a plan beside it", "plans/other.yaml", shopPlan("setup", "name: shop", "name: other"))
	same("position", shopFile, overlaid("gradual@10"))
	base := len(revs)
	differs := func(name string, files ...string) { revs = append(revs, f.commit("differs: "+name, files...)) }
	differs("a file's content", appFile, app(2))
	f.git("update-index", "--chmod=+x", appFile)
	f.git("commit", "-q", "-m", "differs: a file's mode")
	f.git("reset", "-q", "--hard")
	revs = append(revs, f.rev("HEAD"))
	differs("a file more", overlayFile, "resources:\n- app.yaml\n- more\n", overlayDir+"/more/kustomization.yaml", "resources:\n")
	f.git("rm", "-q", overlayDir+"/more/kustomization.yaml")
	f.link("../../lib", overlayDir+"/more")
	differs("a link to a folder", "lib/kustomization.yaml", "resources:\n- x.yaml\n", "lib/x.yaml", "kind: X\n")
	differs("behind a link", "lib/x.yaml", "kind: Y\n")
	f.push()
	k := &overlays{}
	r, without := f.openReading(k), f.open()
	first := version(t, r, revs[0])
	if plain := version(t, without, revs[0]); plain.Content == first.Content || plain.Live == first.Live {
		t.Errorf("what the plan reads is not in its digests")
	}
	last := first
	for i, rev := range revs {
		v := version(t, r, rev)
		name := f.git("log", "-1", "--format=%s", string(rev))
		if i < base && (v.Content != first.Content || v.Live != first.Live) {
			t.Errorf("%s: the digests changed", name)
		}
		if i >= base && (v.Content == last.Content || v.Live == last.Live) {
			t.Errorf("%s: the digests did not change", name)
		}
		last = v
	}
	// As remembered and as read for the first time.
	for _, rev := range revs {
		if a, b := version(t, r, rev), version(t, f.openReading(&overlays{}), rev); a.Content != b.Content || a.Live != b.Live {
			t.Errorf("%s: digests hang on what was read before", rev)
		}
	}
}

func TestPlansHaveTheProblemsOfWhatTheyRead(t *testing.T) {
	f := newOverlaid(t)
	good := f.rev("HEAD")
	bad := f.commit("lose a file", overlayFile, "resources:\n- app.yaml\n- gone.yaml\n")
	f.commit("mend elsewhere", overlayDir+"/gone.yaml", "kind: Found\n")
	f.push()
	r := f.openReading(&overlays{})
	for rev, want := range map[plan.Revision]int{good: 0, bad: 1, r.Head(): 0} {
		list, err := r.Plans(t.Context(), rev)
		if err != nil || len(list) != 1 || len(list[0].Problems) != want {
			t.Fatalf("at %s: %+v, %v; want %d problems", rev, list, err, want)
		}
		_, err = r.Version(t.Context(), shop, rev)
		if errors.Is(err, reconciler.ErrInvalidPlan) != (want > 0) {
			t.Errorf("at %s: %v", rev, err)
		}
		if want > 0 {
			p := list[0].Problems[0]
			if p.File != overlayFile || p.Line != 3 {
				t.Errorf("problem %+v, want it at the kustomization's third line", p)
			}
			if !strings.Contains(err.Error(), overlayFile+":3:") || !strings.Contains(err.Error(), "gone.yaml") {
				t.Errorf("the error does not hold the problem: %v", err)
			}
		}
	}
}

func TestChangesOfWhatThePlanReads(t *testing.T) {
	f := newOverlaid(t)
	f.commit("elsewhere", "src/x.go", "package x\n")
	f.commit("beside it", overlayDir+"/notes.txt", "not read\n")
	f.commit("scale", appFile, app(2))
	f.commit("scale and up", appFile, app(3), shopFile, overlaid("gradual@10"))
	f.commit("break", overlayFile, "resources:\n- gone.yaml\n")
	f.commit("still broken", appFile, app(4))
	f.commit("docs", "README.md", "docs\n")
	mend := f.commit("mend", overlayFile, "resources:\n- app.yaml\n")
	f.commit("break again", overlayFile, "resources:\n- gone.yaml\n")
	f.commit("put back", overlayFile, "resources:\n- app.yaml\n")
	f.push()
	r := f.openReading(&overlays{})
	all := []string{
		"none>setup raise: add the shop's plan", "setup>setup content live: add the overlay", "setup>setup content live: scale",
		"setup>gradual@10 raise content live: scale and up", "gradual@10>gradual@10 content live: mend",
	}
	wantChanges(t, r, "", r.Head(), all...)
	wantChanges(t, r, f.rev(string(mend)+"~1"), r.Head(), all[4:]...)
	wantChanges(t, r, f.rev(string(mend)+"~2"), mend, all[4:]...)
	wantChanges(t, r, mend, r.Head())
	t.Run("of a plan that was never valid before", func(t *testing.T) {
		f := newFixture(t)
		f.git("rm", "-q", shopFile)
		f.commit("gone")
		broken := f.commit("add it broken", shopFile, overlaid("gradual@10"))
		f.commit("docs", "README.md", "docs\n")
		f.commit("mend", overlayFile, "resources:\n")
		f.push()
		r := f.openReading(&overlays{})
		wantChanges(t, r, broken, r.Head(), "none>gradual@10 raise: mend")
		all, err := r.Changes(t.Context(), shop, "", r.Head())
		if err != nil || len(all) != 3 || told(all[2]) != "none>gradual@10 raise: mend" {
			t.Errorf("got %+v, %v", all, err)
		}
	})
}

// A commit elsewhere must cost nothing: the plan's files are not read again.
func TestACommitElsewhereAsksNothingAnew(t *testing.T) {
	f := newFixture(t)
	revs := f.monorepo(30, 5)
	k := &overlays{}
	r := f.openReading(k)
	plans := func(rev plan.Revision) {
		t.Helper()
		if list, err := r.Plans(t.Context(), rev); err != nil || len(list) != 31 {
			t.Fatalf("%d plans, %v", len(list), err)
		}
	}
	plans(revs[0])
	first := k.asked.Load()
	for _, rev := range slices.Backward(revs) {
		plans(rev)
	}
	if n := k.asked.Load() - first; n != 0 || first != 31 {
		t.Errorf("asked %d times for 31 plans, and %d times more for commits elsewhere", first, n)
	}
	f.commit("one base", "plans/team1/base/a.yaml", "kind: Other\n")
	f.push()
	plans(poll(t, r))
	if n := k.asked.Load() - first; n != 10 {
		t.Errorf("asked %d times after the base of ten changed", n)
	}
	plans(revs[0])
	plans(r.Head())
	if n := k.asked.Load() - first; n != 10 {
		t.Errorf("asked %d times: what was known before was asked again", n)
	}
}

// What stands at a link, or is missing, counts as looked at as well.
func TestWhatWasLookedAtInvalidatesWhatIsRemembered(t *testing.T) {
	k := &overlays{}
	steps := []struct {
		name   string
		change func(*fixture)
		want   string
	}{
		{"a file that was missing is there", func(f *fixture) { f.write(overlayDir+"/late.yaml", "kind: Late\n") }, "deploy/shop/app.yaml deploy/shop/kustomization.yaml deploy/shop/late.yaml"},
		{"a file becomes a folder", func(f *fixture) {
			f.git("rm", "-q", overlayDir+"/late.yaml")
			f.write(overlayDir+"/late.yaml/kustomization.yaml", "resources:\n")
		}, "deploy/shop/app.yaml deploy/shop/kustomization.yaml deploy/shop/late.yaml/kustomization.yaml"},
		{"a folder becomes a link", func(f *fixture) {
			f.git("rm", "-q", overlayDir+"/late.yaml/kustomization.yaml")
			f.link("../../README.md", overlayDir+"/late.yaml")
		}, "README.md deploy/shop/app.yaml deploy/shop/kustomization.yaml deploy/shop/late.yaml"},
		{"the link points elsewhere", func(f *fixture) {
			if err := os.Remove(f.work + "/" + overlayDir + "/late.yaml"); err != nil {
				f.t.Fatal(err)
			}
			f.link("app.yaml", overlayDir+"/late.yaml")
		}, "deploy/shop/app.yaml deploy/shop/kustomization.yaml deploy/shop/late.yaml"},
	}
	f := newOverlaid(t)
	f.commit("name a file that is not there", overlayFile, "resources:\n- app.yaml\n- late.yaml\n")
	f.push()
	r := f.openReading(k)
	if _, err := r.Version(t.Context(), shop, r.Head()); !errors.Is(err, reconciler.ErrInvalidPlan) {
		t.Fatalf("a missing file: %v", err)
	}
	for _, s := range steps {
		s.change(f)
		f.commit(s.name)
		f.push()
		head := poll(t, r)
		c, err := r.commitAt(head)
		if err != nil {
			t.Fatal(err)
		}
		found, err := r.index.find(t.Context(), r.store, c.tree, shop)
		if err != nil || !found.ok() {
			t.Fatalf("%s: %+v, %v", s.name, found, err)
		}
		paths := found.readPaths()
		slices.Sort(paths)
		if got := strings.Join(slices.Compact(paths), " "); got != s.want {
			t.Errorf("%s: reads %s, want %s", s.name, got, s.want)
		}
	}
}

// A folder that was listed counts with every name in it.
func TestAListedFolderInvalidatesWhatIsRemembered(t *testing.T) {
	f := newFixture(t)
	o := f.options()
	o.Reads = func(files fs.FS, _ *plan.Document) (out []string, problems []plan.Problem) {
		list, err := fs.ReadDir(files, "deploy")
		if err != nil {
			return nil, nil
		}
		for _, e := range list {
			out = append(out, "deploy/"+e.Name())
		}
		return out, nil
	}
	r := openWith(t, o)
	before := version(t, r, r.Head())
	for i := range 3 {
		f.commit("one more", fmt.Sprintf("deploy/%d.yaml", i), "kind: X\n")
		f.push()
		now := version(t, r, poll(t, r))
		if now.Content == before.Content {
			t.Errorf("file %d does not count", i)
		}
		before = now
	}
}

// A store that is not whole is not the plan's fault.
func TestWhatCannotBeReadOfTheStoreIsNoProblemOfThePlan(t *testing.T) {
	f := newOverlaid(t)
	o := f.options()
	o.Dir, o.Reads = "", (&overlays{}).reads
	r := openWith(t, o)
	f.commit("scale", appFile, app(2), overlayFile, "resources:\n- app.yaml\n# 2\n")
	f.push()
	head := poll(t, r)
	blob := f.git("rev-parse", "HEAD:"+overlayFile)
	r.index = newIndex("plans", o.Reads)
	forget(t, r, blob)
	if _, err := r.Version(t.Context(), shop, head); err == nil || errors.Is(err, reconciler.ErrInvalidPlan) || !errors.Is(err, errMissing) {
		t.Errorf("version: %v, want that the store is not whole", err)
	}
	if _, err := r.Plans(t.Context(), head); !errors.Is(err, errMissing) {
		t.Errorf("plans: %v", err)
	}
	if got := poll(t, r); got != head {
		t.Errorf("head %s, want %s", got, head)
	}
	if v := version(t, r, head); v.Content == "" {
		t.Errorf("after the next poll: %+v", v)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	x := newIndex("", (&overlays{}).reads)
	f := newOverlaid(t)
	r := f.openReading(&overlays{})
	r.index = x
	for i := range 3 * cachedReads {
		f.commit("scale", appFile, app(i+2))
	}
	f.push()
	head := poll(t, r)
	if _, err := r.Changes(t.Context(), shop, "", head); err != nil {
		t.Fatal(err)
	}
	for e := x.readings.order.Front(); e != nil; e = e.Next() {
		if it := e.Value.(*lruItem[fileID, []*decoded]); len(it.value) > cachedReads || it.cost != touched(it.value) {
			t.Errorf("%d states are kept at cost %d", len(it.value), it.cost)
		}
	}
}

// forget takes a blob out of a store in memory.
func forget(t *testing.T, r *Repository, blob string) {
	t.Helper()
	st, ok := r.store.st.(*memory.Storage)
	if !ok {
		t.Fatalf("the store is a %T", r.store.st)
	}
	delete(st.Objects, plumbing.NewHash(blob))
	delete(st.Blobs, plumbing.NewHash(blob))
}
