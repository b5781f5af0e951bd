package kube

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/kustomize"
	"github.com/changeover-dev/changeover/schemas"
	"github.com/changeover-dev/changeover/test/kubetest"
	"github.com/changeover-dev/changeover/test/load"
	"github.com/changeover-dev/changeover/test/stack"
)

// patience is how long a story waits for what must come: the machine may be
// busy.
const patience = 60 * time.Second

var (
	migrationPlans = schema.GroupVersionResource{Group: "changeover.dev", Version: "v1alpha1", Resource: "migrationplans"}
	listAll        = metav1.ListOptions{}
)

// rig is a stack whose plan lives in a namespace of the package's cluster.
type rig struct {
	*stack.Stack
	t         *testing.T
	k         *kubetest.Kube
	namespace string
}

// files reads an example, with words replaced.
func files(t *testing.T, dir string, words ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	root := os.DirFS(filepath.Join("../../examples", dir))
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(root, path)
		out[path] = strings.NewReplacer(words...).Replace(string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// newRig starts a stack over an example, whose plan is orders.yaml. Namespace
// and API group become the test's own, and edit may change more.
func newRig(t *testing.T, k *kubetest.Kube, dir string, edit func(map[string]string), args ...string) *rig {
	t.Helper()
	return newRigOf(t, k, dir, "", edit, args...)
}

// newRigOf is newRig for a daemon with several sources, or with one where the
// text is empty.
func newRigOf(t *testing.T, k *kubetest.Kube, dir, sources string, edit func(map[string]string), args ...string) *rig {
	t.Helper()
	k.Apply(t, "", string(schemas.Definition))
	ns := k.Namespace(t)
	all := files(t, dir, "migration-demo", ns, "ledger.example.com", ns+".example.com")
	if edit != nil {
		edit(all)
	}
	text := all["orders.yaml"]
	delete(all, "orders.yaml")
	args = append([]string{"--kubeconfig", k.Kubeconfig, "--drift-interval", "5s"}, args...)
	return &rig{
		t: t, k: k, namespace: ns,
		Stack: stack.Start(t, stack.Options{Bin: bin, Plan: text, Files: all, Args: args, Sources: sources}),
	}
}

// awaitAt waits until the plan is at a stop, traffic and cluster, and nothing
// is under way.
func (r *rig) awaitAt(stop string) reconciler.Status {
	r.t.Helper()
	return r.Await("steady at "+stop, patience, func(s reconciler.Status) bool {
		settled := s.State == reconciler.StateSteady || s.State == reconciler.StateComplete
		return settled && s.Effective.String() == stop && s.Declared == s.Effective && s.Move == nil && s.Error == "" &&
			s.Observed.Cluster.Known && !s.Observed.Cluster.Ill()
	})
}

// rendered is what the plan at the branch's head wants at a stop.
func (r *rig) rendered(stop plan.Position, rev plan.Revision) []render.Object {
	r.t.Helper()
	r.Pull()
	src, err := os.ReadFile(filepath.Join(r.Clone, "orders.yaml"))
	if err != nil {
		r.t.Fatal(err)
	}
	doc, problems := plan.Decode("orders.yaml", src)
	if plan.HasErrors(problems) {
		r.t.Fatal(problems)
	}
	objects, err := kustomize.Build(os.DirFS(r.Clone), doc.Plan, "orders.yaml", stop, rev)
	if err != nil {
		r.t.Fatal(err)
	}
	return objects
}

// awaitEqual waits until the live objects equal the render of a stop: a server-
// side dry run would change nothing.
func (r *rig) awaitEqual(stop string) {
	r.t.Helper()
	pos, err := plan.ParsePosition(stop)
	if err != nil {
		r.t.Fatal(err)
	}
	diff := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		st := r.awaitAt(stop)
		if diff = r.k.DryRunDiff(r.t, r.rendered(pos, st.Applied)); diff == "" {
			return
		}
	}
	r.t.Fatalf("at %s the live objects are not as rendered:\n%s", stop, diff)
}

// travel declares each stop by a commit, and waits until the plan is there.
func (r *rig) travel(stops ...string) (commits []plan.Revision) {
	r.t.Helper()
	for _, stop := range stops {
		commits = append(commits, r.Declare(stop))
		r.awaitAt(stop)
	}
	return commits
}

// gone waits until an object is not there any more.
func (r *rig) gone(kind, name string) {
	r.t.Helper()
	kubetest.WaitFor(r.t, kind+" "+name+" is gone", func() bool { return r.k.Lookup(r.t, kind, r.namespace, name) == nil })
}

// load sends requests through the gateway until the test ends, so that the
// signals have data. Broken answers are no failure.
func (r *rig) load(url string) *load.Load {
	r.t.Helper()
	l := load.Start(r.t.Context(), load.Options{
		Addr: strings.TrimPrefix(url, "http://"), Path: "/orders", Header: "X-User", Callers: 50, Rate: 60, Unmarked: true,
		Allow: func(status int) bool { return status == 200 || status == 500 },
	})
	r.t.Cleanup(func() { l.Stop() })
	return l
}
