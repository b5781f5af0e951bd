package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
)

// Outcome of a check.
type Outcome string

// OK: the plan has what it needs. Warn: it can go on, but a person should know.
// Failed: the plan would be stuck.
const (
	OK     Outcome = "ok"
	Warn   Outcome = "warning"
	Failed Outcome = "failed"
)

// Finding is the answer to one question.
type Finding struct {
	Check   string  `json:"check"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail"`
}

// Subject is what is looked into.
type Subject struct {
	Plan *plan.Plan
	// Objects of all phases.
	Objects []render.Object
	// Features that the plan needs of a GatewayClass.
	Features []string
}

// inquiry is one run over one plan.
type inquiry struct {
	Subject
	own  *client.Client // the daemon's account
	as   *client.Client // the plan's
	done []Finding
	asks map[access]bool
	// apart: the daemon may not act as the plan's account, so that nothing can
	// be asked as it.
	apart bool
}

// access is one question about permissions.
type access struct {
	account, verb, group, resource, sub, namespace, name string
}

// Run asks everything. It returns an error only where the API server cannot be
// reached at all.
func Run(ctx context.Context, c *client.Client, s Subject) ([]Finding, error) {
	as, err := c.ForPlan(s.Plan)
	if err != nil {
		return nil, err
	}
	q := &inquiry{Subject: s, own: c, as: as, asks: map[access]bool{}}
	c.Discovery().Invalidate()
	version, err := c.Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("ask the API server at %q for its version: %w", c.Config().Host, client.Explain(err))
	}
	q.add("kubernetes", OK, "version %s", version.GitVersion)
	q.requires(version.GitVersion)
	for _, check := range []func(context.Context) error{q.impersonation, q.objects, q.gateway, q.reads, q.daemon} {
		if err := check(ctx); err != nil {
			return q.done, err
		}
	}
	return q.done, nil
}

func (q *inquiry) add(check string, o Outcome, format string, args ...any) {
	q.done = append(q.done, Finding{Check: check, Outcome: o, Detail: fmt.Sprintf(format, args...)})
}

func (q *inquiry) requires(version string) {
	r := q.Plan.Spec.Requires
	if r == nil {
		return
	}
	if r.Kubernetes != "" {
		switch ok, err := r.Allows(version); {
		case err != nil:
			q.add("requires.kubernetes", Failed, "%v", err)
		case !ok:
			q.add("requires.kubernetes", Failed, "the plan requires %s, the cluster has %s", r.Kubernetes, version)
		default:
			q.add("requires.kubernetes", OK, "%s", r.Kubernetes)
		}
	}
	for _, api := range r.APIs {
		group, version, kind, err := plan.ParseAPI(api)
		if err == nil {
			_, err = q.own.Mapping(schema.GroupVersionKind{Group: group, Version: version, Kind: kind})
		}
		if err != nil {
			q.add("requires.apis", Failed, "%s: %v", api, err)
			continue
		}
		q.add("requires.apis", OK, "%s is served", api)
	}
}

// impersonation comes first: without it every question as the plan's account
// would fail, and none would say what is missing.
func (q *inquiry) impersonation(ctx context.Context) error {
	if q.as == q.own {
		return nil
	}
	before := len(q.done)
	err := q.may(ctx, q.own, access{verb: "impersonate", resource: "serviceaccounts", namespace: q.Plan.Metadata.Namespace, name: q.Plan.Spec.ServiceAccountName})
	q.apart = len(q.done) > before
	return err
}

// objects asks for the kinds that the phases apply, and for the permissions.
func (q *inquiry) objects(ctx context.Context) error {
	defines := definitions(q.Objects)
	missing := 0
	for _, o := range q.Objects {
		gv, err := schema.ParseGroupVersion(o.APIVersion())
		if err != nil {
			q.add("kind", Failed, "%s: %v", o.ID(), err)
			continue
		}
		m, err := q.own.Mapping(gv.WithKind(o.Kind()))
		if errors.Is(err, client.ErrNoKind) && defines[render.Kind{Group: gv.Group, Kind: o.Kind()}] {
			continue // the plan brings the definition itself
		}
		if err != nil {
			missing++
			q.add("kind", Failed, "%s: %v", o.ID(), err)
			continue
		}
		namespace := ""
		if m.Scope.Name() == "namespace" {
			if namespace = o.ID().Namespace; namespace == "" {
				namespace = q.Plan.Metadata.Namespace
			}
		}
		for _, verb := range q.verbs() {
			a := access{verb: verb, group: m.Resource.Group, resource: m.Resource.Resource, namespace: namespace}
			if namespace == "" && (verb == "get" || verb == "patch" || verb == "delete") {
				a.name = o.ID().Name // such rights are given by name
			}
			if err := q.may(ctx, q.as, a); err != nil {
				return err
			}
		}
	}
	if len(q.Objects) > 0 && missing == 0 {
		q.add("kinds", OK, "%d objects of the phases are of kinds that are served, or that the plan defines", len(q.Objects))
	}
	return nil
}

