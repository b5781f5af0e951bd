package kustomize

import (
	"fmt"

	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/resmap"

	"github.com/changeover-dev/changeover/render"
)

// export writes the objects as JSON.
func export(m resmap.ResMap) ([][]byte, error) {
	out := make([][]byte, 0, m.Size())
	for _, r := range m.Resources() {
		b, err := r.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("write %s as JSON: %w", r.CurId(), err)
		}
		out = append(out, b)
	}
	return out, nil
}

// objects checks what was built. Errors name objects and repeat nothing else of
// them.
func objects(all [][]byte, namespace string) (out []render.Object, size int, err error) {
	seen := map[render.ID]bool{}
	users := 0
	for _, b := range all {
		o := render.Object{}
		if err := json.UnmarshalCaseSensitivePreserveInts(b, (*map[string]any)(&o)); err != nil {
			return nil, 0, fmt.Errorf("an object is no JSON object")
		}
		if err := identity(o); err != nil {
			return nil, 0, err
		}
		if marked(o) {
			inNamespace(o, namespace)
		} else {
			users++
		}
		id := o.ID()
		if id.Namespace == "" {
			id.Namespace = namespace // where it will be, if its kind has namespaces
		}
		if seen[id] {
			return nil, 0, fmt.Errorf("%s is there twice", o.ID())
		}
		seen[id] = true
		out, size = append(out, o), size+len(b)
	}
	if users == 0 {
		return nil, 0, fmt.Errorf("no objects came of it: list files with objects in `resources`, or leave `cluster` out of the phase to keep what is there")
	}
	return out, size, nil
}

// identity refuses objects that cannot be applied by name.
func identity(o render.Object) error {
	meta, _ := o["metadata"].(map[string]any)
	id := o.ID()
	switch {
	case o.Kind() == "":
		return fmt.Errorf("the object %q has no kind", id.Name)
	case o.APIVersion() == "":
		return fmt.Errorf("%s has no apiVersion", id)
	case meta["generateName"] != nil:
		return fmt.Errorf("%s has metadata.generateName: give it a metadata.name alone, so that it is the same object each time", id)
	case o.Kind() == "List":
		return fmt.Errorf("a List is left: list its objects one by one")
	case id.Name == "":
		return fmt.Errorf("a %s has no metadata.name", o.Kind())
	}
	return nil
}

// inNamespace gives an object a namespace if it has none.
func inNamespace(o render.Object, namespace string) {
	if meta, ok := o["metadata"].(map[string]any); ok && o.ID().Namespace == "" {
		meta["namespace"] = namespace
	}
}

// marked reports whether an object is the ConfigMap with the position, and
// removes what it is known by.
func marked(o render.Object) bool {
	if o.Annotation(mark) == "" {
		return false
	}
	meta, _ := o["metadata"].(map[string]any)
	notes, _ := meta["annotations"].(map[string]any)
	if delete(notes, mark); len(notes) == 0 {
		delete(meta, "annotations")
	}
	return true
}
