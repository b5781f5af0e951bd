package dir

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/git"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(writerEnv) != "" {
		writeForEver()
	}
	for k, v := range map[string]string{"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"} {
		os.Setenv(k, v)
	}
	os.Exit(kubetest.Main(m, cluster.Options{}))
}

var (
	shop  = plan.Key{Namespace: "shop-ns", Name: "shop"}
	epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// objects reads manifests as a render has them.
func objects(t testing.TB, text string) (out []render.Object) {
	t.Helper()
	for doc := range strings.SplitSeq(text, "\n---\n") {
		o, err := parse([]byte(doc))
		if err != nil {
			t.Fatalf("%v:\n%s", err, doc)
		}
		m := o["metadata"].(map[string]any)
		if a, ok := m["annotations"].(map[string]any); ok && len(a) == 0 {
			delete(m, "annotations")
		}
		out = append(out, o)
	}
	return out
}

// desired is what a stop desires.
func desired(t testing.TB, stop string, manifests string) reconciler.Desired {
	t.Helper()
	p, err := plan.ParsePosition(stop)
	if err != nil {
		t.Fatal(err)
	}
	return reconciler.Desired{
		Mark:    reconciler.Mark{Key: shop, Stop: p, Since: epoch, Revision: "0123456789012345678901234567890123456789"},
		Objects: objects(t, manifests), Prune: true, MaxPrune: 20,
	}
}

// bench is a Dir with its store, and how to look into it.
type bench struct {
	testing.TB
	*Dir
	files func() map[string]string // of the shop's folder
	put   func(name, content string)
	del   func(name string)
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// inFolder has a Dir on a folder.
func inFolder(t testing.TB, o Options) *bench {
	t.Helper()
	if o.Folder == "" {
		o.Folder = t.TempDir()
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(o.Folder, shop.Namespace, shop.Name)
	b := &bench{TB: t, Dir: c}
	b.files = func() map[string]string { return filesIn(t, root) }
	b.put = func(name, content string) {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.del = func(name string) { b.must(os.Remove(filepath.Join(root, name))) }
	return b
}

func filesIn(t testing.TB, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(root)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(root, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

// onBranch has a Dir on a branch of a real repository.
func onBranch(t testing.TB, o Options) *bench {
	t.Helper()
	dir := t.TempDir()
	work, bare := filepath.Join(dir, "work"), filepath.Join(dir, "host.git")
	run := func(in string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = in
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@b")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run(dir, "init", "-q", "--bare", "-b", "main", bare)
	run(dir, "clone", "-q", bare, work)
	run(work, "commit", "-q", "--allow-empty", "-m", "first")
	run(work, "push", "-q", "origin", "HEAD:main")
	now := epoch
	r, err := git.Open(context.Background(), git.Options{URL: bare, Dir: filepath.Join(dir, "store"), Now: func() time.Time {
		now = now.Add(time.Minute) // so that what is known of a branch is always old
		return now
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	o.Branch, o.Publisher = "rendered", r
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	checkout := func() string {
		if run(bare, "for-each-ref", "refs/heads/rendered") == "" {
			return filepath.Join(work, "nothing")
		}
		run(work, "fetch", "-q", "origin")
		run(work, "checkout", "-q", "-B", "rendered", "origin/rendered")
		return filepath.Join(work, shop.Namespace, shop.Name)
	}
	push := func() {
		run(work, "add", "-A")
		run(work, "commit", "-q", "-m", "by hand")
		run(work, "push", "-q", "origin", "rendered")
	}
	b := &bench{TB: t, Dir: c}
	b.files = func() map[string]string { return filesIn(t, checkout()) }
	b.put = func(name, content string) {
		b.must(os.WriteFile(filepath.Join(checkout(), name), []byte(content), 0o644))
		push()
	}
	b.del = func(name string) { b.must(os.Remove(filepath.Join(checkout(), name))); push() }
	return b
}

// text is one file of a plan's folder.
func (b *bench) text(d reconciler.Desired, name string) string {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(b.o.Folder, d.Mark.Key.String(), name))
	b.must(err)
	return string(text)
}

// inBoth runs a test with either store.
func inBoth(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Run("folder", func(t *testing.T) { test(t, inFolder(t, Options{})) })
	t.Run("branch", func(t *testing.T) { test(t, onBranch(t, Options{})) })
}

// built is what kustomize makes of the folder, in its order.
func (b *bench) built() []render.Object {
	b.Helper()
	disk := filesys.MakeFsInMemory()
	for name, text := range b.files() {
		b.must(disk.WriteFile("/x/"+name, []byte(text)))
	}
	res, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, "/x")
	if err != nil {
		b.Fatalf("kustomize build: %v\n%v", err, b.files())
	}
	var out []render.Object
	for _, r := range res.Resources() {
		text, err := r.AsYAML()
		b.must(err)
		o, err := parse(text)
		b.must(err)
		out = append(out, o)
	}
	return out
}

// names of what kustomize builds, with replicas, in their order.
func (b *bench) list() string {
	b.Helper()
	var out []string
	for _, o := range b.built() {
		s := o.Kind() + "/" + o.ID().Name
		if spec, ok := o["spec"].(map[string]any); ok && spec["replicas"] != nil {
			n, _ := replicas(o)
			s += "=" + string(rune('0'+n))
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func (b *bench) wantList(want string) {
	b.Helper()
	if got := b.list(); got != want {
		b.Errorf("the folder has\n%s\nwant\n%s", got, want)
	}
}

func (b *bench) observe(d reconciler.Desired) reconciler.ClusterState {
	b.Helper()
	st, err := b.Observe(b.Context(), d)
	b.must(err)
	return st
}
