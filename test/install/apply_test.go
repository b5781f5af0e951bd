package install

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/test/kubetest"
)

const (
	system        = "changeover-system"
	daemonAccount = "system:serviceaccount:changeover-system:changeover"
)

// apply applies a folder as the README says, and finds fault with warnings too.
func apply(t *testing.T, k *kubetest.Kube, dir string, args ...string) {
	t.Helper()
	args = append([]string{"apply", "-k", dir, "--validate=strict", "--warnings-as-errors"}, args...)
	if out, err := k.RunKubectl("", args...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// live are the objects of a folder as they stand on the API server.
func live(t *testing.T, k *kubetest.Kube, dir string) map[string]*unstructured.Unstructured {
	t.Helper()
	var list struct{ Items []map[string]any }
	out := k.Kubectl(t, "get", "-k", dir, "-o", "yaml", "--show-managed-fields")
	if err := yaml.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	all := map[string]*unstructured.Unstructured{}
	for _, item := range list.Items {
		o := &unstructured.Unstructured{Object: item}
		all[o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName()] = o
	}
	return all
}

// available waits until the Deployment's pods run; kwok says that they do once
// the API server's admission has let them in.
func available(t *testing.T, k *kubetest.Kube, pods int64) {
	t.Helper()
	kubetest.WaitFor(t, "the Deployment is available", func() bool {
		d := k.Get(t, "Deployment.apps", system, "changeover")
		n, _, _ := unstructured.NestedInt64(d.Object, "status", "availableReplicas")
		updated, _, _ := unstructured.NestedInt64(d.Object, "status", "updatedReplicas")
		seen, _, _ := unstructured.NestedInt64(d.Object, "status", "observedGeneration")
		all, _, _ := unstructured.NestedInt64(d.Object, "status", "replicas")
		return n == pods && updated == pods && all == pods && seen == d.GetGeneration() && kubetest.Condition(d, "Available") == "True"
	})
}

// installed has site applied, whatever an earlier test has changed.
func installed(t *testing.T, k *kubetest.Kube) string {
	t.Helper()
	dir := filepath.Join(shipped(t), "site")
	apply(t, k, dir, "--server-side", "--force-conflicts")
	return dir
}

func TestItAppliesCleanlyAndTwice(t *testing.T) {
	k := kubetest.Shared(t)
	for _, c := range []struct {
		folder string
		how    []string
	}{{"site", []string{"--server-side"}}, {"base", nil}} {
		t.Run(c.folder+" "+strings.Join(c.how, " "), func(t *testing.T) {
			dir := shipped(t)
			// The namespace comes first, for the Secret.
			k.Kubectl(t, append([]string{"apply", "-f", filepath.Join(dir, "base/namespace.yaml")}, c.how...)...)
			dir = filepath.Join(dir, c.folder)
			apply(t, k, dir, c.how...)
			available(t, k, 2)
			before := live(t, k, dir)
			if len(before) < 14 {
				t.Errorf("found %d objects: %v", len(before), slices.Sorted(maps.Keys(before)))
			}
			apply(t, k, dir, c.how...)
			for id, o := range live(t, k, dir) {
				if was := before[id]; was == nil || was.GetResourceVersion() != o.GetResourceVersion() {
					t.Errorf("%s was changed by the second time", id)
				}
			}
		})
	}
}

func TestThePodIsTheOneThatWasDeclared(t *testing.T) {
	k := kubetest.Shared(t)
	installed(t, k)
	available(t, k, 2)
	pods := k.Kubectl(t, "get", "pods", "-n", system, "-l", "app.kubernetes.io/name=changeover",
		"-o", `jsonpath={range .items[*]}{.spec.serviceAccountName} {.spec.containers[*].image} {.spec.volumes[?(@.name=="git")].secret.secretName}{"\n"}{end}`)
	for _, pod := range strings.Split(strings.TrimSpace(pods), "\n") {
		if pod != "changeover registry.example.com/changeover:v0.1.0 changeover-git" {
			t.Errorf("got a pod with %q", pod)
		}
	}
}

func TestABridgeComesIntoTheOnePod(t *testing.T) {
	k := kubetest.Shared(t)
	dir := combined(t, shipped(t), "bridge", "gateway-api")
	apply(t, k, dir, "--server-side", "--force-conflicts")
	available(t, k, 1)
	names := k.Kubectl(t, "get", "pods", "-n", system, "-l", "app.kubernetes.io/name=changeover", "-o", "jsonpath={.items[*].spec.containers[*].name}")
	if names != "changeover bridge" {
		t.Errorf("got containers %q", names)
	}
	k.Kubectl(t, "delete", "service/changeover-bridge", "networkpolicy/changeover-bridge", "-n", system)
	installed(t, k)
	available(t, k, 2)
}

func TestBridgesComeIntoPodsOfTheirOwn(t *testing.T) {
	k := kubetest.Shared(t)
	dir := combined(t, shipped(t), "bridge-replicas", "gateway-api")
	apply(t, k, dir, "--server-side", "--force-conflicts")
	available(t, k, 2)
	k.Kubectl(t, "rollout", "status", "deployment/changeover-bridge", "-n", system, "--timeout=120s")
	pods := k.Kubectl(t, "get", "pods", "-n", system, "-l", "app.kubernetes.io/name=changeover-bridge", "-o", "jsonpath={.items[*].spec.serviceAccountName}")
	if pods != strings.TrimSpace(strings.Repeat("changeover-bridge ", 2)) {
		t.Errorf("got pods of %q", pods)
	}
	k.Kubectl(t, "delete", "deployment/changeover-bridge", "service/changeover-bridge", "pdb/changeover-bridge",
		"networkpolicy/changeover-bridge", "networkpolicy/changeover-to-bridge", "-n", system)
	installed(t, k)
	available(t, k, 2)
}

// ofTeam puts a namespace, and an API group, in the place of the example's.
func ofTeam(namespace string) *strings.Replacer {
	return strings.NewReplacer("migration-demo", namespace, "ledger.example.com", namespace+".example.com")
}

// team copies the folder namespace for one, as the README says, and applies it.
func team(t *testing.T, k *kubetest.Kube, namespace string) string {
	t.Helper()
	dir := filepath.Join(shipped(t), "namespace")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		b, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(name, []byte(ofTeam(namespace).Replace(string(b))), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	apply(t, k, dir, "--server-side")
	t.Cleanup(func() {
		if out, err := k.RunKubectl("", "delete", "-k", dir, "--ignore-not-found", "--wait=false"); err != nil {
			t.Logf("%v\n%s", err, out)
		}
	})
	return dir
}

// may is what `kubectl auth can-i --list` prints for a user in a namespace: a
// line for each rule.
func may(t *testing.T, k *kubetest.Kube, user, namespace string) map[string]bool {
	t.Helper()
	rows := map[string]bool{}
	for _, line := range strings.Split(k.Kubectl(t, "auth", "can-i", "--list", "--no-headers", "--as="+user, "--namespace="+namespace), "\n") {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			rows[line] = true
		}
	}
	return rows
}

func TestTheAccountsHaveNoStar(t *testing.T) {
	k := kubetest.Shared(t)
	installed(t, k)
	ns := k.Namespace(t)
	team(t, k, ns)
	everybody := may(t, k, "system:serviceaccount:"+ns+":nobody", ns)
	for user, least := range map[string]int{daemonAccount: 6, "system:serviceaccount:" + ns + ":migration": 8} {
		for _, where := range []string{ns, system, "default"} {
			got := 0
			for row := range may(t, k, user, where) {
				if everybody[row] {
					continue
				}
				got++
				if strings.Contains(row, "*") {
					t.Errorf("%s may, in namespace %s: %s", user, where, row)
				}
			}
			t.Logf("%s has %d rows of its own in namespace %s", user, got, where)
			if where == ns && got < least {
				t.Errorf("%s has %d rows, want at least %d: does this test still read them?", user, got, least)
			}
		}
	}
}

// TestRightsEndAtTheNamespace asks for what an account must not have.
func TestRightsEndAtTheNamespace(t *testing.T) {
	k := kubetest.Shared(t)
	installed(t, k)
	ns, other := k.Namespace(t), k.Namespace(t)
	team(t, k, ns)
	migration := "system:serviceaccount:" + ns + ":migration"
	for _, c := range []struct {
		user, verb, what, namespace string
		want                        bool
	}{
		{daemonAccount, "create", "configmaps", ns, true},
		{daemonAccount, "create", "configmaps", other, false},
		{daemonAccount, "patch", "migrationplans.changeover.dev", other, false},
		{daemonAccount, "list", "migrationplans.changeover.dev", other, true},
		{daemonAccount, "get", "secrets", ns, false},
		{daemonAccount, "get", "secrets/changeover-git", system, false},
		{daemonAccount, "patch", "deployments.apps", ns, false},
		{daemonAccount, "patch", "deployments.apps", system, false},
		{daemonAccount, "patch", "httproutes.gateway.networking.k8s.io", ns, false},
		{daemonAccount, "impersonate", "serviceaccounts/migration", ns, true},
		{daemonAccount, "impersonate", "serviceaccounts/default", ns, false},
		{daemonAccount, "impersonate", "serviceaccounts/migration", other, false},
		{daemonAccount, "impersonate", "users", "", false},
		{daemonAccount, "impersonate", "groups", "", false},
		{daemonAccount, "update", "leases.coordination.k8s.io/changeover", system, true},
		{daemonAccount, "update", "leases.coordination.k8s.io/other", system, false},
		{daemonAccount, "create", "leases.coordination.k8s.io", "kube-system", false},
		{migration, "patch", "deployments.apps", ns, true},
		{migration, "patch", "deployments.apps", other, false},
		{migration, "patch", "httproutes.gateway.networking.k8s.io", ns, true},
		{migration, "get", "secrets", ns, false},
		{migration, "create", "rolebindings.rbac.authorization.k8s.io", ns, false},
		{migration, "patch", "customresourcedefinitions.apiextensions.k8s.io/ledgers." + ns + ".example.com", "", true},
		{migration, "patch", "customresourcedefinitions.apiextensions.k8s.io/migrationplans.changeover.dev", "", false},
		{migration, "patch", "migrationplans.changeover.dev/orders", ns, false},
	} {
		out, err := k.RunKubectl("", "auth", "can-i", c.verb, c.what, "--as="+c.user, "--namespace="+c.namespace, "--quiet")
		if may := err == nil; may != c.want {
			t.Errorf("%s: %s %s in namespace %q: got %t, want %t %s", c.user, c.verb, c.what, c.namespace, may, c.want, out)
		}
	}
}

// TestUninstallingLeavesWhatWasMigrated follows the README, and installs again.
func TestUninstallingLeavesWhatWasMigrated(t *testing.T) {
	k := kubetest.Shared(t)
	dir := installed(t, k)
	ns := k.Namespace(t)
	team(t, k, ns)
	k.Apply(t, ns, fmt.Sprintf(`
{apiVersion: v1, kind: ConfigMap, metadata: {name: changeover-inventory-shop}, data: {objects: "{}"}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: shop}, spec: {hostnames: [%s.example.com]}}`, ns))
	k.Kubectl(t, "delete", "-k", dir)
	for _, kind := range []string{"Namespace", "ClusterRole.rbac.authorization.k8s.io"} {
		name := map[string]string{"Namespace": system}[kind]
		if name == "" {
			name = "changeover"
		}
		if k.Lookup(t, kind, "", name) != nil {
			t.Errorf("%s %s is still there", kind, name)
		}
	}
	for kind, name := range map[string]string{
		"ConfigMap": "changeover-inventory-shop", "HTTPRoute.gateway.networking.k8s.io": "shop",
		"ServiceAccount": "migration", "RoleBinding.rbac.authorization.k8s.io": "changeover",
	} {
		k.Get(t, kind, ns, name)
	}
	installed(t, k)
	available(t, k, 2)
}
