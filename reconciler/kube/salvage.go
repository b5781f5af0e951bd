package kube

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
)

// salvage finds what is live and was applied for a plan whose inventory is lost:
// among the kinds and namespaces of the items.
func (c *Cluster) salvage(ctx context.Context, key plan.Key, acc *client.Client, items []*item) (map[render.ID]bool, error) {
	found := map[render.ID]bool{}
	asked := map[watchKey]bool{}
	for _, it := range items {
		if it.mapping == nil || it.err != nil {
			continue
		}
		w := watchKey{resource: it.mapping.Resource, namespace: it.id.Namespace}
		if asked[w] {
			continue
		}
		asked[w] = true
		next := ""
		for {
			list, err := acc.Metadata().Resource(w.resource).Namespace(w.namespace).List(ctx,
				metav1.ListOptions{LabelSelector: managed, Limit: pageSize, Continue: next})
			if apierrors.IsForbidden(err) {
				c.o.Log.Warn("what an earlier stop applied may not be found again", "plan", key.String(), "kind", it.id.Kind, "why", client.Explain(err).Error())
				break
			}
			if err != nil {
				return nil, fmt.Errorf("make the inventory anew: list objects of kind %s: %w", it.id.Kind, client.Explain(err))
			}
			for i := range list.Items {
				o := &list.Items[i]
				id := render.ID{Group: it.id.Group, Kind: it.id.Kind, Namespace: o.Namespace, Name: o.Name}
				if o.Annotations[render.PlanAnnotation] == key.String() && id != inventoryID(key) && appliedByUs(o) {
					found[id] = true
				}
			}
			if next = list.Continue; next == "" {
				break
			}
		}
	}
	return found, nil
}

// appliedByUs tells what Changeover applied from a copy of it that a person
// made, which has the same marks.
func appliedByUs(o metav1.Object) bool {
	return slices.ContainsFunc(o.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == render.FieldManager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == ""
	})
}
