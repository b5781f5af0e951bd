package install

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// variants are the folders that people apply, and combinations of components.
var variants = []string{"base", "site", "namespace", "bridge", "bridge-replicas", "git-ssh", "signed-commits", "bridge git-ssh gateway-api signed-commits"}

// render builds a folder of examples/install, or the base with components.
func render(t *testing.T, variant string) resmap.ResMap {
	t.Helper()
	dir := shipped(t)
	path := filepath.Join(dir, variant)
	if !slices.Contains([]string{"base", "site", "namespace"}, variant) {
		path = combined(t, dir, strings.Fields(variant)...)
	}
	m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), path)
	if err != nil {
		t.Fatalf("build %s: %v", variant, err)
	}
	return m
}

// combined is a folder like site with these components.
func combined(t *testing.T, dir string, components ...string) string {
	t.Helper()
	text := "namespace: changeover-system\nresources: [../base]\ncomponents: [../components/" + strings.Join(components, ", ../components/") + "]\n"
	path := filepath.Join(dir, "combined")
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// of are the objects of a kind.
func of[T any](t *testing.T, m resmap.ResMap, kind string) (list []T) {
	t.Helper()
	for _, r := range m.Resources() {
		if r.GetKind() != kind {
			continue
		}
		var o T
		if err := yaml.UnmarshalStrict([]byte(r.MustYaml()), &o); err != nil {
			t.Fatalf("read %s %s: %v", kind, r.GetName(), err)
		}
		list = append(list, o)
	}
	return list
}

func selects(t *testing.T, s *metav1.LabelSelector, of map[string]string) bool {
	t.Helper()
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return sel.Matches(labels.Set(of))
}

func TestTheShippedDefinitionIsTheGeneratedOne(t *testing.T) {
	want, err := os.ReadFile(filepath.Join(root, "schemas/changeover.dev_migrationplans.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, "examples/install/base/crd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("examples/install/base/crd.yaml is not schemas/changeover.dev_migrationplans.yaml: copy it there again")
	}
}

// rules are all of a render's, by the name of their role.
func rules(t *testing.T, m resmap.ResMap) map[string][]rbac.PolicyRule {
	t.Helper()
	all := map[string][]rbac.PolicyRule{}
	for _, r := range of[rbac.ClusterRole](t, m, "ClusterRole") {
		all[r.Name] = r.Rules
	}
	for _, r := range of[rbac.Role](t, m, "Role") {
		all[r.Name] = r.Rules
	}
	return all
}

func TestNoRoleHasAStar(t *testing.T) {
	for _, v := range variants {
		all := rules(t, render(t, v))
		if len(all) == 0 {
			t.Errorf("%s has no roles: does this test still read them?", v)
		}
		for name, list := range all {
			for _, rule := range list {
				for _, part := range slices.Concat(rule.Verbs, rule.APIGroups, rule.Resources, rule.ResourceNames, rule.NonResourceURLs) {
					if strings.Contains(part, "*") {
						t.Errorf("%s: role %s has %q in %v", v, name, part, rule)
					}
				}
			}
		}
	}
}

// TestBindingsNameWhatIsThere finds a binding that gives nothing, or to nobody.
func TestBindingsNameWhatIsThere(t *testing.T) {
	have := map[string]bool{}
	type binding struct {
		name string
		role rbac.RoleRef
		to   []rbac.Subject
	}
	var all []binding
	for _, v := range []string{"site", "namespace", "bridge-replicas"} {
		m := render(t, v)
		for name := range rules(t, m) {
			have[name] = true
		}
		for _, a := range of[core.ServiceAccount](t, m, "ServiceAccount") {
			have[a.Namespace+"/"+a.Name] = true
		}
		for _, b := range of[rbac.RoleBinding](t, m, "RoleBinding") {
			all = append(all, binding{b.Name, b.RoleRef, b.Subjects})
		}
		for _, b := range of[rbac.ClusterRoleBinding](t, m, "ClusterRoleBinding") {
			all = append(all, binding{b.Name, b.RoleRef, b.Subjects})
		}
	}
	if len(all) < 8 {
		t.Errorf("found %d bindings: does this test still read them?", len(all))
	}
	for _, b := range all {
		if !have[b.role.Name] {
			t.Errorf("binding %s names role %q, which is not shipped", b.name, b.role.Name)
		}
		for _, s := range b.to {
			if s.Kind != "ServiceAccount" || !have[s.Namespace+"/"+s.Name] {
				t.Errorf("binding %s names %v, which is no account that is shipped", b.name, s)
			}
		}
	}
}

func TestPodsHaveNoPrivileges(t *testing.T) {
	for _, v := range []string{"base", "bridge", "bridge-replicas", "signed-commits"} {
		for _, d := range of[apps.Deployment](t, render(t, v), "Deployment") {
			spec := d.Spec.Template.Spec
			if s := spec.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser != 65532 ||
				s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s: the pod is not kept from root: %+v", v, s)
			}
			if spec.HostNetwork || spec.HostPID || spec.HostIPC {
				t.Errorf("%s: the pod shares the node's namespaces", v)
			}
			for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
				s := c.SecurityContext
				switch {
				case s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem:
					t.Errorf("%s: container %s can write to its root", v, c.Name)
				case s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.RunAsUser != nil || s.RunAsNonRoot != nil:
					t.Errorf("%s: container %s can get more rights: %+v", v, c.Name, s)
				case s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) || len(s.Capabilities.Add) > 0:
					t.Errorf("%s: container %s keeps capabilities: %+v", v, c.Name, s.Capabilities)
				case c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero():
					t.Errorf("%s: container %s says not what it needs: %+v", v, c.Name, c.Resources)
				}
				if c.LivenessProbe == nil || c.ReadinessProbe == nil {
					t.Errorf("%s: container %s has no probes", v, c.Name)
				}
				for _, mount := range c.VolumeMounts {
					at := slices.IndexFunc(spec.Volumes, func(v core.Volume) bool { return v.Name == mount.Name })
					if at < 0 || spec.Volumes[at].EmptyDir == nil && !mount.ReadOnly {
						t.Errorf("%s: container %s may write to volume %s", v, c.Name, mount.Name)
					}
				}
			}
		}
	}
}

