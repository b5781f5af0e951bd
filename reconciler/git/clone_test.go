package git

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render/kustomize"
)

// overlaidPlan is the shop's with cluster config in its last phase.
func overlaidPlan(position string) string {
	return shopPlan(position, "    - name: done\n", "    - name: done\n      cluster: {path: ../overlay}\n")
}

func openClone(t testing.TB, folder string) *Clone {
	t.Helper()
	c, err := OpenClone(t.Context(), folder, kustomize.Reads, os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// summed is what matters of a plan's file.
func summed(files []reconciler.PlanFile) (out []string) {
	for _, f := range files {
		v := f.Version
		out = append(out, fmt.Sprintf("%s %s %s %s %s %d", v.Path, v.Revision, v.Plan.Spec.Position, v.Content, v.Live, len(f.Problems)))
	}
	return out
}

func TestACloneReadsWhatARepositoryReads(t *testing.T) {
	f := newFixture(t)
	f.commit("with a cluster", shopFile, overlaidPlan("setup"),
		"overlay/kustomization.yaml", "resources: [cm.yaml]\n", "overlay/cm.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n")
	f.commit("another file of it", "overlay/cm.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n")
	f.commit("broken", "plans/broken.yaml", strings.Replace(shopPlan("setup"), "bake: 10m", "bake: ten", 1))
	f.push()
	o := f.options()
	o.Reads = kustomize.Reads
	r, c := openWith(t, o), openClone(t, filepath.Join(f.work, "plans"))
	for _, name := range []string{"HEAD", "HEAD~1", "HEAD~2", "HEAD~3"} {
		rev, err := c.Revision(t.Context(), name)
		if err != nil || rev != f.rev(name) {
			t.Fatalf("%s is %s: %v", name, rev, err)
		}
		want, err := r.Plans(t.Context(), rev)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Plans(t.Context(), rev)
		if diff := cmp.Diff(summed(want), summed(got)); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

func TestTheWorkingTreeIsWhatWouldBeCommitted(t *testing.T) {
	f := newFixture(t)
	f.commit("ignore", ".gitignore", "*.ignored.yaml\n")
	before := f.git("status", "--porcelain", "--ignored")
	c := openClone(t, f.work)
	clean, err := c.Plans(t.Context(), "")
	if err != nil || len(clean) != 1 || clean[0].Version.Revision != "" {
		t.Fatalf("got %v: %v", summed(clean), err)
	}
	if after := f.git("status", "--porcelain", "--ignored"); after != before {
		t.Errorf("the clone was changed: %s", after)
	}
	f.write(shopFile, shopPlan("gradual@25"))
	f.write("plans/new.yaml", shopPlan("setup", "name: shop", "name: new"))
	f.write("plans/x.ignored.yaml", shopPlan("setup", "name: shop", "name: ignored"))
	objects := f.git("count-objects")
	files, err := openClone(t, f.work).Plans(t.Context(), "")
	if err != nil || len(files) != 2 || files[1].Version.Plan.Spec.Position != at("gradual@25") {
		t.Errorf("got %v: %v", summed(files), err)
	}
	if now := f.git("count-objects"); now != objects || f.git("diff", "--cached", "--name-only") != "" {
		t.Errorf("objects or index of the clone changed: %s, was %s", now, objects)
	}
}

// TestAFileThatChangedInTheSecondOfTheIndexIsRead: Git takes the size and the
// second of a file for its content, but not where the index is no newer.
func TestAFileThatChangedInTheSecondOfTheIndexIsRead(t *testing.T) {
	f := newFixture(t)
	f.commit("raise", shopFile, shopPlan("gradual@10"))
	second := time.Now().Add(-time.Hour).Truncate(time.Second)
	stamp := func(name string) {
		if err := os.Chtimes(filepath.Join(f.work, name), second, second); err != nil {
			t.Fatal(err)
		}
	}
	stamp(shopFile)
	f.git("update-index", "--refresh")
	stamp(".git/index")
	f.write(shopFile, shopPlan("gradual@25")) // as long as it was
	stamp(shopFile)
	files, err := openClone(t, f.work).Plans(t.Context(), "")
	if err != nil || files[0].Version.Plan.Spec.Position != at("gradual@25") {
		t.Errorf("got %v: %v", summed(files), err)
	}
}

func TestOnlyPlansAndWhatTheyReadAreRead(t *testing.T) {
	f := newFixture(t)
	files := []string{shopFile, overlaidPlan("setup"), "overlay/kustomization.yaml", "resources: [cm.yaml]\n",
		"overlay/cm.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n"}
	for i := range 20 {
		files = append(files, fmt.Sprintf("big/%d/values.yaml", i), fmt.Sprintf("a: %d\n", i), fmt.Sprintf("plans/%d.txt", i), fmt.Sprintf("text %d\n", i))
	}
	rev := f.commit("many files", files...)
	// Whatever else is in the repository might as well not be there.
	for _, name := range strings.Fields(f.git("ls-tree", "-r", "--name-only", "HEAD")) {
		if strings.HasPrefix(name, "big/") || strings.HasSuffix(name, ".txt") {
			f.lose(f.git("rev-parse", "HEAD:"+name))
		}
	}
	f.lose(f.git("rev-parse", "HEAD:big"))
	c := openClone(t, filepath.Join(f.work, "plans"))
	got, err := c.Plans(t.Context(), rev)
	if err != nil || len(got) != 1 || plan.HasErrors(got[0].Problems) {
		t.Fatalf("got %v: %v", summed(got), err)
	}
	all, err := c.Files(t.Context(), rev)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kustomize.Build(all, got[0].Version.Plan, got[0].Version.Path, at("done"), ""); err != nil {
		t.Error(err)
	}
	if _, err := fs.ReadFile(all, "plans/1.txt"); err == nil {
		t.Error("a file that is not in the clone was read")
	}
}

// lose removes a loose object.
func (f *fixture) lose(hash string) {
	f.t.Helper()
	if err := os.Remove(filepath.Join(f.work, ".git/objects", hash[:2], hash[2:])); err != nil {
		f.t.Fatal(err)
	}
}

func TestACloneIsReadByManyAtOnce(t *testing.T) {
	f := newFixture(t)
	var files []string
	for i := range 30 {
		files = append(files, fmt.Sprintf("d/%d", i), strings.Repeat(fmt.Sprint(i), i*1000))
	}
	rev := f.commit("files", files...)
	all, err := openClone(t, f.work).Files(t.Context(), rev)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			b, err := fs.ReadFile(all, fmt.Sprintf("d/%d", i))
			if err != nil || string(b) != files[2*i+1] {
				t.Errorf("d/%d: %d bytes, %v", i, len(b), err)
			}
			if fi, err := fs.Stat(all, fmt.Sprintf("d/%d", i)); err != nil || fi.Size() != int64(len(files[2*i+1])) {
				t.Errorf("d/%d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func TestWhatACloneCannotFindIsSaid(t *testing.T) {
	f := newFixture(t)
	c := openClone(t, f.work)
	for _, name := range []string{"", "-x", "--all", "nowhere", "HEAD:README.md"} {
		if rev, err := c.Revision(t.Context(), name); err == nil {
			t.Errorf("%q is %s", name, rev)
		}
	}
	f.git("checkout", "-q", "--orphan", "other")
	other := f.commit("other")
	if _, err := c.MergeBase(t.Context(), other, f.rev("main")); err == nil || !strings.Contains(err.Error(), "no common ancestor") {
		t.Errorf("got %v", err)
	}
	if _, err := OpenClone(t.Context(), t.TempDir(), nil, os.Environ()); err == nil || !strings.Contains(err.Error(), "not a git repository") {
		t.Errorf("got %v", err)
	}
}
