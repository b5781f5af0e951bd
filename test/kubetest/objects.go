package kubetest

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
)

// Manager is the field manager of Apply.
const Manager = "kubetest"

var noName = regexp.MustCompile(`[^a-z0-9]+`)

// Namespace creates a namespace that is named after the test and deleted when
// the test ends; nobody waits until it is gone. Where the test has failed, what
// is in it is logged first.
func (k *Kube) Namespace(t testing.TB) string {
	t.Helper()
	name := noName.ReplaceAllString(strings.ToLower(t.Name()), "-")
	name = fmt.Sprintf("%s-%d", strings.Trim(name[:min(len(name), 40)], "-"), k.namespaces.Add(1))
	k.Apply(t, "", "{apiVersion: v1, kind: Namespace, metadata: {name: "+name+"}}")
	t.Cleanup(func() {
		if t.Failed() {
			out, err := k.RunKubectl("", "get", "all,events", "--namespace="+name, "--request-timeout=10s")
			t.Logf("in namespace %s (%v):\n%.20000s", name, err, out)
		}
		namespaces, err := k.resource("Namespace", "")
		if err != nil || namespaces == nil {
			return // the API server is gone, and the namespace with it
		}
		ctx, cancel := within()
		defer cancel()
		_ = namespaces.Delete(ctx, name, metav1.DeleteOptions{}) // it disturbs nobody who has another
	})
	return name
}

// Apply applies YAML documents as "kubetest", by server-side apply with force,
// in their order, and returns what the API server made of them. The namespace
// is for those that need one and name none. A definition is waited for until
// it is served.
func (k *Kube) Apply(t testing.TB, namespace, text string) []*unstructured.Unstructured {
	t.Helper()
	return k.ApplyAs(t, Manager, namespace, text)
}

// ApplyAs is Apply as another field manager.
func (k *Kube) ApplyAs(t testing.TB, manager, namespace, text string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range objects {
		if objects[i], err = k.apply(o, namespace, metav1.PatchOptions{FieldManager: manager, Force: new(true)}); err != nil {
			t.Fatal(err)
		}
		if o.GroupVersionKind().GroupKind() == definitionKind {
			WaitFor(t, "definition "+o.GetName()+" is served", func() bool { return k.served(t, o) })
		}
	}
	return objects
}

var definitionKind = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

func (k *Kube) served(t testing.TB, definition *unstructured.Unstructured) bool {
	t.Helper()
	group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
	_, err := k.mapping(schema.GroupKind{Group: group, Kind: kind})
	return err == nil && Condition(k.Get(t, "CustomResourceDefinition.apiextensions.k8s.io", "", definition.GetName()), "Established") == "True"
}

// Condition is the status of a condition of an object: True, False, Unknown, or
// empty where it is absent.
func Condition(o *unstructured.Unstructured, kind string) string {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == kind {
			status, _ := m["status"].(string)
			return status
		}
	}
	return ""
}

// parse reads YAML documents.
func parse(text string) (objects []*unstructured.Unstructured, err error) {
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		switch {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("read a manifest: %w\n%s", err, text)
		case len(o.Object) == 0: // only comments
		case o.GetKind() == "" || o.GetName() == "":
			return nil, fmt.Errorf("read a manifest: want kind and name, got %v", o.Object)
		default:
			objects = append(objects, o)
		}
	}
}

// apply applies one object in a namespace that it may name itself.
func (k *Kube) apply(o *unstructured.Unstructured, namespace string, options metav1.PatchOptions) (*unstructured.Unstructured, error) {
	where := fmt.Sprintf("apply %s %q", o.GetKind(), o.GetName())
	mapping, err := k.mapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	o = o.DeepCopy()
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace && o.GetNamespace() == "" {
		o.SetNamespace(namespace)
	}
	text, err := o.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	ctx, cancel := within()
	defer cancel()
	got, err := k.Dynamic.Resource(mapping.Resource).Namespace(o.GetNamespace()).Patch(ctx, o.GetName(), applyPatch, text, options)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return got, nil
}

// mapping finds the resource of a kind, also of one that is served only since.
func (k *Kube) mapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	mapping, err := k.mapper.RESTMapping(kind, versions...)
	if meta.IsNoMatchError(err) {
		k.mapper.Reset()
		mapping, err = k.mapper.RESTMapping(kind, versions...)
	}
	if err != nil {
		return nil, fmt.Errorf("find kind %q: %w", kind, err)
	}
	return mapping, nil
}

// resource is the client for a kind in a namespace; nil where the kind is not
// served.
func (k *Kube) resource(kind, namespace string) (dynamic.ResourceInterface, error) {
	mapping, err := k.mapping(schema.ParseGroupKind(kind))
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return k.Dynamic.Resource(mapping.Resource).Namespace(namespace), nil
}

// Get reads an object that is there. Kind is KIND or KIND.GROUP; the namespace
// is empty for kinds without one.
func (k *Kube) Get(t testing.TB, kind, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	o := k.Lookup(t, kind, namespace, name)
	if o == nil {
		t.Fatalf("get %s %q in namespace %q: it is not there", kind, name, namespace)
	}
	return o
}

// Lookup reads an object; nil where it or its kind is not there.
func (k *Kube) Lookup(t testing.TB, kind, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	resource, err := k.resource(kind, namespace)
	if err != nil {
		t.Fatal(err)
	}
	if resource == nil {
		return nil
	}
	ctx, cancel := within()
	defer cancel()
	o, err := resource.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatalf("get %s %q in namespace %q: %v", kind, name, namespace, err)
	}
	return o
}

// Delete deletes an object, with what it owns, and does not wait until it is
// gone. One that is not there is fine, and so is one whose kind is not.
func (k *Kube) Delete(t testing.TB, kind, namespace, name string) {
	t.Helper()
	resource, err := k.resource(kind, namespace)
	if err != nil {
		t.Fatal(err)
	}
	if resource == nil {
		return
	}
	ctx, cancel := within()
	defer cancel()
	err = resource.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatalf("delete %s %q in namespace %q: %v", kind, name, namespace, err)
	}
}
