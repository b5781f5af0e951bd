package backup

import (
	"context"
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// owner is one that objects refer to.
type owner struct {
	gvk             schema.GroupVersionKind
	namespace, name string
}

// owned is the object with the UIDs that its owners have now. It names an owner
// that is not there.
func (r *restorer) owned(ctx context.Context, x *one) (want map[string]any, missing string, err error) {
	m, _ := x.want["metadata"].(map[string]any)
	refs, _ := m["ownerReferences"].([]any)
	if len(refs) == 0 {
		return x.want, "", nil
	}
	refs = slices.Clone(refs)
	for i := range refs {
		ref, _ := refs[i].(map[string]any)
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": ref["apiVersion"], "kind": ref["kind"]}}
		name, _ := ref["name"].(string)
		uid, err := r.uid(ctx, owner{o.GroupVersionKind(), x.Namespace, name})
		if err != nil {
			return nil, "", err
		}
		if uid == "" {
			return nil, o.GetKind() + " " + name, nil
		}
		ref = without(ref, "uid")
		ref["uid"] = uid
		refs[i] = ref
	}
	m = without(m, "ownerReferences")
	m["ownerReferences"] = refs
	want = without(x.want, "metadata")
	want["metadata"] = m
	return want, "", nil
}

// uid of an owner; empty: it is not there.
func (r *restorer) uid(ctx context.Context, o owner) (string, error) {
	r.mu.Lock()
	uid := r.owners[o]
	r.mu.Unlock()
	if uid != "" {
		return uid, nil
	}
	m, err := r.o.Client.Mapping(o.gvk)
	if errors.Is(err, client.ErrNoKind) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	x := &one{found: found{Entry: Entry{ID: ID{Name: o.name}}}, at: r.o.Client.Resource(m, o.namespace)}
	live, err := x.read(ctx)
	if err != nil || live == nil || live.GetDeletionTimestamp() != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owners[o] = string(live.GetUID())
	return string(live.GetUID()), nil
}
