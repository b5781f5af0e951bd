package backup

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kept is what of an object's metadata is the object's own. The rest is the API
// server's: UID, resourceVersion, generation, times, managedFields.
var kept = []string{"name", "namespace", "labels", "annotations", "finalizers"}

// strip is a live object without what the API server keeps for itself. It
// shares what it does not change. UIDs of owners are left out: an owner that was
// made again has another.
func strip(live map[string]any) map[string]any {
	out := make(map[string]any, len(live))
	for k, v := range live {
		out[k] = v
	}
	meta, _ := live["metadata"].(map[string]any)
	own := map[string]any{}
	for _, k := range kept {
		if v, ok := meta[k]; ok {
			own[k] = v
		}
	}
	if refs, ok := meta["ownerReferences"].([]any); ok {
		var named []any
		for _, r := range refs {
			ref, _ := r.(map[string]any)
			n := make(map[string]any, len(ref))
			for k, v := range ref {
				if k != "uid" {
					n[k] = v
				}
			}
			named = append(named, n)
		}
		own["ownerReferences"] = named
	}
	out["metadata"] = own
	return out
}

// sums of a stripped object: of all of it, and of all but its status.
type sums struct{ whole, body string }

// encode is a stripped object as one line, with its sums. Of equal objects the
// lines are equal: keys are sorted.
func encode(o map[string]any) ([]byte, sums, error) {
	line, err := json.Marshal(o)
	if err != nil {
		return nil, sums{}, fmt.Errorf("encode the object: it holds a value that JSON cannot")
	}
	s := sums{whole: digest(line)}
	s.body = s.whole
	if _, ok := o["status"]; ok {
		body, err := json.Marshal(without(o, "status"))
		if err != nil {
			return nil, sums{}, fmt.Errorf("encode the object: it holds a value that JSON cannot")
		}
		s.body = digest(body)
	}
	return line, s, nil
}

// decode reads a line.
func decode(line []byte) (map[string]any, error) {
	var o map[string]any
	if err := utiljson.Unmarshal(line, &o); err != nil {
		return nil, fmt.Errorf("it is no JSON")
	}
	return o, nil
}

func without(o map[string]any, field string) map[string]any {
	out := make(map[string]any, len(o))
	for k, v := range o {
		if k != field {
			out[k] = v
		}
	}
	return out
}

func digest(parts ...[]byte) string {
	sum := sha256.Sum256(bytes.Join(parts, nil))
	return hex.EncodeToString(sum[:])
}

// ID names an object.
type ID struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}

// String is KIND NAMESPACE/NAME, as in the errors of a cluster.
func (i ID) String() string {
	if i.Namespace == "" {
		return i.Kind + " " + i.Name
	}
	return i.Kind + " " + i.Namespace + "/" + i.Name
}

func (i ID) compare(o ID) int {
	return cmp.Or(strings.Compare(i.APIVersion, o.APIVersion), strings.Compare(i.Kind, o.Kind),
		strings.Compare(i.Namespace, o.Namespace), strings.Compare(i.Name, o.Name))
}

func (i ID) gvk() schema.GroupVersionKind { return schema.FromAPIVersionAndKind(i.APIVersion, i.Kind) }

func idOf(o map[string]any) ID {
	meta, _ := o["metadata"].(map[string]any)
	text := func(m map[string]any, k string) string { s, _ := m[k].(string); return s }
	return ID{APIVersion: text(o, "apiVersion"), Kind: text(o, "kind"), Namespace: text(meta, "namespace"), Name: text(meta, "name")}
}

func (i ID) isNamespace() bool { return i.APIVersion == "v1" && i.Kind == "Namespace" }
func (i ID) isDefinition() bool {
	return i.Kind == "CustomResourceDefinition" && strings.HasPrefix(i.APIVersion, "apiextensions.k8s.io/")
}

// rank is the order in which objects are saved and restored: what others need
// to be there comes first.
func (i ID) rank() int {
	switch {
	case i.isNamespace():
		return 0
	case i.isDefinition():
		return 1
	}
	return 2
}
