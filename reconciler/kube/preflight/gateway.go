package preflight

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

const gatewayGroup = "gateway.networking.k8s.io"

func gatewayKind(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: gatewayGroup, Version: "v1", Kind: kind}
}

// gateway asks for the Gateways that the plan's HTTPRoute names, their classes,
// and the Services to which it sends requests.
func (q *inquiry) gateway(ctx context.Context) error {
	g := q.Plan.Spec.Gateway
	if g == nil || g.GatewayAPI == nil {
		return nil
	}
	if _, err := q.own.Mapping(gatewayKind("HTTPRoute")); err != nil {
		q.add("gateway", Failed, "the Gateway API is not installed: %v", err)
		return nil
	}
	for _, verb := range []string{"get", "list", "watch", "create", "patch"} {
		if err := q.may(ctx, q.as, access{verb: verb, group: gatewayGroup, resource: "httproutes", namespace: g.GatewayAPI.Namespace}); err != nil {
			return err
		}
	}
	for _, ref := range g.GatewayAPI.ParentRefs {
		q.parent(ctx, ref)
	}
	for _, s := range []*plan.Service{q.Plan.Spec.Backends.Legacy.Service, q.Plan.Spec.Backends.Modern.Service} {
		if s == nil {
			continue
		}
		if _, err := q.get(ctx, schema.GroupVersionKind{Version: "v1", Kind: "Service"}, s.Namespace, s.Name); err != nil {
			q.add("backends", Warn, "Service %s/%s: %v", s.Namespace, s.Name, err)
			continue
		}
		q.add("backends", OK, "Service %s/%s is there", s.Namespace, s.Name)
	}
	return nil
}

func (q *inquiry) get(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	m, err := q.own.Mapping(gvk)
	if err != nil {
		return nil, err
	}
	o, err := q.as.Resource(m, namespace).Get(ctx, name, metav1.GetOptions{})
	return o, client.Explain(err)
}

// parent looks at one Gateway and at its class.
func (q *inquiry) parent(ctx context.Context, ref plan.ParentRef) {
	o, err := q.get(ctx, gatewayKind("Gateway"), ref.Namespace, ref.Name)
	if err != nil {
		q.add("gateway", Failed, "Gateway %s/%s: %v", ref.Namespace, ref.Name, err)
		return
	}
	name, _, _ := unstructured.NestedString(o.Object, "spec", "gatewayClassName")
	class, err := q.get(ctx, gatewayKind("GatewayClass"), "", name)
	if err != nil {
		q.add("gateway", Failed, "GatewayClass %s of Gateway %s/%s: %v", name, ref.Namespace, ref.Name, err)
		return
	}
	has := features(class.Object)
	switch lack := lacking(q.Features, has); {
	case len(lack) > 0:
		q.add("gateway", Failed, "GatewayClass %s does not offer what the plan needs: %s; use another class, or gateway: {bridge: {}}", name, list(lack))
	case len(has) == 0 && len(q.Features) > 0:
		q.add("gateway", Warn, "GatewayClass %s does not say what it offers; the plan needs: %s", name, list(q.Features))
	default:
		q.add("gateway", OK, "Gateway %s/%s of class %s offers what the plan needs", ref.Namespace, ref.Name, name)
	}
}

// features of a class: objects with a name, and in older releases names alone.
func features(class map[string]any) []string {
	all, _, _ := unstructured.NestedSlice(class, "status", "supportedFeatures")
	var out []string
	for _, f := range all {
		switch v := f.(type) {
		case string:
			out = append(out, v)
		case map[string]any:
			if s, ok := v["name"].(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}
