package kube

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
)

func metaOf(o map[string]any) map[string]any {
	m, _ := o["metadata"].(map[string]any)
	return m
}

func versionOf(o map[string]any) string {
	s, _ := metaOf(o)["resourceVersion"].(string)
	return s
}

func uidOf(o map[string]any) types.UID {
	s, _ := metaOf(o)["uid"].(string)
	return types.UID(s)
}

func isDeleted(o map[string]any) bool {
	s, _ := metaOf(o)["deletionTimestamp"].(string)
	return s != ""
}

// applied is the set of fields of a live object that are Changeover's, and the
// version in which it was applied; nil where none is.
func applied(live map[string]any) (fields map[string]any, apiVersion string) {
	entries, _ := metaOf(live)["managedFields"].([]any)
	for _, e := range entries {
		m, _ := e.(map[string]any)
		if m["manager"] != render.FieldManager || m["operation"] != "Apply" || m["subresource"] != nil {
			continue
		}
		fields, _ = m["fieldsV1"].(map[string]any)
		apiVersion, _ = m["apiVersion"].(string)
		return fields, apiVersion
	}
	return nil, ""
}

// wasApplied reports whether Changeover applied a live object once.
func wasApplied(live map[string]any) bool {
	fields, _ := applied(live)
	return fields != nil
}

// ownsReplicas reports whether spec.replicas is Changeover's.
func ownsReplicas(live map[string]any) bool {
	fields, _ := applied(live)
	spec, _ := fields["f:spec"].(map[string]any)
	_, ok := spec["f:replicas"]
	return ok
}

func sameMark(a, b reconciler.Mark) bool {
	if a.Key != b.Key || a.Stop != b.Stop || !a.Since.Equal(b.Since) || a.Revision != b.Revision || len(a.Holds) != len(b.Holds) {
		return false
	}
	for i := range a.Holds {
		if a.Holds[i] != b.Holds[i] {
			return false
		}
	}
	return true
}
