package install

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	rbac "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/reconciler"
)

// right is one verb on one resource of one shipped role.
type right struct {
	kind, role, namespace string // namespace of a Role; empty for a ClusterRole
	group, resource       string
	names                 string // resourceNames, joined
	verb                  string
}

func (r right) String() string {
	s := r.role + ": " + r.verb + " " + r.resource
	if r.names != "" {
		s += " by name"
	}
	return s
}

// shippedRole is a role as it stands in the cluster.
type shippedRole struct {
	kind, name, namespace string
	rules                 []rbac.PolicyRule
}

// roles are those of site and of the team's folder, with one rule for each
// resource.
func (r *rig) roles() (list []shippedRole) {
	r.t.Helper()
	add := func(kind, name, namespace string, rules []rbac.PolicyRule) {
		one := shippedRole{kind: kind, name: name, namespace: namespace}
		for _, rule := range rules {
			for _, resource := range rule.Resources {
				rule.Resources = []string{resource}
				one.rules = append(one.rules, rule)
			}
		}
		list = append(list, one)
	}
	words := ofTeam(r.namespace)
	for _, v := range []string{"site", "namespace"} {
		m := render(r.t, v)
		for _, o := range of[rbac.ClusterRole](r.t, m, "ClusterRole") {
			add("ClusterRole", o.Name, "", o.Rules)
		}
		for _, o := range of[rbac.Role](r.t, m, "Role") {
			add("Role", o.Name, o.Namespace, o.Rules)
		}
	}
	for i, role := range list {
		list[i].name, list[i].namespace = words.Replace(role.name), words.Replace(role.namespace)
		for j, rule := range role.rules {
			for k := range rule.APIGroups {
				role.rules[j].APIGroups[k] = words.Replace(rule.APIGroups[k])
			}
			for k := range rule.ResourceNames {
				role.rules[j].ResourceNames[k] = words.Replace(rule.ResourceNames[k])
			}
		}
	}
	return list
}

// rights are all that the roles give.
func rights(roles []shippedRole) (list []right) {
	for _, role := range roles {
		for _, rule := range role.rules {
			for _, verb := range rule.Verbs {
				list = append(list, right{
					kind: role.kind, role: role.name, namespace: role.namespace, group: rule.APIGroups[0],
					resource: rule.Resources[0], names: strings.Join(rule.ResourceNames, ","), verb: verb,
				})
			}
		}
	}
	return list
}

