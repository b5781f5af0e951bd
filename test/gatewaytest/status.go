package gatewaytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// condition is one that holds, or does not for a reason.
func condition(kind, good string, f finding, generation int64) metav1.Condition {
	c := metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: good, ObservedGeneration: generation}
	if f != (finding{}) {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, f.reason, f.message
	}
	return c
}

// since keeps the times of conditions whose status stays.
func since(now time.Time, before, after []metav1.Condition) []metav1.Condition {
	for i := range after {
		after[i].LastTransitionTime = metav1.NewTime(now).Rfc3339Copy()
		for _, b := range before {
			if b.Type == after[i].Type && b.Status == after[i].Status {
				after[i].LastTransitionTime = b.LastTransitionTime
			}
		}
	}
	return after
}

// parents are the entries of a route after this controller's verdicts: those
// of other controllers stay, its own for parents that are none any more go.
func (g *Gateway) parents(w *world, r *httpRoute, j *judged, now time.Time) (parents []parentStatus) {
	parents = []parentStatus{} // an empty list may be written, none may not
	done := map[parentRef]bool{}
	mine := func(ref parentRef, before []metav1.Condition) parentStatus {
		done[ref] = true
		v := j.verdicts[ref]
		return parentStatus{ParentRef: ref, ControllerName: g.o.ControllerName, Conditions: since(now, before, []metav1.Condition{
			condition("Accepted", "Accepted", v.accepted, j.generation), condition("ResolvedRefs", "ResolvedRefs", v.resolved, j.generation),
		})}
	}
	for _, p := range r.Status.Parents {
		_, judged := j.verdicts[p.ParentRef]
		switch {
		case p.ControllerName != g.o.ControllerName || w.foreign[gatewayOf(r, p.ParentRef)] && slices.Contains(r.Spec.ParentRefs, p.ParentRef):
			parents = append(parents, p)
		case judged && !done[p.ParentRef]:
			parents = append(parents, mine(p.ParentRef, p.Conditions))
		}
	}
	for _, ref := range r.Spec.ParentRefs {
		if _, judged := j.verdicts[ref]; judged && !done[ref] {
			parents = append(parents, mine(ref, nil))
		}
	}
	return parents
}

// gatewayStatus is that of a Gateway which is served at this URL.
func (g *Gateway) gatewayStatus(o *gatewayObject, url string, attached map[string]int64, now time.Time) gatewayStatus {
	generation := o.Metadata.Generation
	s := gatewayStatus{Addresses: []address{{"IPAddress", "127.0.0.1"}, {URLAnnotation, url}}, Listeners: []listenerStatus{}}
	var unfit finding
	for i, l := range o.Spec.Listeners {
		var before []metav1.Condition
		for _, b := range o.Status.Listeners {
			if b.Name == l.Name {
				before = b.Conditions
			}
		}
		f := o.unfit(i)
		if f != (finding{}) {
			unfit = found("ListenersNotValid", "listener %q: %s", l.Name, f.message)
		}
		programmed := f
		if f != (finding{}) {
			programmed.reason = "Invalid"
		}
		s.Listeners = append(s.Listeners, listenerStatus{
			Name: l.Name, AttachedRoutes: attached[l.Name], SupportedKinds: []groupKind{{apiGroup, "HTTPRoute"}},
			Conditions: since(now, before, []metav1.Condition{
				condition("Accepted", "Accepted", f, generation), condition("Programmed", "Programmed", programmed, generation),
				condition("ResolvedRefs", "ResolvedRefs", finding{}, generation),
			}),
		})
	}
	s.Conditions = since(now, o.Status.Conditions, []metav1.Condition{
		condition("Accepted", "Accepted", unfit, generation), condition("Programmed", "Programmed", finding{}, generation),
	})
	return s
}

// classStatus says what the class can do.
func (g *Gateway) classStatus(c *gatewayClass, now time.Time) classStatus {
	s := classStatus{Conditions: since(now, c.Status.Conditions, []metav1.Condition{
		condition("Accepted", "Accepted", finding{}, c.Metadata.Generation),
	})}
	if !g.o.Unpublished {
		for _, name := range slices.Sorted(slices.Values(g.o.Features)) {
			s.SupportedFeatures = append(s.SupportedFeatures, feature{name})
		}
	}
	return s
}

// write writes a status where it differs; a conflict is for the next time.
func (g *Gateway) write(ctx context.Context, gvr schema.GroupVersionResource, o *unstructured.Unstructured, before, after any) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	status, err := runtime.DefaultUnstructuredConverter.ToUnstructured(after)
	if err != nil {
		return fmt.Errorf("write the status of %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	o = o.DeepCopy()
	o.Object["status"] = status
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err = g.client.Resource(gvr).Namespace(o.GetNamespace()).UpdateStatus(ctx, o, metav1.UpdateOptions{})
	if err != nil && !apierrors.IsNotFound(err) { // what is gone has no status
		return fmt.Errorf("write the status of %s %s: %w", o.GetKind(), strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/"), err)
	}
	return nil
}