// verbs that applying needs; delete only where something may be pruned.
func (q *inquiry) verbs() []string {
	verbs := []string{"get", "list", "watch", "create", "patch"}
	if slices.ContainsFunc(q.Plan.Spec.Phases, func(ph plan.Phase) bool { return ph.Cluster != nil && *ph.Cluster.Prune }) {
		verbs = append(verbs, "delete")
	}
	return verbs
}

// definitions are the kinds that the plan's own CustomResourceDefinitions bring.
func definitions(objects []render.Object) map[render.Kind]bool {
	out := map[render.Kind]bool{}
	for _, o := range objects {
		if o.Kind() != "CustomResourceDefinition" {
			continue
		}
		spec, _ := o["spec"].(map[string]any)
		names, _ := spec["names"].(map[string]any)
		group, _ := spec["group"].(string)
		kind, _ := names["kind"].(string)
		out[render.Kind{Group: group, Kind: kind}] = true
	}
	return out
}

// may asks whether the account has a permission, once for each.
func (q *inquiry) may(ctx context.Context, c *client.Client, a access) error {
	a.account = c.Account()
	if q.asks[a] || q.apart && c == q.as {
		return nil
	}
	q.asks[a] = true
	ac, err := authorizationclient.NewForConfig(c.Config())
	if err != nil {
		return fmt.Errorf("ask for permissions: %w", err)
	}
	r, err := ac.SelfSubjectAccessReviews().Create(ctx, &authorization.SelfSubjectAccessReview{
		Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorization.ResourceAttributes{
			Namespace: a.namespace, Verb: a.verb, Group: a.group, Resource: a.resource, Subresource: a.sub, Name: a.name,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("ask for permissions: %w", client.Explain(err))
	}
	if !r.Status.Allowed {
		q.add("permission", Failed, "%s may not %s", who(a.account), a)
	}
	return nil
}

func who(account string) string {
	if account == "" {
		return "the daemon's account"
	}
	return account
}

// String is what is asked for, as kubectl auth can-i writes it.
func (a access) String() string {
	s := a.verb + " " + a.resource
	if a.group != "" {
		s += "." + a.group
	}
	if a.sub != "" {
		s += "/" + a.sub
	}
	if a.name != "" {
		s += " " + a.name
	}
	if a.namespace != "" {
		s += " in namespace " + a.namespace
	}
	return s
}

// reads asks for the live objects that gates read.
func (q *inquiry) reads(ctx context.Context) error {
	for _, name := range sorted(q.Plan.Spec.Objects) {
		ref := q.Plan.Spec.Objects[name]
		gv, err := schema.ParseGroupVersion(ref.APIVersion)
		if err != nil {
			q.add("objects."+name, Failed, "%v", err)
			continue
		}
		m, err := q.own.Mapping(gv.WithKind(ref.Kind))
		if err != nil {
			q.add("objects."+name, Warn, "gates that read it have no data: %v", err)
			continue
		}
		_, err = q.as.Resource(m, ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			q.add("objects."+name, Warn, "gates that read it have no data: %v", client.Explain(err))
			continue
		}
		q.add("objects."+name, OK, "%s %s/%s is there", ref.Kind, ref.Namespace, ref.Name)
	}
	return nil
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// daemon asks for what the daemon writes for itself.
func (q *inquiry) daemon(ctx context.Context) error {
	ns := q.Plan.Metadata.Namespace
	var all []access
	for _, verb := range []string{"get", "list", "watch", "create", "patch"} {
		all = append(all, access{verb: verb, group: "changeover.dev", resource: "migrationplans", namespace: ns})
	}
	for _, verb := range []string{"get", "update", "patch"} {
		all = append(all, access{verb: verb, group: "changeover.dev", resource: "migrationplans", sub: "status", namespace: ns})
	}
	for _, verb := range []string{"get", "create", "update", "patch"} {
		all = append(all, access{verb: verb, resource: "configmaps", namespace: ns})
	}
	all = append(all, access{verb: "create", group: "events.k8s.io", resource: "events", namespace: ns})
	for _, a := range all {
		if err := q.may(ctx, q.own, a); err != nil {
			return err
		}
	}
	if _, err := q.own.Mapping(schema.GroupVersionKind{Group: "changeover.dev", Version: "v1alpha1", Kind: plan.Kind}); err != nil {
		q.add("crd", Failed, "%v: kubectl apply -k examples/install/base", err)
	}
	if !slices.ContainsFunc(q.done, func(f Finding) bool { return f.Check == "permission" }) {
		q.add("permissions", OK, "all %d that the plan needs are there", len(q.asks))
	}
	return nil
}

// lacking are the features that a class does not list; none where it lists
// nothing, as then nothing is known.
func lacking(needs, has []string) []string {
	if len(has) == 0 {
		return nil
	}
	var out []string
	for _, n := range needs {
		if !slices.Contains(has, n) {
			out = append(out, n)
		}
	}
	return out
}

func list(s []string) string { return strings.Join(s, ", ") }
