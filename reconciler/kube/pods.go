package kube

import (
	"cmp"
	"context"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var podsResource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// maxPods bounds how many pods of a workload are asked why they do not run.
const maxPods = 50

// podOf says of a workload that is not ready what keeps its first pod that
// tells; empty where none does, or where the account may not list pods.
func (p *pass) podOf(ctx context.Context, live map[string]any) string {
	o := unstructured.Unstructured{Object: live}
	switch o.GetKind() {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job":
	default:
		return ""
	}
	raw, ok, _ := unstructured.NestedMap(live, "spec", "selector")
	var by metav1.LabelSelector
	if !ok || runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &by) != nil {
		return ""
	}
	selector, err := metav1.LabelSelectorAsSelector(&by)
	if err != nil || selector.Empty() {
		return ""
	}
	list, err := p.acc.Dynamic().Resource(podsResource).Namespace(o.GetNamespace()).List(ctx,
		metav1.ListOptions{LabelSelector: selector.String(), Limit: maxPods})
	if err != nil {
		return "" // the workload's own words must do
	}
	slices.SortFunc(list.Items, func(a, b unstructured.Unstructured) int { return cmp.Compare(a.GetName(), b.GetName()) })
	for _, pod := range list.Items {
		if why := podWaits(pod.Object); why != "" {
			return "pod " + pod.GetName() + ": " + why
		}
	}
	return ""
}

// podWaits says why a pod does not run; empty where it does not tell, or is
// about to.
func podWaits(pod map[string]any) string {
	st, _ := pod["status"].(map[string]any)
	for _, field := range []string{"initContainerStatuses", "containerStatuses"} {
		list, _ := st[field].([]any)
		for _, e := range list {
			reason, _, _ := unstructured.NestedString(asMap(e), "state", "waiting", "reason")
			if reason != "" && reason != "ContainerCreating" && reason != "PodInitializing" {
				return reason
			}
		}
	}
	list, _ := st["conditions"].([]any)
	for _, e := range list {
		c := asMap(e)
		if c["type"] == "PodScheduled" && c["status"] == "False" {
			msg, _ := c["message"].(string)
			msg, _, _ = strings.Cut(msg, " preemption:")
			return "it cannot be scheduled: " + strings.TrimRight(msg, "., ")
		}
	}
	return ""
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}
