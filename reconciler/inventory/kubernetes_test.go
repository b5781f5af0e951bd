package inventory_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/inventory"
)

// kube serves NetworkIntents from memory.
type kube struct{ client dynamic.Interface }

var intents = schema.GroupVersionResource{Group: "nephoran.com", Version: "v1", Resource: "networkintents"}

func (k kube) Mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	if gvk.Kind != "NetworkIntent" {
		return nil, fmt.Errorf("find kind %s: not served", gvk.Kind)
	}
	return &meta.RESTMapping{Resource: intents, GroupVersionKind: gvk, Scope: meta.RESTScopeNamespace}, nil
}

func (k kube) Resource(m *meta.RESTMapping, namespace string) dynamic.ResourceInterface {
	return k.client.Resource(m.Resource).Namespace(namespace)
}

func TestObjectsAreItems(t *testing.T) {
	var objects []runtime.Object
	for i := range 5 {
		ns, labels := []string{"ran", "core"}[i%2], map[string]any{"tier": fmt.Sprint(i % 2)}
		objects = append(objects, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "nephoran.com/v1", "kind": "NetworkIntent", "metadata": map[string]any{"name": fmt.Sprint("i", i), "namespace": ns, "labels": labels},
		}})
	}
	k := kube{fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{intents: "NetworkIntentList"}, objects...)}
	of := func(kind, namespace, selector string) inventory.Source {
		return source(t, &plan.Entities{ID: "item.metadata.name", Source: &plan.Inventory{Kubernetes: &plan.KubernetesInventory{
			APIVersion: "nephoran.com/v1", Kind: kind, Namespace: namespace, Selector: selector,
		}}}, inventory.Options{Kube: k})
	}
	for _, c := range []struct{ namespace, selector, want string }{{"", "", "i1 i3 i0 i2 i4"}, {"ran", "", "i0 i2 i4"}, {"", "tier=1", "i1 i3"}} {
		if ids, bad, err := list(t, of("NetworkIntent", c.namespace, c.selector)); strings.Join(ids, " ") != c.want || bad != nil || err != nil {
			t.Errorf("%+v: %v, bad %v, error %v", c, ids, bad, err)
		}
	}
	for _, c := range [][3]string{{"Pod", "", ""}, {"NetworkIntent", "", "a=b=c"}} {
		if _, _, err := list(t, of(c[0], c[1], c[2])); err == nil {
			t.Errorf("%v is listed", c)
		}
	}
	if it, err := of("NetworkIntent", "ran", "").Get(t.Context(), "i2"); err != nil || it.ID != "i2" {
		t.Errorf("%+v, error %v", it, err)
	}
	if _, err := of("NetworkIntent", "ran", "").Get(t.Context(), "i1"); !errors.Is(err, inventory.ErrNotFound) {
		t.Errorf("one of another namespace: %v", err)
	}
	if _, err := of("NetworkIntent", "", "").Get(t.Context(), "i2"); !errors.Is(err, inventory.ErrNoGet) {
		t.Errorf("a name without its namespace: %v", err)
	}
}
