package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/api"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// TestTwoBranchesShareACluster: one daemon works the plans of two branches in two
// namespaces of a cluster. Each plan follows its own branch, each MigrationPlan
// names it, and what others change is put right on both.
func TestTwoBranchesShareACluster(t *testing.T) {
	k := kubetest.Shared(t)
	main := newRigOf(t, k, "kubernetes", "sources:\n- {name: main, repo: REPO}\n- {name: release, repo: REPO, branch: release}\n", nil)
	main.withGateway()
	release := &rig{t: t, k: k, namespace: k.Namespace(t), Stack: main.Stack}
	release.withGateway()
	release.branchOff(main.namespace)
	main.StartDaemon()
	main.awaitAt("setup")
	stockAt := func(stop string) {
		t.Helper()
		main.AwaitPlan("stock", "steady at "+stop, patience, func(s reconciler.Status) bool {
			return s.State == reconciler.StateSteady && s.Effective.String() == stop && s.Declared == s.Effective && s.Source == "release"
		})
	}
	stockAt("setup")

	release.declareStock("shadow")
	stockAt("shadow")
	if st := main.awaitAt("setup"); st.Source != "main" {
		t.Errorf("the other plan is of source %q", st.Source)
	}
	for r, want := range map[*rig]struct{ name, branch string }{main: {"orders", " branch main path ."}, release: {"stock", " branch release path ."}} {
		o := k.Get(t, mplan, r.namespace, want.name)
		if got := o.GetAnnotations()[api.SourceAnnotation]; !strings.HasSuffix(got, want.branch) {
			t.Errorf("%s is kept by %q, want by%s", want.name, got, want.branch)
		}
		uid := k.Get(t, "Deployment.apps", r.namespace, "legacy").GetUID()
		k.Delete(t, "Deployment.apps", r.namespace, "legacy")
		kubetest.WaitFor(t, "the Deployment of "+want.name+" is there again", func() bool {
			d := k.Lookup(t, "Deployment.apps", r.namespace, "legacy")
			return d != nil && d.GetUID() != uid
		})
	}
	main.StopDaemon()
	main.StartDaemon()
	main.awaitAt("setup")
	stockAt("shadow")
	if log := main.DaemonLog(); strings.Contains(log, "level=ERROR") {
		t.Errorf("the daemon logs errors:\n%s", log)
	}
}

// branchOff makes the branch release, with the plan of main under another name in
// this rig's namespace.
func (r *rig) branchOff(from string) {
	r.t.Helper()
	r.Git("checkout", "-q", "-b", "release")
	err := filepath.WalkDir(r.Clone, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, string(filepath.Separator)+".git"+string(filepath.Separator)) {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := strings.NewReplacer(from, r.namespace, "metadata: {name: orders, namespace", "metadata: {name: stock, namespace").Replace(string(b))
		return os.WriteFile(path, []byte(text), 0o600)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Git("commit", "-q", "-am", "release: the plan of the stock")
	r.Git("push", "-q", "origin", "release")
}

// declareStock raises the plan on the branch release.
func (r *rig) declareStock(stop string) {
	r.t.Helper()
	pos, err := plan.ParsePosition(stop)
	if err != nil {
		r.t.Fatal(err)
	}
	b, err := plan.SetPosition([]byte(r.Read("orders.yaml")), pos)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Write("orders.yaml", string(b))
	r.Git("commit", "-q", "-am", "stock: "+stop)
	r.Git("push", "-q", "origin", "release")
}
