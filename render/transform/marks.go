package transform

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// The marks of what a transform made.
const (
	// MarkPrefix begins all of them.
	MarkPrefix = "changeover.dev/transform"
	// FromAnnotation is UID/NAMESPACE/NAME@TRANSFORM of the source; the namespace
	// is empty for kinds without one.
	FromAnnotation = MarkPrefix + "ed-from"
	// Label has the transform's name, PlanLabel the plan's: NAMESPACE.NAME, or
	// a hash of that where it is too long.
	Label     = MarkPrefix
	PlanLabel = MarkPrefix + "-plan"
)

// Origin is where an object comes from.
type Origin struct {
	UID, Namespace, Name, Transform string
}

// String is the value of FromAnnotation.
func (o Origin) String() string {
	return fmt.Sprintf("%s/%s/%s@%s", o.UID, o.Namespace, o.Name, o.Transform)
}

// ParseOrigin reads a value of FromAnnotation.
func ParseOrigin(s string) (o Origin, ok bool) {
	rest, transform, _ := strings.Cut(s, "@")
	parts := strings.Split(rest, "/")
	if len(parts) != 3 || parts[0] == "" || parts[2] == "" || transform == "" {
		return Origin{}, false
	}
	return Origin{UID: parts[0], Namespace: parts[1], Name: parts[2], Transform: transform}, true
}

// PlanValue is the value of PlanLabel.
func PlanValue(key plan.Key) string {
	if s := key.Namespace + "." + key.Name; len(s) <= 63 {
		return s
	}
	sum := sha256.Sum256([]byte(key.String()))
	return hex.EncodeToString(sum[:16])
}

// Mark adds the marks to an object that a map made, in place.
func Mark(o map[string]any, from Origin, key plan.Key) {
	meta, ok := o["metadata"].(map[string]any)
	if !ok {
		return
	}
	into := func(field string) map[string]any {
		m, ok := meta[field].(map[string]any)
		if !ok {
			m = map[string]any{}
			meta[field] = m
		}
		return m
	}
	into("annotations")[FromAnnotation] = from.String()
	l := into("labels")
	l[Label], l[PlanLabel] = from.Transform, PlanValue(key)
}