// TestSelectorsFindThePods: a policy, service or budget that selects nothing is
// silent about it.
func TestSelectorsFindThePods(t *testing.T) {
	for v, want := range map[string]int{"base": 1, "bridge": 1, "bridge-replicas": 2} {
		m := render(t, v)
		deployments := of[apps.Deployment](t, m, "Deployment")
		if len(deployments) != want {
			t.Fatalf("%s: got %d Deployments, want %d", v, len(deployments), want)
		}
		denies := false
		policies := of[networking.NetworkPolicy](t, m, "NetworkPolicy")
		for _, p := range policies {
			if len(p.Spec.PolicyTypes) != 2 && len(p.Spec.Ingress) > 0 {
				t.Errorf("%s: NetworkPolicy %s is not about both directions", v, p.Name)
			}
			denies = denies || len(p.Spec.PodSelector.MatchLabels) == 0 && len(p.Spec.Ingress)+len(p.Spec.Egress) == 0
			ports, found := portsOf(deployments, p.Namespace, func(pod map[string]string) bool { return selects(t, &p.Spec.PodSelector, pod) })
			if !found {
				t.Errorf("%s: NetworkPolicy %s does not select the pods", v, p.Name)
			}
			for _, in := range p.Spec.Ingress {
				for _, port := range in.Ports {
					if !slices.Contains(slices.Collect(maps.Values(ports)), port.Port.IntVal) {
						t.Errorf("%s: NetworkPolicy %s lets in port %v, which no container has", v, p.Name, port.Port)
					}
				}
			}
		}
		if !denies {
			t.Errorf("%s: no NetworkPolicy denies what the others do not allow", v)
		}
		for _, s := range of[core.Service](t, m, "Service") {
			ports, found := portsOf(deployments, s.Namespace, func(pod map[string]string) bool {
				return labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod))
			})
			if s.Spec.Type != core.ServiceTypeClusterIP || !found {
				t.Errorf("%s: Service %s is of type %s, or does not select the pods", v, s.Name, s.Spec.Type)
			}
			for _, p := range s.Spec.Ports {
				if ports[p.TargetPort.StrVal] == 0 {
					t.Errorf("%s: Service %s leads to port %v, which no container has", v, s.Name, p.TargetPort)
				}
			}
		}
		budgets := of[policy.PodDisruptionBudget](t, m, "PodDisruptionBudget")
		if len(budgets) != want {
			t.Errorf("%s: %d disruption budgets for %d Deployments", v, len(budgets), want)
		}
		for _, d := range deployments {
			if !selects(t, d.Spec.Selector, d.Spec.Template.Labels) {
				t.Errorf("%s: the Deployment %s does not select its pods", v, d.Name)
			}
			if !slices.ContainsFunc(budgets, func(b policy.PodDisruptionBudget) bool {
				return selects(t, b.Spec.Selector, d.Spec.Template.Labels) && b.Spec.MaxUnavailable.IntVal == 1
			}) {
				t.Errorf("%s: no disruption budget is for the pods of %s, or it keeps nodes from being drained: %+v", v, d.Name, budgets)
			}
		}
	}
}

// portsOf are the named ports of the pods that are selected.
func portsOf(all []apps.Deployment, namespace string, selected func(pod map[string]string) bool) (ports map[string]int32, found bool) {
	ports = map[string]int32{}
	for _, d := range all {
		if d.Namespace != namespace || !selected(d.Spec.Template.Labels) {
			continue
		}
		found = true
		for _, c := range d.Spec.Template.Spec.Containers {
			for _, p := range c.Ports {
				ports[p.Name] = p.ContainerPort
			}
		}
	}
	return ports, found
}
