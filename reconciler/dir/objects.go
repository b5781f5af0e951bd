package dir

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
)

// contentAnnotation names the content of an object as it is written: a live
// object that bears the same was applied since.
const contentAnnotation = "changeover.dev/content"

const (
	groupCRD = "apiextensions.k8s.io"
	kindCRD  = "CustomResourceDefinition"
)

// prepare makes of the desired objects what is written.
func prepare(d reconciler.Desired, secrets bool) ([]render.Object, error) {
	if len(d.Objects) == 0 {
		return nil, errors.New("nothing is desired: an empty render is neither written nor pruned for")
	}
	scopes := definedScopes(d.Objects)
	seen := map[render.ID]bool{}
	out := make([]render.Object, 0, len(d.Objects))
	for _, o := range d.Objects {
		o, err := ours(o, d.Mark.Key)
		if err != nil {
			return nil, err
		}
		place(o, scopes, d.Mark.Key.Namespace)
		id := o.ID()
		switch {
		case id.Kind == "" || o.APIVersion() == "":
			return nil, fmt.Errorf("object %q has no apiVersion or no kind", id.Name)
		case id.Name == "":
			return nil, fmt.Errorf("%s has no name, and one that the API server makes up cannot be followed: set metadata.name", title(id))
		case seen[id]:
			return nil, fmt.Errorf("%s stands in the kustomization twice, once without its namespace: leave one out", title(id))
		case !secrets && holdsSecret(o):
			return nil, fmt.Errorf("%s: a Secret is not written as a manifest, where everybody could read it: take it out of the kustomization, and have it made in the cluster (by External Secrets or Sealed Secrets, say)", title(id))
		}
		seen[id] = true
		out = append(out, o)
	}
	return out, nil
}

// title names an object for people: KIND NAMESPACE/NAME.
func title(id render.ID) string {
	id.Group = ""
	return id.String()
}

// holdsSecret reports whether an object is a Secret or a list with one.
func holdsSecret(o render.Object) bool {
	id := o.ID()
	if id.Group == "" && (id.Kind == "Secret" || id.Kind == "SecretList") {
		return true
	}
	items, _ := o["items"].([]any)
	return slices.ContainsFunc(items, func(e any) bool {
		m, ok := e.(map[string]any)
		return ok && holdsSecret(m)
	})
}

// servers are the fields of metadata that are the API server's.
var servers = []string{"uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "managedFields", "selfLink"}

// ours is a copy of an object as it will be read back, marked as the plan's,
// without what only the server or a controller writes.
func ours(o render.Object, key plan.Key) (render.Object, error) {
	b, err := json.Marshal(o)
	var out map[string]any
	if err == nil {
		out, err = decodeJSON(b)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be written as JSON: %w", title(o.ID()), err)
	}
	delete(out, "status")
	m := mapIn(out, "metadata")
	for _, f := range servers {
		delete(m, f)
	}
	mapIn(m, "labels")[render.ManagedLabel] = "true"
	mapIn(m, "annotations")[render.PlanAnnotation] = key.String()
	return out, nil
}

// mapIn is a map in a map; it is made where it is not there.
func mapIn(m map[string]any, name string) map[string]any {
	c, ok := m[name].(map[string]any)
	if !ok {
		c = map[string]any{}
		m[name] = c
	}
	return c
}

// clone copies decoded JSON.
func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = clone(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = clone(e)
		}
		return out
	}
	return v
}

// signed is a copy of an object with the annotation that names its content.
func signed(o render.Object) (render.Object, error) {
	out := render.Object(clone(map[string]any(o)).(map[string]any))
	a := mapIn(mapIn(out, "metadata"), "annotations")
	delete(a, contentAnnotation)
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be written as JSON: %w", title(o.ID()), err)
	}
	sum := sha256.Sum256(b)
	a[contentAnnotation] = hex.EncodeToString(sum[:16])
	return out, nil
}

