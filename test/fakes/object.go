package fakes

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
)

// prepared are copies of the objects that are desired, in the plan's namespace
// where they name none, with its mark.
func prepared(d reconciler.Desired) ([]render.Object, error) {
	if len(d.Objects) == 0 {
		return nil, errors.New("nothing is desired: an empty render is neither applied nor pruned for")
	}
	out := make([]render.Object, len(d.Objects))
	for i, o := range d.Objects {
		o = copied(o)
		place(o, d.Mark.Key.Namespace)
		meta := o["metadata"].(map[string]any)
		annotations, ok := meta["annotations"].(map[string]any)
		if !ok {
			annotations = map[string]any{}
			meta["annotations"] = annotations
		}
		annotations[render.PlanAnnotation] = d.Mark.Key.String()
		out[i] = o
	}
	return out, nil
}

// clusterWide are kinds without namespaces that tests use.
var clusterWide = []string{"Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "PersistentVolume", "GatewayClass"}

func place(o render.Object, namespace string) {
	meta, ok := o["metadata"].(map[string]any)
	if !ok {
		meta = map[string]any{}
		o["metadata"] = meta
	}
	if slices.Contains(clusterWide, o.Kind()) {
		delete(meta, "namespace")
	} else if s, _ := meta["namespace"].(string); s == "" {
		meta["namespace"] = namespace
	}
}

// served reports whether a kind is known: one that is built in, or one that a
// live object or another of the render defines.
func (c *Cluster) served(o render.Object, all []render.Object) bool {
	id := o.ID()
	if !strings.Contains(id.Group, ".") || strings.HasSuffix(id.Group, ".k8s.io") {
		return true
	}
	defines := func(o render.Object) bool {
		spec, _ := o["spec"].(map[string]any)
		names, _ := spec["names"].(map[string]any)
		return o.Kind() == "CustomResourceDefinition" && spec["group"] == id.Group && names["kind"] == id.Kind
	}
	if slices.ContainsFunc(all, defines) {
		return true
	}
	for _, live := range c.live {
		if defines(live) {
			return true
		}
	}
	return false
}

func title(id render.ID) string {
	id.Group = ""
	return id.String()
}

// ownerOf is the plan that applied an object; ok is false where none did, or it
// is not there.
func ownerOf(o render.Object) (key plan.Key, ok bool) {
	namespace, name, ok := strings.Cut(o.Annotation(render.PlanAnnotation), "/")
	return plan.Key{Namespace: namespace, Name: name}, ok
}

func replicasIn(o render.Object) int64 {
	spec, _ := o["spec"].(map[string]any)
	n, _ := spec["replicas"].(int64)
	return n
}

func setReplicas(o render.Object, n int64) {
	if spec, ok := o["spec"].(map[string]any); ok {
		spec["replicas"] = n
	}
}

// stuck reports whether the pods of a Deployment select a node.
func stuck(o render.Object) bool {
	spec, _ := o["spec"].(map[string]any)
	template, _ := spec["template"].(map[string]any)
	pods, _ := template["spec"].(map[string]any)
	return o.Kind() == "Deployment" && pods["nodeSelector"] != nil
}

// keepsAll reports whether live has all that is wanted. Lists are compared as a
// whole.
func keepsAll(want, live any) bool {
	w, ok := want.(map[string]any)
	l, is := live.(map[string]any)
	if !ok || !is {
		return reflect.DeepEqual(want, live)
	}
	for k, v := range w {
		if !keepsAll(v, l[k]) {
			return false
		}
	}
	return true
}

// copied is a deep copy; nil of nil.
func copied(o render.Object) render.Object {
	if o == nil {
		return nil
	}
	return deep(map[string]any(o)).(map[string]any)
}

func deep(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = deep(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = deep(e)
		}
		return out
	}
	return v
}

func copyMark(m *reconciler.Mark) *reconciler.Mark {
	if m == nil {
		return nil
	}
	c := *m
	c.Holds = slices.Clone(m.Holds)
	return &c
}

// leftovers are what may be deleted of what is not desired any more, and what
// may not, sorted.
func (c *Cluster) leftovers(key plan.Key, objects []render.Object) (doomed, kept []render.ID) {
	for id := range c.inventory(key).ids {
		owner, ok := ownerOf(c.live[id])
		wanted := slices.ContainsFunc(objects, func(o render.Object) bool { return o.ID() == id })
		switch {
		case wanted || !ok || owner != key:
		case c.live[id].Annotation(render.PruneAnnotation) == "disabled":
			kept = append(kept, id)
		default:
			doomed = append(doomed, id)
		}
	}
	for _, ids := range [][]render.ID{doomed, kept} {
		slices.SortFunc(ids, func(a, b render.ID) int { return strings.Compare(a.String(), b.String()) })
	}
	return doomed, kept
}