// grant writes a role into the cluster, without one of its rights where that is
// given.
func (r *rig) grant(role shippedRole, without *right) {
	r.t.Helper()
	rules := []rbac.PolicyRule{}
	for _, rule := range role.rules {
		rule.Verbs = slices.Clone(rule.Verbs)
		if without != nil && rule.APIGroups[0] == without.group && rule.Resources[0] == without.resource && strings.Join(rule.ResourceNames, ",") == without.names {
			rule.Verbs = slices.DeleteFunc(rule.Verbs, func(v string) bool { return v == without.verb })
		}
		if len(rule.Verbs) > 0 {
			rules = append(rules, rule)
		}
	}
	b, err := yaml.Marshal(map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": role.kind, "rules": rules,
		"metadata": map[string]any{"name": role.name},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.k.Apply(r.t, role.namespace, string(b))
}

// provocation has the daemon need a right.
type provocation struct {
	before func(*rig, right) // while the right is there
	do     func(*rig, right) // while it is not
	// after brings things back, once the right is there again; then all is
	// settled.
	after func(*rig, right)
	// keeps: what was to be done is kept from being done, and the plan says so.
	keeps bool
	// ask is for rights that the daemon can do without: preflight asks for
	// them, or it says less.
	ask string
	// words that are looked for; else it is the API server's sentence.
	words string
	// twice takes away another right that includes this one, and returns what
	// gives it back.
	twice func() (give func())
}

// kinds of the objects that an overlay has, as kubetest names them.
var kinds = map[string]string{
	"deployments": "Deployment.apps", "services": "Service", "configmaps": "ConfigMap", "jobs": "Job.batch", "ledgers": "Ledger",
	"customresourcedefinitions": "CustomResourceDefinition.apiextensions.k8s.io", "httproutes": "HTTPRoute.gateway.networking.k8s.io",
}

// object that is touched, changed and deleted: kind and name.
func (r *rig) object(c right) (kind, namespace, name string) {
	switch kind := kinds[c.resource]; c.resource {
	case "ledgers":
		return kind + "." + r.namespace + ".example.com", r.namespace, "spare"
	case "customresourcedefinitions":
		return kind, "", "ledgers." + r.namespace + ".example.com"
	case "httproutes":
		return kind, r.namespace, "orders"
	default:
		return kind, r.namespace, "spare"
	}
}

// annotate changes an annotation by hand.
func (r *rig) annotate(kind, namespace, name, annotation string) {
	r.t.Helper()
	args := []string{"annotate", "--overwrite", kind, name, annotation}
	if namespace != "" {
		args = append(args, "--namespace="+namespace)
	}
	r.k.Kubectl(r.t, args...)
}

// touch changes what is nobody's business, so that the object is read again.
func touch(r *rig, c right) {
	kind, ns, name := r.object(c)
	r.annotate(kind, ns, name, fmt.Sprintf("example.com/touched=%d", time.Now().UnixNano()))
}

// change takes away what was applied.
func change(r *rig, c right) {
	kind, ns, name := r.object(c)
	r.annotate(kind, ns, name, note+"=changed-by-hand")
}

// remove deletes the object.
func remove(r *rig, c right) {
	kind, ns, name := r.object(c)
	r.k.Delete(r.t, kind, ns, name)
}

// again has everything listed and watched anew. What was refused is not tried
// again before a minute has passed.
func again(r *rig, _ right) { r.restart() }

// leaveOut takes the spare object out of the overlay by a commit.
func leaveOut(r *rig, c right) {
	r.Pull()
	r.Write("overlays/spare/kustomization.yaml", spareList(c.resource))
	r.Commit("orders: no " + c.resource + " any more")
}

func putIn(r *rig, _ right) {
	r.at("gradual@10")
	r.Pull()
	r.Write("overlays/spare/kustomization.yaml", spareList(""))
	r.Commit("orders: all spares again")
}

// undefine takes the definition out of the overlay, and the objects with it.
func undefine(r *rig, _ right) {
	r.Pull()
	r.Write("overlays/modern/kustomization.yaml", "resources: [modern.yaml]\n")
	r.Write("overlays/spare/kustomization.yaml", spareList("ledgers"))
	r.Commit("orders: no definition any more")
}

func define(r *rig, _ right) {
	r.at("gradual@10")
	r.Pull()
	r.Write("overlays/modern/kustomization.yaml", "resources: [modern.yaml, definition.yaml, ledger.yaml]\n")
	r.Write("overlays/spare/kustomization.yaml", spareList(""))
	r.Commit("orders: the definition again")
}

// forward declares the next stop, back the one before.
func forward(r *rig, _ right) { r.Declare("gradual@25") }

func back(r *rig, _ right) {
	r.at("gradual@25")
	r.Declare("gradual@10")
}

func there(r *rig, c right) {
	forward(r, c)
	back(r, c)
	r.at("gradual@10")
}

// ofObjects are the provocations for what overlays hold.
var ofObjects = map[string]provocation{
	"get":    {do: touch, keeps: true},
	"list":   {do: again, after: again},
	"watch":  {do: again, after: again},
	"create": {do: remove, keeps: true},
	"patch":  {do: change, keeps: true},
	"delete": {do: leaveOut, after: putIn, keeps: true},
}

// provocations by role, resource and verb; a verb of several resources may
// stand alone.
func (r *rig) provocation(c right) (provocation, bool) {
	own := map[string]provocation{
		"changeover: list migrationplans":  {do: again, after: again},
		"changeover: watch migrationplans": {do: again, after: again},

		"changeover-namespace: get migrationplans":           {do: again, after: again},
		"changeover-namespace: create migrationplans":        {do: func(r *rig, _ right) { r.k.Delete(r.t, "MigrationPlan.changeover.dev", r.namespace, "orders") }},
		"changeover-namespace: patch migrationplans":         {do: forward, after: back},
		"changeover-namespace: update migrationplans/status": {do: forward, after: back},
		// Nothing calls these; preflight asks for them.
		"changeover-namespace: get migrationplans/status":   {ask: "preflight", words: "may not get migrationplans.changeover.dev/status"},
		"changeover-namespace: patch migrationplans/status": {ask: "preflight", words: "may not patch migrationplans.changeover.dev/status"},
		"changeover-namespace: patch configmaps":            {ask: "preflight", words: "may not patch configmaps"},

		"changeover-namespace: get configmaps": {keeps: true, do: func(r *rig, _ right) {
			r.annotate("configmap", r.namespace, "changeover-inventory-orders", fmt.Sprintf("example.com/touched=%d", time.Now().UnixNano()))
		}},
		"changeover-namespace: list configmaps":  {do: again, after: again},
		"changeover-namespace: watch configmaps": {do: again, after: again},
		"changeover-namespace: create configmaps": {keeps: true, do: func(r *rig, _ right) {
			r.k.Delete(r.t, "ConfigMap", r.namespace, "changeover-inventory-orders")
		}},
		"changeover-namespace: update configmaps": {keeps: true, do: func(r *rig, _ right) {
			r.Pull()
			r.Write("overlays/spare/extra.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: extra}}\n")
			r.Write("overlays/spare/kustomization.yaml", spareList("", "extra"))
			r.Commit("orders: one object more")
		}, after: func(r *rig, c right) {
			r.at("gradual@10")
			r.k.Get(r.t, "ConfigMap", r.namespace, "extra")
			putIn(r, c)
		}},
		// The first event of its kind is made, the second is counted there.
		"changeover-namespace: create events": {do: func(r *rig, c right) { r.restart(); forward(r, c) }, after: back},
		"changeover-namespace: patch events":  {before: there, do: forward, after: back},

		"changeover-account: impersonate serviceaccounts": {keeps: true, do: func(r *rig, _ right) {
			touch(r, right{resource: "configmaps"})
		}},

		"changeover-lease: get leases": {do: again, after: again},
		"changeover-lease: create leases": {do: func(r *rig, _ right) {
			r.restart(func() { r.k.Delete(r.t, "Lease.coordination.k8s.io", system, "changeover") })
		}},
		"changeover-lease: update leases": {do: func(*rig, right) {}},

		"changeover-gateway-api: get httproutes":    {do: touch, keeps: true},
		"changeover-gateway-api: list httproutes":   {do: again, after: again},
		"changeover-gateway-api: watch httproutes":  {do: again, after: again},
		"changeover-gateway-api: create httproutes": {do: remove, keeps: true},
		"changeover-gateway-api: patch httproutes":  {do: forward, after: back, keeps: true},
		// One that the gateway refuses at its first application is deleted again.
		"changeover-gateway-api: delete httproutes": {keeps: true, do: func(r *rig, c right) {
			r.gw.Reject("Forbidden")
			remove(r, c)
		}, after: func(r *rig, _ right) { r.gw.Reject("") }},
		"changeover-gateway-api: get gateways":          {do: forward, after: back, keeps: true},
		"changeover-gatewayclasses: get gatewayclasses": {do: forward, after: back, keeps: true},

		"changeover-overlay: list pods": {ask: "less"},
		"changeover-overlay: list ledgers": {do: again, after: again, twice: func() func() {
			return r.takeListing("changeover-" + r.namespace + "-definitions")
		}},
		"changeover-" + r.namespace + "-definitions: list ledgers":                     {do: undefine, after: define, keeps: true},
		"changeover-" + r.namespace + "-definitions: delete customresourcedefinitions": {do: undefine, after: define, keeps: true},
	}
	if p, ok := own[fmt.Sprintf("%s: %s %s", c.role, c.verb, c.resource)]; ok {
		return p, true
	}
	p, ok := ofObjects[c.verb]
	return p, ok && kinds[c.resource] != "" && (c.role == "changeover-overlay" || c.role == "changeover-"+r.namespace+"-definitions")
}

// takeListing takes the right to list ledgers in the whole cluster away.
func (r *rig) takeListing(name string) (give func()) {
	r.t.Helper()
	roles := r.roles()
	role := roles[slices.IndexFunc(roles, func(s shippedRole) bool { return s.name == name })]
	r.grant(role, &right{group: r.namespace + ".example.com", resource: "ledgers", verb: "list"})
	return func() { r.grant(role, nil) }
}

// told is what the API server says of a right that is missing.
func (r *rig) told(c right) []string {
	user := "system:serviceaccount:" + r.namespace + ":migration"
	if !strings.Contains(c.role, "overlay") && !strings.Contains(c.role, "gateway") && !strings.HasSuffix(c.role, "-definitions") {
		user = daemonAccount
	}
	resource, _, _ := strings.Cut(c.resource, "/")
	words := fmt.Sprintf("permission is missing: User %q cannot %s resource %q", user, c.verb, resource)
	if c.resource != resource {
		words = fmt.Sprintf("permission is missing: User %q cannot %s resource %q", user, c.verb, c.resource)
	}
	return []string{words, fmt.Sprintf("in API group %q", c.group)}
}

// without takes a right away, has the daemon need it, and gives it back.
func (r *rig) without(t *testing.T, role shippedRole, c right) time.Duration {
	p, ok := r.provocation(c)
	if !ok {
		t.Fatalf("the role has a right of which this test does not know what it is for: %s", c)
	}
	outer := r.t
	r.t = t
	defer func() { r.t = outer }()
	if p.before != nil {
		p.before(r, c)
	}
	r.at("gradual@10")
	since := len(r.DaemonLog())
	if p.twice != nil {
		give := p.twice()
		defer give()
	}
	r.grant(role, &c)
	if p.ask == "preflight" {
		defer r.grant(role, nil)
		if out, err := r.preflight(); err == nil || !strings.Contains(out, p.words) {
			t.Errorf("preflight does not say %q: %v\n%s", p.words, err, out)
		}
		return 0
	}
	if p.ask == "less" {
		defer r.grant(role, nil)
		r.saysLess(func() { r.grant(role, nil) }, func() { r.grant(role, &c) })
		return 0
	}
	p.do(r, c)
	took := r.hear(c, since)
	if p.keeps {
		r.kept(c)
	}
	r.grant(role, nil)
	if p.after != nil {
		p.after(r, c)
	}
	r.at("gradual@10")
	return took
}

// hear waits until the daemon says that the right is missing.
func (r *rig) hear(c right, since int) time.Duration {
	r.t.Helper()
	begun := time.Now()
	var st reconciler.Status
	said := ""
	for end := begun.Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		st, said = r.said(since)
		told := true
		for _, words := range r.told(c) {
			told = told && strings.Contains(said, words)
		}
		if told {
			return time.Since(begun)
		}
	}
	r.t.Errorf("within %s the daemon does not say %q; it is %s at %s and says:\n%s", patience, r.told(c), st.State, st.Effective, said)
	return patience
}