// namespaced are the kinds built into Kubernetes, and those of the Gateway API,
// that live in namespaces.
var namespaced = map[string][]string{
	"": {"ConfigMap", "Endpoints", "Event", "LimitRange", "PersistentVolumeClaim", "Pod", "PodTemplate", "ReplicationController",
		"ResourceQuota", "Secret", "Service", "ServiceAccount"},
	"apps":                      {"ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"},
	"autoscaling":               {"HorizontalPodAutoscaler"},
	"batch":                     {"CronJob", "Job"},
	"coordination.k8s.io":       {"Lease"},
	"discovery.k8s.io":          {"EndpointSlice"},
	"events.k8s.io":             {"Event"},
	"gateway.networking.k8s.io": {"BackendTLSPolicy", "GRPCRoute", "Gateway", "HTTPRoute", "ReferenceGrant", "TCPRoute", "TLSRoute", "UDPRoute"},
	"networking.k8s.io":         {"Ingress", "NetworkPolicy"},
	"policy":                    {"PodDisruptionBudget"},
	"rbac.authorization.k8s.io": {"Role", "RoleBinding"},
}

// outside are the kinds built into Kubernetes, and that of the Gateway API, that
// live in no namespace.
var outside = map[string][]string{
	"":                             {"Namespace", "Node", "PersistentVolume"},
	"admissionregistration.k8s.io": {"MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration"},
	"apiextensions.k8s.io":         {"CustomResourceDefinition"},
	"apiregistration.k8s.io":       {"APIService"},
	"gateway.networking.k8s.io":    {"GatewayClass"},
	"networking.k8s.io":            {"IngressClass"},
	"node.k8s.io":                  {"RuntimeClass"},
	"rbac.authorization.k8s.io":    {"ClusterRole", "ClusterRoleBinding"},
	"scheduling.k8s.io":            {"PriorityClass"},
	"storage.k8s.io":               {"CSIDriver", "StorageClass"},
}

// definedScopes says of the kinds that the objects themselves define whether
// they live in namespaces.
func definedScopes(objects []render.Object) map[render.Kind]bool {
	out := map[render.Kind]bool{}
	for _, o := range objects {
		if id := o.ID(); id.Group != groupCRD || id.Kind != kindCRD {
			continue
		}
		spec, _ := o["spec"].(map[string]any)
		names, _ := spec["names"].(map[string]any)
		group, _ := spec["group"].(string)
		kind, _ := names["kind"].(string)
		out[render.Kind{Group: group, Kind: kind}] = spec["scope"] == "Namespaced"
	}
	return out
}

// place puts an object into the plan's namespace where it names none, and takes
// the namespace from one whose kind has none. Kinds that are not known are left
// as they are.
func place(o render.Object, scopes map[render.Kind]bool, namespace string) {
	id := o.ID()
	inside, known := scopes[render.Kind{Group: id.Group, Kind: id.Kind}]
	switch {
	case slices.Contains(namespaced[id.Group], id.Kind):
		inside, known = true, true
	case slices.Contains(outside[id.Group], id.Kind):
		inside, known = false, true
	}
	m := mapIn(o, "metadata")
	switch {
	case known && !inside:
		delete(m, "namespace")
	case known && id.Namespace == "":
		m["namespace"] = namespace
	case id.Namespace == "":
		delete(m, "namespace")
	}
}

// stage is where an object stands in the order in which engines apply files:
// what others rely on comes first.
func stage(id render.ID) int {
	switch {
	case id.Group == "" && id.Kind == "Namespace":
		return 0
	case id.Group == groupCRD && id.Kind == kindCRD:
		return 1
	case id.Group == "admissionregistration.k8s.io":
		return 3 // has a say in later requests
	}
	return 2
}

// replicas that an object asks for; ok is false where it does not say and its
// kind has no default.
func replicas(o render.Object) (n int64, ok bool) {
	spec, _ := o["spec"].(map[string]any)
	switch v := spec["replicas"].(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case float64:
		return int64(v), true
	}
	id := o.ID()
	scaled := id.Group == "apps" && slices.Contains([]string{"Deployment", "ReplicaSet", "StatefulSet"}, id.Kind) ||
		id.Group == "" && id.Kind == "ReplicationController"
	return 1, scaled
}

// firstFew are the first few of many, in words.
func firstFew(parts []string) string {
	const shown = 3
	if len(parts) <= shown {
		return strings.Join(parts, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(parts[:shown], "; "), len(parts)-shown)
}
