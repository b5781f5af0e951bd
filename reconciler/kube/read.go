package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// Read implements reconciler.Cluster.
func (c *Cluster) Read(ctx context.Context, p *plan.Plan, names []string) map[string]gates.Object {
	out := make(map[string]gates.Object, len(names))
	acc, err := c.o.Client.ForPlan(p)
	var mu sync.Mutex
	errs := each(ctx, c.o.Log, names, func(ctx context.Context, name string) error {
		var o gates.Object
		o.Err = err
		if err == nil {
			o.Value, o.Err = readOne(ctx, acc, p, name)
		}
		mu.Lock()
		defer mu.Unlock()
		out[name] = o
		return o.Err
	})
	for i, name := range names {
		if _, ok := out[name]; !ok {
			err := errs[i]
			if errors.Is(err, errSkipped) {
				err = errors.New("the API server did not answer for another object")
			}
			out[name] = gates.Object{Err: err}
		}
	}
	return out
}

func readOne(ctx context.Context, acc *client.Client, p *plan.Plan, name string) (map[string]any, error) {
	ref, ok := p.Spec.Objects[name]
	if !ok {
		return nil, fmt.Errorf("read object %q: the plan does not name it", name)
	}
	gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	if gvk.Group == "" && gvk.Kind == "Secret" {
		return nil, fmt.Errorf("read object %q: a Secret is not read for gates", name)
	}
	m, err := mapping(ctx, acc, gvk)
	if err != nil {
		return nil, fmt.Errorf("read object %q: %w", name, err)
	}
	namespace := ref.Namespace
	if namespace == "" {
		namespace = p.Metadata.Namespace
	}
	o, err := acc.Resource(m, namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		where := ref.Name
		if m.Scope.Name() == meta.RESTScopeNameNamespace {
			where = namespace + "/" + ref.Name
		}
		return nil, fmt.Errorf("read object %q: %s %s: %w", name, ref.Kind, where, client.Explain(err))
	}
	o.SetManagedFields(nil) // large, and of no use to a gate
	return o.Object, nil
}

// Unmet implements reconciler.Cluster.
func (c *Cluster) Unmet(ctx context.Context, p *plan.Plan) ([]string, error) {
	want := p.Spec.Requires
	if want == nil {
		return nil, nil
	}
	var out []string
	if want.Kubernetes != "" {
		v, err := c.version(ctx)
		if err != nil {
			return nil, err
		}
		ok, err := want.Allows(v)
		if err != nil {
			return nil, err
		}
		if !ok {
			out = append(out, fmt.Sprintf("Kubernetes %s is required, and the cluster has %s", want.Kubernetes, v))
		}
	}
	for _, api := range want.APIs {
		group, ver, kind, err := plan.ParseAPI(api)
		if err != nil {
			return nil, err
		}
		switch _, err := mapping(ctx, c.o.Client, schema.GroupVersionKind{Group: group, Version: ver, Kind: kind}); {
		case errors.Is(err, client.ErrNoKind):
			out = append(out, fmt.Sprintf("API %s is required, and the cluster does not serve it", api))
		case err != nil:
			return nil, err
		}
	}
	return slices.Clip(out), nil
}

// version of Kubernetes, as the API server tells it.
func (c *Cluster) version(ctx context.Context) (string, error) {
	type answer struct {
		v   *version.Info
		err error
	}
	got := make(chan answer, 1)
	go func() { // it has a timeout of its own, longer than ctx may wait
		v, err := c.o.Client.Discovery().ServerVersion()
		got <- answer{v, err}
	}()
	select {
	case a := <-got:
		if a.err != nil {
			return "", fmt.Errorf("ask for the version of Kubernetes: %w", client.Explain(a.err))
		}
		return a.v.GitVersion, nil
	case <-ctx.Done():
		return "", fmt.Errorf("ask for the version of Kubernetes: %w", client.Explain(ctx.Err()))
	}
}