// kept checks that the plan does not claim to be where it is not: it is not
// settled, and stays so.
func (r *rig) kept(c right) {
	r.t.Helper()
	for range 5 {
		st, err := r.Status()
		if err != nil {
			continue
		}
		if settled(st, st.Effective.String()) && st.Effective == st.Declared {
			r.t.Errorf("the plan claims to be settled at %s without the right to %s", st.Effective, c)
			return
		}
		if st.Move != nil && st.Effective == st.Move.To && st.Move.From != st.Move.To {
			r.t.Errorf("the plan claims to be at %s, to which it is under way", st.Effective)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// saysLess has a workload that cannot run: with the right to list pods the
// daemon says why, without it goes on all the same.
func (r *rig) saysLess(give, take func()) {
	r.t.Helper()
	give()
	r.Pull()
	stuck := strings.Replace(spares["deployments"], "replicas: 0", "replicas: 1", 1)
	r.Write("overlays/spare/deployments.yaml", strings.Replace(stuck, "spec: {containers:", "spec: {nodeSelector: {no: where}, containers:", 1))
	r.Commit("orders: a workload that cannot run")
	says := func(what string, pod bool) {
		r.t.Helper()
		r.Await(what, patience, func(s reconciler.Status) bool {
			return strings.Contains(s.Waiting, "Deployment "+r.namespace+"/spare") && strings.Contains(s.Waiting, "cannot be scheduled") == pod
		})
	}
	says("why the pod does not run", true)
	take()
	says("less", false)
	r.Write("overlays/spare/deployments.yaml", spares["deployments"])
	r.Commit("orders: a workload that can run")
	r.at("gradual@10")
}
