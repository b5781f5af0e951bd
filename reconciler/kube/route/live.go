package route

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
)

// live is an HTTPRoute as the API server has it. It is read-only; nil is one
// that is not there.
type live struct{ *unstructured.Unstructured }

func (l *live) version() string { return l.GetResourceVersion() }

func specOf(o map[string]any) map[string]any {
	spec, _ := o["spec"].(map[string]any)
	return spec
}

// taken says whose the route is, where it is not the plan's.
func (l *live) taken(key plan.Key) string {
	if l == nil {
		return ""
	}
	switch owner := l.GetAnnotations()[render.PlanAnnotation]; owner {
	case key.String():
		return ""
	case "":
		return fmt.Sprintf("HTTPRoute %s/%s was not made by Changeover: rename or delete it, or name the plan otherwise", l.GetNamespace(), l.GetName())
	default:
		return fmt.Sprintf("HTTPRoute %s/%s belongs to plan %q: give the plans names or gateway namespaces of their own", l.GetNamespace(), l.GetName(), owner)
	}
}

// marks are the annotations that are Changeover's.
var marks = []string{render.PlanAnnotation, render.StopAnnotation, render.SinceAnnotation, render.RevisionAnnotation, render.HoldsAnnotation}

func annotationsOf(m reconciler.Mark) map[string]string {
	out := map[string]string{
		render.PlanAnnotation: m.Key.String(), render.StopAnnotation: m.Stop.String(),
		render.SinceAnnotation: m.Since.UTC().Format(time.RFC3339Nano), render.RevisionAnnotation: string(m.Revision),
	}
	if len(m.Holds) > 0 {
		holds := make([]string, len(m.Holds))
		for i, h := range m.Holds {
			holds[i] = string(h)
		}
		out[render.HoldsAnnotation] = strings.Join(holds, ",")
	}
	return out
}

// carries reports whether the route has the mark, and the label by which it is
// watched.
func (l *live) carries(m reconciler.Mark) bool {
	want, have := annotationsOf(m), l.GetAnnotations()
	return l.GetLabels()[render.ManagedLabel] == "true" &&
		!slices.ContainsFunc(marks, func(name string) bool { return want[name] != have[name] })
}

// mark is read from the annotations; nil, with the reason, where they are not
// whole.
func (l *live) mark() (*reconciler.Mark, string) {
	have := l.GetAnnotations()
	namespace, name, _ := strings.Cut(have[render.PlanAnnotation], "/")
	m := &reconciler.Mark{Key: plan.Key{Namespace: namespace, Name: name}, Revision: plan.Revision(have[render.RevisionAnnotation])}
	var err error
	if m.Stop, err = plan.ParsePosition(have[render.StopAnnotation]); err != nil {
		return nil, damaged(render.StopAnnotation)
	}
	if m.Since, err = time.Parse(time.RFC3339Nano, have[render.SinceAnnotation]); err != nil {
		return nil, damaged(render.SinceAnnotation)
	}
	if m.Revision == "" {
		return nil, damaged(render.RevisionAnnotation)
	}
	if holds := have[render.HoldsAnnotation]; holds != "" {
		for h := range strings.SplitSeq(holds, ",") {
			m.Holds = append(m.Holds, plan.Revision(h))
		}
	}
	return m, ""
}

func damaged(annotation string) string {
	return fmt.Sprintf("the HTTPRoute's annotation %s is damaged or gone", annotation)
}

// hash names the spec.
func (l *live) hash() string {
	src, _ := json.Marshal(specOf(l.Object)) // what came as JSON goes as JSON
	sum := sha256.Sum256(src)
	return hex.EncodeToString(sum[:])
}

// is reports whether the spec is the one of a render. Defaults that the API
// server adds do not count, but what another manager has added does.
func (l *live) is(want map[string]any) bool {
	if l == nil {
		return false
	}
	have := specOf(l.Object)
	return covers(have, want) && (len(l.managers()) == 0 || covers(want, have))
}

// covers reports whether a has everything that b has; lists are equally long.
func covers(a, b any) bool {
	switch b := b.(type) {
	case map[string]any:
		a, ok := a.(map[string]any)
		if !ok {
			return false
		}
		for name, v := range b {
			if have, ok := a[name]; !ok || !covers(have, v) {
				return false
			}
		}
		return true
	case []any:
		a, ok := a.([]any)
		return ok && slices.EqualFunc(a, b, covers)
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	return a == b
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// managers are the others that own something of the spec, sorted.
func (l *live) managers() []string {
	var out []string
	for _, f := range l.GetManagedFields() {
		if f.Manager == render.FieldManager || f.Subresource != "" || !ownsSpec(f) {
			continue
		}
		out = append(out, f.Manager)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func ownsSpec(f metav1.ManagedFieldsEntry) bool {
	var fields map[string]json.RawMessage
	return f.FieldsV1 != nil && json.Unmarshal(f.FieldsV1.GetRawBytes(), &fields) == nil && len(fields["f:spec"]) > 0
}

// others says where a difference in the spec comes from.
func (l *live) others() string {
	m := l.managers()
	if len(m) == 0 {
		return "the plan, the API server or an admission webhook has changed it"
	}
	return fmt.Sprintf("%q has set fields of it; the HTTPRoute is wholly Changeover's: have %[1]q give them up", m)
}
