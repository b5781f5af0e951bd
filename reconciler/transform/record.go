package transform

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
)

// record is what is remembered of one source.
type record struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	// Read is the hash of the content that was transformed.
	Read string `json:"read"`
	// Gone: the source was deleted. Its targets are orphans.
	Gone    bool      `json:"gone,omitempty"`
	Targets []written `json:"targets,omitempty"`
}

// written is one target as it was left.
type written struct {
	Target     string    `json:"target"`
	APIVersion string    `json:"apiVersion"`
	ID         render.ID `json:"id"`
	UID        string    `json:"uid"`
	Version    string    `json:"version"` // resourceVersion
	Sent       string    `json:"sent"`    // hash of what was applied
	Live       string    `json:"live"`    // hash of what became of it
	// Created: it was not there before.
	Created bool `json:"created,omitempty"`
	// Former: the source does not give it any more; it is an orphan.
	Former bool `json:"former,omitempty"`
}

func (r *record) key() string { return r.Namespace + "/" + r.Name }

func (r *record) target(id render.ID) *written {
	for i := range r.Targets {
		if r.Targets[i].ID == id {
			return &r.Targets[i]
		}
	}
	return nil
}

// head is what is remembered of one transform as a whole.
type head struct {
	// Digest is of the transform that the records are of.
	Digest string `json:"digest"`
	// Begun is the task that the report is of.
	Begun string `json:"begun,omitempty"`
	// Task that was done last, and Undone the one that took it back.
	Task   string `json:"task,omitempty"`
	Undone string `json:"undone,omitempty"`
	Report Report `json:"report"`
}

// Report is what came of a transform.
type Report struct {
	Sources int `json:"sources"`
	// Targets are how many objects there are of each target.
	Targets map[string]int `json:"targets,omitempty"`
	Passes  int            `json:"passes"`
	// Changed, Added and Deleted are sources that others changed while the
	// transform ran. The first two were transformed again.
	Changed int `json:"changed"`
	Added   int `json:"added"`
	Deleted int `json:"deleted"`
	// Restless: sources still changed in the last pass.
	Restless bool `json:"restless,omitempty"`
	// Compared are the sources whose targets were read back, Sample the
	// percentage that was asked for.
	Compared int          `json:"compared"`
	Sample   plan.Percent `json:"sample"`
	// Signature is over the sources that were transformed: UID and content.
	Signature string `json:"signature,omitempty"`
	// Orphaned targets have no source that gives them; Orphans are the first
	// of them.
	Orphaned int      `json:"orphaned"`
	Orphans  []string `json:"orphans,omitempty"`
	// Removed, and Kept with the reasons of the first, are of an Undo.
	Removed int      `json:"removed,omitempty"`
	Kept    int      `json:"kept,omitempty"`
	KeptWhy []string `json:"keptWhy,omitempty"`
}

// maxNamed bounds the objects that a report names.
const maxNamed = 100

// taskID tells one task from the next, after a restart too.
func taskID(t reconciler.Task) string {
	return hash(map[string]any{"revision": string(t.Version.Revision), "stop": t.Stop.String(), "from": t.From.String(), "since": t.Since.UTC().String(), "back": t.Back})
}

// hash of a value, which is written with sorted keys.
func hash(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		b = fmt.Appendf(nil, "%v", v) // no value of an API server gets here
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// serverFields of metadata say nothing of the content.
var serverFields = []string{"managedFields", "resourceVersion", "generation", "selfLink"}

// content of a source is all that expressions may hang on.
func content(o map[string]any) map[string]any { return without(o, serverFields, false) }

// liveHash is of all that people and controllers say of an object, but its status.
func liveHash(o map[string]any) string {
	return hash(without(o, append([]string{"creationTimestamp", "uid"}, serverFields...), true))
}

func without(o map[string]any, fields []string, status bool) map[string]any {
	out := maps.Clone(o)
	if status {
		delete(out, "status")
	}
	if meta, ok := o["metadata"].(map[string]any); ok {
		meta = maps.Clone(meta)
		for _, f := range fields {
			delete(meta, f)
		}
		out["metadata"] = meta
	}
	return out
}

// differs is the path of the first field that was sent and is not so in a live
// object; empty: none. Lists are equal as a whole.
func differs(sent, live any, path string) string {
	switch x := sent.(type) {
	case map[string]any:
		m, ok := live.(map[string]any)
		if !ok {
			return path
		}
		for _, k := range sortedKeys(x) {
			if at := differs(x[k], m[k], path+"."+k); at != "" {
				return at
			}
		}
		return ""
	case []any:
		l, ok := live.([]any)
		if !ok || len(l) != len(x) {
			return path
		}
		for i := range x {
			if at := differs(x[i], l[i], fmt.Sprintf("%s[%d]", path, i)); at != "" {
				return at
			}
		}
		return ""
	case int64:
		if f, ok := live.(float64); ok && float64(x) == f {
			return ""
		}
	case float64:
		if n, ok := live.(int64); ok && float64(n) == x {
			return ""
		}
	}
	if !reflect.DeepEqual(sent, live) {
		return path
	}
	return ""
}
