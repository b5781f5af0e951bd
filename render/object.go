package render

import "strings"

// Object is one Kubernetes object as decoded JSON: maps, lists, strings, bools,
// int64 and float64.
type Object map[string]any

// ID names an object. Namespace is empty for kinds without one.
type ID struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String is KIND.GROUP NAMESPACE/NAME, as people read it.
func (i ID) String() string {
	s := i.Kind
	if i.Group != "" {
		s += "." + i.Group
	}
	if i.Namespace != "" {
		return s + " " + i.Namespace + "/" + i.Name
	}
	return s + " " + i.Name
}

// ID is the object's.
func (o Object) ID() ID {
	group, _, ok := strings.Cut(o.APIVersion(), "/")
	if !ok {
		group = "" // the core group has a version only
	}
	return ID{Group: group, Kind: o.Kind(), Namespace: o.meta("namespace"), Name: o.meta("name")}
}

// APIVersion of the object.
func (o Object) APIVersion() string { s, _ := o["apiVersion"].(string); return s }

// Kind of the object.
func (o Object) Kind() string { s, _ := o["kind"].(string); return s }

// Annotation returns an annotation's value; empty where there is none.
func (o Object) Annotation(name string) string {
	m, _ := o["metadata"].(map[string]any)
	a, _ := m["annotations"].(map[string]any)
	s, _ := a[name].(string)
	return s
}

func (o Object) meta(field string) string {
	m, _ := o["metadata"].(map[string]any)
	s, _ := m[field].(string)
	return s
}
