package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	rbac "k8s.io/api/rbac/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/backup"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/reconciler/sidelabel"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// dataRoles are the roles of components/data as a team's folder takes them, by name.
func dataRoles(t *testing.T) map[string]rbac.Role {
	t.Helper()
	dir := filepath.Join(shipped(t), "namespace")
	file := filepath.Join(dir, "kustomization.yaml")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	with := strings.Replace(string(b), "# components: [../components/data]", "components: [../components/data]", 1)
	if with == string(b) {
		t.Fatal("namespace/kustomization.yaml does not offer components/data any more")
	}
	if err := os.WriteFile(file, []byte(with), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	roles := map[string]rbac.Role{}
	for _, r := range of[rbac.Role](t, m, "Role") {
		roles[r.Name] = r
	}
	for _, b := range of[rbac.RoleBinding](t, m, "RoleBinding") {
		r, ok := roles[b.RoleRef.Name]
		if ours := []string{"changeover-backup", "changeover-transforms", "changeover-labels"}; !slices.Contains(ours, b.Name) {
			continue
		}
		if s := b.Subjects[0]; !ok || r.Namespace != "migration-demo" || b.Namespace != r.Namespace || s.Namespace != r.Namespace || s.Name != "migration" {
			t.Errorf("binding %s/%s gives role %s/%s to %v", b.Namespace, b.Name, r.Namespace, r.Name, s)
		}
	}
	return roles
}

// TestTheDataRolesAreThoseThatAreTested compares them with the roles of the example,
// under which transforms and labels are tested right by right.
func TestTheDataRolesAreThoseThatAreTested(t *testing.T) {
	roles := dataRoles(t)
	for name, file := range map[string]string{"changeover-transforms": "roles.yaml", "changeover-labels": "owners-role.yaml"} {
		b, err := os.ReadFile(filepath.Join(root, "examples/nephoran", file))
		if err != nil {
			t.Fatal(err)
		}
		var tested rbac.ClusterRole // a Role has nothing else
		first, _, _ := strings.Cut(string(b), "\n---\n")
		if err := yaml.UnmarshalStrict([]byte(first), &tested); err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(roles[name].Rules), fmt.Sprint(tested.Rules); got != want {
			t.Errorf("%s has %s, and examples/nephoran/%s %s", name, got, file, want)
		}
	}
	for _, name := range []string{"changeover-backup", "changeover-transforms", "changeover-labels"} {
		for _, rule := range roles[name].Rules {
			if strings.Contains(fmt.Sprint(rule), "*") {
				t.Errorf("role %s has a star: %v", name, rule)
			}
		}
	}
}

// TestTheRolesForDataAreEnoughAndEachRightIsMissed backs objects up and restores
// them, and labels them, with the rights of the component, and with one less each
// time.
func TestTheRolesForDataAreEnoughAndEachRightIsMissed(t *testing.T) {
	k := kubetest.Shared(t)
	b, err := os.ReadFile(filepath.Join(root, "examples/nephoran/overlays/definitions/definitions.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	k.Apply(t, "", string(b))
	roles := dataRoles(t)
	for name, work := range map[string]func(*testing.T, *kubetest.Kube, string, *kubetest.Account) string{
		"changeover-backup": backsUp, "changeover-labels": labelsThem,
	} {
		rules := roles[name].Rules
		if missing := withRights(t, k, rules, work); missing != "" {
			t.Errorf("the rights of %s are not enough: %s", name, missing)
		}
		for i, rule := range rules {
			for _, verb := range rule.Verbs {
				t.Run(name+" "+verb+" "+rule.Resources[0], func(t *testing.T) {
					fewer := slices.Clone(rules)
					fewer[i].Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(v string) bool { return v == verb })
					fewer = slices.DeleteFunc(fewer, func(r rbac.PolicyRule) bool { return len(r.Verbs) == 0 })
					said := withRights(t, k, fewer, work)
					if !strings.Contains(said, "permission is missing") && !strings.Contains(said, "forbidden") {
						t.Errorf("without it is said: %q", said)
					}
				})
			}
		}
	}
}

// withRights has an account of a new namespace do some work, and returns what it said
// was wrong; "": nothing.
func withRights(t *testing.T, k *kubetest.Kube, rules []rbac.PolicyRule, work func(*testing.T, *kubetest.Kube, string, *kubetest.Account) string) string {
	t.Helper()
	ns := k.Namespace(t)
	for i := range 3 {
		k.Apply(t, ns, fmt.Sprintf("{apiVersion: nephoran.com/v1, kind: NetworkIntent, metadata: {name: i%d}, spec: {intent: a}}", i))
	}
	account := k.Account(t, ns, "migration")
	text, err := yaml.Marshal(rules)
	if err != nil {
		t.Fatal(err)
	}
	k.Apply(t, ns, fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: data}
rules:
%s
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: data}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: data}
subjects: [{kind: ServiceAccount, name: migration, namespace: %s}]
`, text, ns))
	probe := "list"
	if !slices.Contains(rules[0].Verbs, probe) {
		probe = rules[0].Verbs[0]
	}
	kubetest.WaitFor(t, "the binding is in effect", func() bool {
		out, err := k.RunKubectl("", "auth", "can-i", probe, "networkintents.nephoran.com", "-n", ns, "--as", account.User)
		return err == nil && strings.Contains(out, "yes")
	})
	return work(t, k, ns, account)
}

func clientOf(t *testing.T, a *kubetest.Account) *client.Client {
	t.Helper()
	cfg, err := client.Load(a.Kubeconfig, "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Options{Config: cfg, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// backsUp saves three objects; then one is gone, one has grown, and one has another
// status, and all are brought back as they were.
func backsUp(t *testing.T, k *kubetest.Kube, ns string, a *kubetest.Account) string {
	t.Helper()
	c := clientOf(t, a)
	store, err := backup.Open(t.Context(), "file://"+filepath.ToSlash(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	m, err := backup.Create(t.Context(), backup.Creation{
		Client: c, Store: store, Plan: plan.Key{Namespace: ns, Name: "intents"}, Phase: "converted", Now: time.Now,
		Backup: plan.Backup{Include: []plan.BackupKind{{APIVersion: "nephoran.com/v1", Kind: "NetworkIntent", Namespace: ns}}},
	})
	if err != nil {
		return err.Error()
	}
	k.Delete(t, "NetworkIntent.nephoran.com", ns, "i0")
	k.Apply(t, ns, "{apiVersion: nephoran.com/v1, kind: NetworkIntent, metadata: {name: i1}, spec: {intent: a, more: true}}")
	k.Kubectl(t, "-n", ns, "patch", "networkintents.nephoran.com", "i2", "--subresource=status", "--type=merge", "-p", `{"status": {"phase": "Completed"}}`)
	report, err := backup.Restore(t.Context(), backup.Restoration{Client: c, Store: store, Manifest: m, Force: true})
	if err != nil {
		return err.Error()
	}
	if !report.OK() {
		return report.Summary()
	}
	return ""
}

// labelsThem gives three objects their label.
func labelsThem(t *testing.T, _ *kubetest.Kube, ns string, a *kubetest.Account) string {
	t.Helper()
	doc, problems := plan.Decode("plan.yaml", []byte(fmt.Sprintf(`
apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: owners, namespace: %[1]s}
spec:
  position: {phase: monolith}
  entities:
    source: {kubernetes: {apiVersion: nephoran.com/v1, kind: NetworkIntent, namespace: %[1]s}}
    owner: label
    order: object.metadata.name
  phases: [{name: monolith}, {name: gradual, percents: [50, 100]}]
`, ns)))
	if plan.HasErrors(problems) {
		t.Fatal(problems[0].Render())
	}
	r, err := sidelabel.New(sidelabel.Options{Client: clientOf(t, a)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = r.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	task := reconciler.Task{Version: plan.Version{Plan: doc.Plan}, Stop: plan.Position{Phase: "monolith"}, Since: time.Now()}
	said := ""
	kubetest.WaitFor(t, "it is done, or tells what is missing", func() bool {
		now, err := r.Ensure(ctx, task)
		if err != nil {
			said = err.Error()
		} else {
			said = now.Message
		}
		return err == nil && now.Done && now.Total == 3 || strings.Contains(said, "permission is missing") || strings.Contains(said, "forbidden")
	})
	if now, err := r.Ensure(ctx, task); err == nil && now.Done {
		return ""
	}
	return said
}
