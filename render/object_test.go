package render_test

import (
	"testing"

	"github.com/changeover-dev/changeover/render"
)

func TestObjectsAreNamedByGroupKindNamespaceAndName(t *testing.T) {
	for _, c := range []struct {
		object render.Object
		id     render.ID
		text   string
	}{
		{
			render.Object{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web", "namespace": "shop"}},
			render.ID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}, "Deployment.apps shop/web",
		},
		{
			render.Object{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "web", "namespace": "shop"}},
			render.ID{Kind: "Service", Namespace: "shop", Name: "web"}, "Service shop/web",
		},
		{
			render.Object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop"}},
			render.ID{Kind: "Namespace", Name: "shop"}, "Namespace shop",
		},
		{
			render.Object{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": map[string]any{"name": "reader"}},
			render.ID{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "reader"}, "ClusterRole.rbac.authorization.k8s.io reader",
		},
	} {
		if got := c.object.ID(); got != c.id {
			t.Errorf("got %+v, want %+v", got, c.id)
		}
		if got := c.id.String(); got != c.text {
			t.Errorf("got %q, want %q", got, c.text)
		}
	}
}

func TestTheVersionIsNoPartOfAnObjectsName(t *testing.T) {
	old := render.Object{"apiVersion": "example.com/v1alpha1", "kind": "Intent", "metadata": map[string]any{"name": "a"}}
	young := render.Object{"apiVersion": "example.com/v1", "kind": "Intent", "metadata": map[string]any{"name": "a"}}
	if old.ID() != young.ID() {
		t.Errorf("%v and %v are one object", old.ID(), young.ID())
	}
	other := render.Object{"apiVersion": "example.org/v1", "kind": "Intent", "metadata": map[string]any{"name": "a"}}
	if old.ID() == other.ID() {
		t.Errorf("%v and %v are of two groups", old.ID(), other.ID())
	}
}

func TestObjectsThatAreIncompleteHaveEmptyNames(t *testing.T) {
	for _, o := range []render.Object{
		nil, {}, {"apiVersion": 1, "kind": true, "metadata": "a"}, {"metadata": map[string]any{"name": 1, "namespace": nil, "annotations": []any{"a"}}},
		{"metadata": nil}, {"metadata": map[string]any{"annotations": map[string]any{"a": 1}}},
	} {
		if o.ID() != (render.ID{}) || o.APIVersion() != "" || o.Kind() != "" || o.Annotation("a") != "" {
			t.Errorf("%v: %+v, %q, %q, %q", o, o.ID(), o.APIVersion(), o.Kind(), o.Annotation("a"))
		}
	}
}

func TestAnnotationsAreRead(t *testing.T) {
	o := render.Object{"metadata": map[string]any{"annotations": map[string]any{render.PruneAnnotation: "disabled"}}}
	if got := o.Annotation(render.PruneAnnotation); got != "disabled" {
		t.Errorf("got %q", got)
	}
	if got := o.Annotation(render.ForceConflictsAnnotation); got != "" {
		t.Errorf("got %q for an annotation that is not there", got)
	}
}
