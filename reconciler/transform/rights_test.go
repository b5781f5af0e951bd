package transform

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	rbac "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// TestTheRolesOfTheExampleAreWhatItNeeds transforms and takes back with the rights of
// examples/nephoran/roles.yaml, and with one less each time.
func TestTheRolesOfTheExampleAreWhatItNeeds(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../examples/nephoran/roles.yaml")
	must(t, err)
	var role rbac.ClusterRole
	first, _, _ := strings.Cut(string(b), "\n---\n")
	must(t, yaml.UnmarshalStrict([]byte(first), &role))
	if missing := withRights(t, role.Rules); missing != "" {
		t.Errorf("the rights are not enough: %s", missing)
	}
	for i, rule := range role.Rules {
		for _, verb := range rule.Verbs {
			t.Run(rule.Resources[0]+" "+verb, func(t *testing.T) {
				t.Parallel()
				fewer := slices.Clone(role.Rules)
				fewer[i].Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(v string) bool { return v == verb })
				missing := withRights(t, fewer)
				// Sources are read one by one only where one has failed.
				if got := missing != ""; got != (i != 0 || verb != "get") {
					t.Errorf("without it: %q", missing)
				}
			})
		}
	}
}

// withRights transforms and takes back with rights, and returns what it said was
// missing.
func withRights(t *testing.T, rules []rbac.PolicyRule) string {
	t.Helper()
	k := install(t)
	ns := k.Namespace(t)
	must(t, plantOne(k, ns, 8))
	must(t, plantOne(k, ns, 0))
	account := k.Account(t, ns, "changeover")
	text, err := yaml.Marshal(rules)
	must(t, err)
	k.Apply(t, ns, fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: transform}
rules:
%s
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: transform}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: transform}
subjects: [{kind: ServiceAccount, name: changeover, namespace: %s}]
`, text, ns))
	kubetest.WaitFor(t, "the binding is in effect", func() bool {
		out, err := k.RunKubectl("", "auth", "can-i", "list", "gitopsdeployments.nephoran.com", "-n", ns, "--as", account.User)
		out2, _ := k.RunKubectl("", "auth", "can-i", "create", "gitopsdeployments.nephoran.com", "-n", ns, "--as", account.User)
		return err == nil && strings.Contains(out, "yes") || strings.Contains(out2, "yes")
	})
	p, err := example(ns)
	must(t, err)
	r, err := runner(account.Kubeconfig, t.TempDir())
	must(t, err)
	x := task(p)
	back := reconciler.Task{Version: x.Version, From: x.Stop, Stop: x.From, Back: true}
	for _, ask := range []func() (reconciler.Progress, error){
		func() (reconciler.Progress, error) { return r.Ensure(t.Context(), x) },
		func() (reconciler.Progress, error) { return r.Undo(t.Context(), back) },
	} {
		last := until(t, "it is done, or tells what is missing", ask, func(p reconciler.Progress) bool {
			return p.Done || strings.Contains(p.Message, "permission is missing")
		})
		if !last.Done {
			r.Pause(p.Key())
			return last.Message
		}
	}
	return ""
}
