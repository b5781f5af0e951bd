package kube

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
)

// item is one object that is desired.
type item struct {
	id      render.ID // with the namespace in which it lives
	gvk     schema.GroupVersionKind
	object  map[string]any // as it is sent; the item's own
	mapping *meta.RESTMapping
	step    step
	// replicas that the object asks for; status.Unsaid where it does not say.
	replicas int64
	digest   digest // of object
	// err: the object cannot be applied as it stands.
	err error
}

// title names an object for people: KIND NAMESPACE/NAME.
func title(id render.ID) string {
	id.Group = ""
	return id.String()
}

// prepare makes items of the desired objects. Defined says of kinds that may yet
// come whether they live in namespaces. The error is not about one of
// them: the API server does not tell what it serves.
func prepare(ctx context.Context, c *client.Client, d reconciler.Desired, defined map[render.Kind]bool) ([]*item, error) {
	if len(d.Objects) == 0 {
		return nil, errors.New("nothing is desired: an empty render is neither applied nor pruned for")
	}
	items := make([]*item, 0, len(d.Objects))
	seen := make(map[render.ID]bool, len(d.Objects))
	for _, o := range d.Objects {
		it, err := prepareOne(ctx, c, d.Mark.Key, o, defined)
		if err != nil {
			return nil, err
		}
		if seen[it.id] && it.err == nil {
			it.err = errors.New("it stands in the kustomization twice, once without its namespace: leave one out")
		}
		seen[it.id] = true
		items = append(items, it)
	}
	slices.SortStableFunc(items, func(a, b *item) int { return compareSteps(a.step, b.step) })
	return items, nil
}

func prepareOne(ctx context.Context, c *client.Client, key plan.Key, o render.Object, defined map[render.Kind]bool) (*item, error) {
	it := &item{gvk: schema.FromAPIVersionAndKind(o.APIVersion(), o.Kind()), object: ours(o, key)}
	namespaced, known := defined[render.Kind{Group: it.gvk.Group, Kind: it.gvk.Kind}]
	m, err := mapping(ctx, c, it.gvk)
	switch {
	case errors.Is(err, client.ErrNoKind):
		it.err = err
		if known {
			it.err = nil // it is found once its definition is applied
		}
	case err != nil:
		return nil, err
	default:
		it.mapping, known, namespaced = m, true, m.Scope.Name() == meta.RESTScopeNameNamespace
	}
	if known {
		place(it.object, namespaced, key.Namespace)
	}
	it.id = render.Object(it.object).ID()
	it.step = stepOf(it.id)
	it.replicas = replicasOf(it.object)
	it.digest = digestOf(it.object)
	switch {
	case it.id.Name == "":
		it.err = errors.New("it has no name, and one that the API server makes up cannot be applied: set metadata.name")
	case it.id == inventoryID(key):
		it.err = errors.New("this name is kept for the inventory of the plan: choose another")
	}
	return it, nil
}

// mapping finds the resource of a kind. The API server may be asked what it
// serves, which has a timeout of its own, longer than ctx may wait.
func mapping(ctx context.Context, c *client.Client, gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	type answer struct {
		m   *meta.RESTMapping
		err error
	}
	got := make(chan answer, 1)
	go func() {
		m, err := c.Mapping(gvk)
		got <- answer{m, err}
	}()
	select {
	case a := <-got:
		return a.m, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("find kind %s of %s: %w", gvk.Kind, gvk.GroupVersion(), client.Explain(ctx.Err()))
	}
}

// definedScopes says of the kinds that the objects themselves define whether
// they live in namespaces.
func definedScopes(objects []render.Object) map[render.Kind]bool {
	out := map[render.Kind]bool{}
	for _, o := range objects {
		if id := o.ID(); id.Group != groupCRD || id.Kind != kindCRD {
			continue
		}
		spec, _ := o["spec"].(map[string]any)
		names, _ := spec["names"].(map[string]any)
		group, _ := spec["group"].(string)
		kind, _ := names["kind"].(string)
		out[render.Kind{Group: group, Kind: kind}] = spec["scope"] == "Namespaced"
	}
	return out
}

// place puts an object into the plan's namespace where it names none, and takes
// the namespace from one whose kind has none.
func place(o map[string]any, namespaced bool, namespace string) {
	m := o["metadata"].(map[string]any)
	switch {
	case !namespaced:
		delete(m, "namespace")
	case m["namespace"] == nil || m["namespace"] == "":
		m["namespace"] = namespace
	}
}

// servers are the fields of metadata that are the API server's.
var servers = []string{"uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "managedFields", "selfLink"}

// ours is a copy of an object, marked as this plan's, without what only the
// server or a controller writes.
func ours(o render.Object, key plan.Key) map[string]any {
	out, _ := clone(map[string]any(o)).(map[string]any)
	delete(out, "status")
	m, ok := out["metadata"].(map[string]any)
	if !ok {
		m = map[string]any{}
		out["metadata"] = m
	}
	for _, f := range servers {
		delete(m, f)
	}
	mark(m, "labels", render.ManagedLabel, "true")
	mark(m, "annotations", render.PlanAnnotation, key.String())
	if id := o.ID(); id.Group == "" && id.Kind == "Secret" {
		encode(out)
	}
	return out
}

func mark(meta map[string]any, field, name, value string) {
	m, ok := meta[field].(map[string]any)
	if !ok {
		m = map[string]any{}
		meta[field] = m
	}
	m[name] = value
}

// encode writes a Secret's stringData as the server keeps it. Applied as it is
// it could be neither compared nor taken back.
func encode(secret map[string]any) {
	text, ok := secret["stringData"].(map[string]any)
	if !ok {
		return
	}
	delete(secret, "stringData")
	data, ok := secret["data"].(map[string]any)
	if !ok {
		data = map[string]any{}
		secret["data"] = data
	}
	for k, v := range text {
		if s, ok := v.(string); ok {
			v = base64.StdEncoding.EncodeToString([]byte(s))
		}
		data[k] = v
	}
}

// clone copies decoded JSON. Objects of a render are shared and not to be
// written to.
func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = clone(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = clone(e)
		}
		return out
	case int:
		return int64(v)
	}
	return v
}
