package status

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// Unsaid asks for as many replicas as the live object itself does.
const Unsaid = -1

// idle are the kinds that are ready as soon as they are there, by group.
var idle = map[string][]string{
	"":                             {"ConfigMap", "Secret", "ServiceAccount", "LimitRange", "ResourceQuota", "Endpoints"},
	"rbac.authorization.k8s.io":    nil, // nil: all kinds of the group
	"admissionregistration.k8s.io": nil,
	"scheduling.k8s.io":            nil,
	"node.k8s.io":                  nil,
	"storage.k8s.io":               {"StorageClass", "CSIDriver"},
	"networking.k8s.io":            {"NetworkPolicy", "IngressClass"},
	"discovery.k8s.io":             nil,
	"policy":                       nil,
	"autoscaling":                  nil,
}

// Awaited reports whether objects of a kind can be there and yet not be ready.
func Awaited(group, kind string) bool {
	kinds, ok := idle[group]
	if !ok {
		return true
	}
	if kinds == nil {
		return false
	}
	for _, k := range kinds {
		if k == kind {
			return false
		}
	}
	return true
}

// Of reports whether a live object is ready, and if not, why. Replicas is how
// many of a workload must be, Unsaid for as many as it asks for itself; those
// beyond do not count.
func Of(o map[string]any, replicas int64) (bool, string) {
	meta := child(o, "metadata")
	if str(meta, "deletionTimestamp") != "" {
		return false, Deleted(o)
	}
	group, _, ok := strings.Cut(str(o, "apiVersion"), "/")
	if !ok {
		group = ""
	}
	kind := str(o, "kind")
	if !Awaited(group, kind) {
		return true, ""
	}
	switch {
	case group == gatewayGroup && kind == "Gateway":
		return gateway(o)
	case group == gatewayGroup && strings.HasSuffix(kind, "Route"):
		return Route(o)
	case group == "batch" && kind == "Job":
		return job(o)
	case group == "apiextensions.k8s.io" && kind == "CustomResourceDefinition":
		return definition(o)
	}
	if read := workloads[group+"/"+kind]; read != nil {
		why := unseen(o)
		if why == "" {
			why = read(o, replicas)
		}
		return why == "", why
	}
	return other(o)
}

// Deleted says what an object that is being deleted waits for.
func Deleted(o map[string]any) string {
	names, _ := child(o, "metadata")["finalizers"].([]any)
	if len(names) == 0 {
		return "it is being deleted"
	}
	text := make([]string, len(names))
	for i, n := range names {
		text[i] = fmt.Sprint(n)
	}
	return "it is being deleted and waits for its finalizers: " + strings.Join(text, ", ")
}

// unseen says that a controller has not seen the current generation yet.
func unseen(o map[string]any) string {
	generation, ok := number(child(o, "metadata")["generation"])
	observed, _ := number(child(o, "status")["observedGeneration"])
	if ok && observed < generation {
		return "its controller has not seen the change yet"
	}
	return ""
}

// job is ready once it is complete.
func job(o map[string]any) (bool, string) {
	list := conditions(child(o, "status"))
	if c, ok := find(list, "Complete"); ok && c.status == "True" {
		return true, ""
	}
	for _, t := range []string{"Failed", "FailureTarget"} {
		if c, ok := find(list, t); ok && c.status == "True" {
			return false, "it failed" + c.why()
		}
	}
	if suspended, _ := child(o, "spec")["suspend"].(bool); suspended {
		return false, "it is suspended"
	}
	wanted, ok := number(child(o, "spec")["completions"])
	if !ok {
		wanted = 1
	}
	done, _ := number(child(o, "status")["succeeded"])
	return false, fmt.Sprintf("%d of %d completions have succeeded", done, wanted)
}

// definition is ready once its kind is served.
func definition(o map[string]any) (bool, string) {
	list := conditions(child(o, "status"))
	if c, ok := find(list, "NamesAccepted"); ok && c.status == "False" {
		return false, "its names are not accepted" + c.why()
	}
	if c, ok := find(list, "Established"); !ok || c.status != "True" {
		return false, "it is not established" + c.why()
	}
	return true, ""
}

// other leaves the rest to kstatus: the kinds that it knows, and for those that
// nobody knows the usual conditions.
func other(o map[string]any) (bool, string) {
	r, err := status.Compute(&unstructured.Unstructured{Object: o})
	switch {
	case err != nil:
		return false, "its status cannot be read"
	case r.Status == status.CurrentStatus:
		return true, ""
	}
	if c, ok := find(conditions(child(o, "status")), "Ready"); ok && c.status != "True" {
		return false, "Ready is " + cmp.Or(c.status, "Unknown") + c.why()
	}
	return false, cmp.Or(clip(r.Message), "it is "+string(r.Status))
}
