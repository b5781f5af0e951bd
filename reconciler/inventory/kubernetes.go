package inventory

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/changeover-dev/changeover/plan"
)

// Kube is what an inventory needs of a cluster.
type Kube interface {
	// Mapping finds the resource of a kind.
	Mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error)
	// Resource reads it, in a namespace or, where that is "", in all.
	Resource(m *meta.RESTMapping, namespace string) dynamic.ResourceInterface
}

// objects is an inventory of the objects of one kind.
type objects struct {
	base
	spec *plan.KubernetesInventory
	kube Kube
}

// chunk is how many objects are read at once.
const chunk = 500

func (o *objects) resource() (dynamic.ResourceInterface, error) {
	gv, err := schema.ParseGroupVersion(o.spec.APIVersion)
	if err != nil {
		return nil, err
	}
	m, err := o.kube.Mapping(gv.WithKind(o.spec.Kind))
	if err != nil {
		return nil, err
	}
	return o.kube.Resource(m, o.spec.Namespace), nil
}

// List reads one state of the cluster: a list whose continue token has expired
// breaks off, as it would be of two.
func (o *objects) List(ctx context.Context, each func(Item) error) error {
	r, err := o.resource()
	if err != nil {
		return fmt.Errorf("list %s: %w", o.name, err)
	}
	if _, err := labels.Parse(o.spec.Selector); err != nil {
		return fmt.Errorf("list %s: read the selector: %w", o.name, err)
	}
	options := metav1.ListOptions{Limit: chunk, LabelSelector: o.spec.Selector}
	for {
		l, err := r.List(ctx, options)
		if err != nil {
			return fmt.Errorf("list %s: %w", o.name, err)
		}
		for i := range l.Items {
			if err := each(o.item(ctx, l.Items[i].Object)); err != nil {
				return err
			}
		}
		if options.Continue = l.GetContinue(); options.Continue == "" {
			return nil
		}
	}
}

// Get finds an object by its name where that is the id, as with item.metadata.name.
func (o *objects) Get(ctx context.Context, id string) (Item, error) {
	if o.spec.Namespace == "" || strings.TrimSpace(o.side.IDSource()) != "item.metadata.name" {
		return Item{}, fmt.Errorf("%w: give %s.kubernetes.namespace, and id: item.metadata.name", ErrNoGet, o.name)
	}
	r, err := o.resource()
	if err != nil {
		return Item{}, fmt.Errorf("get entity %q from %s: %w", id, o.name, err)
	}
	u, err := r.Get(ctx, id, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return Item{}, fmt.Errorf("get entity %q from %s: %w", id, o.name, ErrNotFound)
	case err != nil:
		return Item{}, fmt.Errorf("get entity %q from %s: %w", id, o.name, err)
	}
	return o.asked(ctx, id, u.Object)
}
