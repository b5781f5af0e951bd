package transform

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/transform"
)

// pageSize of what is listed to be looked up.
const pageSize = 500

// pageTimeout bounds the reading of one page.
const pageTimeout = 30 * time.Second

// seen is what is known of a live object of one of the kinds of the targets.
type seen struct {
	uid, version string
	// from is where it says to come from; empty for one that no transform made.
	from transform.Origin
	// mine: it bears the labels of this transform of this plan.
	mine bool
}

// index is every live object of the kinds of the targets.
type index map[render.ID]seen

// readIndex lists the metadata of all objects of the kinds of the targets.
func (j *job) readIndex(ctx context.Context) (index, error) {
	out := index{}
	plan := transform.PlanValue(j.key)
	for _, gvk := range j.t.Kinds() {
		m, err := j.mapping(gvk.APIVersion, gvk.Kind)
		if err != nil {
			return nil, err
		}
		namespace := j.t.Plan.From.Namespace
		if m.Scope.Name() != meta.RESTScopeNameNamespace {
			namespace = ""
		}
		err = j.eachMeta(ctx, m, namespace, func(o *metav1.PartialObjectMetadata) {
			from, _ := transform.ParseOrigin(o.Annotations[transform.FromAnnotation])
			id := render.ID{Group: m.GroupVersionKind.Group, Kind: m.GroupVersionKind.Kind, Namespace: o.Namespace, Name: o.Name}
			out[id] = seen{uid: string(o.UID), version: o.ResourceVersion, from: from,
				mine: o.Labels[transform.Label] == j.t.Plan.Name && o.Labels[transform.PlanLabel] == plan}
		})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", m.Resource.Resource, client.Explain(err))
		}
	}
	return out, nil
}

func (j *job) eachMeta(ctx context.Context, m *meta.RESTMapping, namespace string, do func(*metav1.PartialObjectMetadata)) error {
	r := j.acc.Metadata().Resource(m.Resource).Namespace(namespace)
	for next := ""; ; {
		page, cancel := context.WithTimeout(ctx, pageTimeout)
		list, err := r.List(page, metav1.ListOptions{Limit: pageSize, Continue: next})
		cancel()
		if err != nil {
			return err
		}
		for i := range list.Items {
			do(&list.Items[i])
		}
		if next = list.Continue; next == "" {
			return nil
		}
	}
}

// mapping finds the resource of a kind.
func (j *job) mapping(apiVersion, kind string) (*meta.RESTMapping, error) {
	m, err := j.acc.Mapping(schema.FromAPIVersionAndKind(apiVersion, kind))
	if errors.Is(err, client.ErrNoKind) {
		return nil, fmt.Errorf("transform %s: %w", j.t.Plan.Name, err)
	}
	return m, err
}
