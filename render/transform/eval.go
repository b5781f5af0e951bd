package transform

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"

	"github.com/changeover-dev/changeover/gates/celjson"
	"github.com/changeover-dev/changeover/plan"
)

// Failure is a source that a transform could not be read over. Its text holds no
// value of an object.
type Failure struct {
	// Field as in a plan below the transform: to[0].object.
	Field string
	Why   string
}

// Error names the field.
func (f *Failure) Error() string { return f.Field + ": " + f.Why }

// Made is one object that a source becomes.
type Made struct {
	// Target is its name in the transform.
	Target string
	// Object is decoded JSON, as in render.Object, with a namespace only where
	// the map gives one.
	Object map[string]any
	// OwnerReference: the source is to be its owner.
	OwnerReference bool
}

// Map makes the objects that a source becomes, in the order of the transform. The
// source is decoded JSON with int64 and float64, and is not changed. Errors are
// *Failure. The context's deadline bounds it, and MaxTime.
func (t *Transform) Map(ctx context.Context, source map[string]any, key plan.Key) ([]Made, error) {
	ctx, cancel := context.WithTimeout(ctx, MaxTime)
	defer cancel()
	vars := vars{"object": source, "plan": map[string]string{"name": key.Name, "namespace": key.Namespace}}
	var out []Made
	for i := range t.targets {
		x := &t.targets[i]
		if x.when != nil {
			ok, err := x.when.holds(ctx, vars)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
		}
		o, err := x.object.object(ctx, vars)
		if err == nil {
			err = fits(x, o)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Made{Target: x.name, Object: o, OwnerReference: x.owned})
	}
	return out, nil
}

// Verify reads the verify expressions over a source and the live objects that it
// became, by name. It returns those that do not hold, as they are written, and the
// first that could not be read as *Failure.
func (t *Transform) Verify(ctx context.Context, source map[string]any, targets map[string]map[string]any, key plan.Key) (broken []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, MaxTime)
	defer cancel()
	vars := vars{"object": source, "targets": targets, "plan": map[string]string{"name": key.Name, "namespace": key.Namespace}}
	for _, e := range t.verify {
		ok, err := e.holds(ctx, vars)
		if err != nil {
			return broken, err
		}
		if !ok {
			broken = append(broken, e.src)
		}
	}
	return broken, nil
}

// vars implements cel.Activation.
type vars map[string]any

// ResolveName implements cel.Activation.
func (v vars) ResolveName(name string) (any, bool) {
	x, ok := v[name]
	return x, ok
}

// Parent implements cel.Activation.
func (vars) Parent() cel.Activation { return nil }

func (e *expr) eval(ctx context.Context, vars vars) (ref.Val, error) {
	v, _, err := e.prg.ContextEval(ctx, vars)
	if err != nil {
		return nil, &Failure{Field: e.path, Why: reason(err)}
	}
	return v, nil
}

func (e *expr) holds(ctx context.Context, vars vars) (bool, error) {
	v, err := e.eval(ctx, vars)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, &Failure{Field: e.path, Why: "the result is neither true nor false"}
	}
	return bool(b), nil
}

// object is a map as decoded JSON.
func (e *expr) object(ctx context.Context, vars vars) (map[string]any, error) {
	v, err := e.eval(ctx, vars)
	if err != nil {
		return nil, err
	}
	b, err := celjson.Encode(v, MaxObject)
	if err != nil {
		if errors.Is(err, celjson.ErrLarge) {
			err = fmt.Errorf("the object is larger than %d bytes", MaxObject)
		}
		return nil, &Failure{Field: e.path, Why: err.Error()}
	}
	o, err := celjson.Decode(b)
	if err != nil {
		return nil, &Failure{Field: e.path, Why: err.Error()}
	}
	m, ok := o.(map[string]any)
	if !ok {
		return nil, &Failure{Field: e.path, Why: "the result is no map"}
	}
	if tooBig(m) {
		return nil, &Failure{Field: e.path, Why: "a whole number does not fit 64 bits with a sign"}
	}
	return m, nil
}

func tooBig(v any) bool {
	switch x := v.(type) {
	case uint64:
		return true
	case []any:
		return slices.ContainsFunc(x, tooBig)
	case map[string]any:
		for _, e := range x {
			if tooBig(e) {
				return true
			}
		}
	}
	return false
}

// metadata that a map may give.
var metadata = []string{"annotations", "finalizers", "labels", "name", "namespace"}

// pathSafe is a name that every kind takes as part of a path.
var pathSafe = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.:]{0,251}[A-Za-z0-9])?$`)

// fits checks what a map made for a target.
func fits(x *target, o map[string]any) error {
	fail := func(format string, args ...any) error {
		return &Failure{Field: x.object.path, Why: fmt.Sprintf(format, args...)}
	}
	meta, ok := o["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	switch {
	case !ok || name == "":
		return fail("the object has no metadata.name")
	case !pathSafe.MatchString(name):
		return fail("metadata.name cannot be the name of an object: use lower-case letters, digits, - and .")
	case o["status"] != nil:
		return fail("the object has a status, which only the controller of its kind writes")
	}
	for field, v := range meta {
		if !slices.Contains(metadata, field) {
			return fail("metadata.%s is not set by a transform: it takes %s", clip(field), strings.Join(metadata, ", "))
		}
		if err := metaField(field, v); err != "" {
			return fail("%s", err)
		}
	}
	return nil
}

func metaField(field string, v any) string {
	switch field {
	case "namespace":
		if s, ok := v.(string); !ok || s == "" {
			return "metadata.namespace is no text"
		}
	case "annotations", "labels":
		m, ok := v.(map[string]any)
		if !ok {
			return "metadata." + field + " is no map"
		}
		for k, e := range m {
			if _, ok := e.(string); !ok {
				return fmt.Sprintf("metadata.%s has a value that is no text: use string(...)", field)
			}
			if strings.HasPrefix(k, MarkPrefix) {
				return fmt.Sprintf("metadata.%s has %s, which Changeover writes itself", field, clip(k))
			}
		}
	}
	return ""
}

func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "..."
	}
	return s
}

// reason says why an expression failed. CEL's own words may hold a key or a text
// of the object.
func reason(err error) string {
	var cost interpreter.EvalCancelledError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "it took too long"
	case errors.As(err, &cost) && cost.Cause == interpreter.CostLimitExceeded:
		return fmt.Sprintf("it took more than %d steps", maxCost)
	case errors.As(err, &cost):
		return "it took too long"
	}
	switch s := err.Error(); {
	case strings.Contains(s, "no such key"):
		return "a field or key that it reads is not there: ask with has(...), or read it as object.?field.orValue(...)"
	case strings.Contains(s, "index out of"):
		return "a list is shorter than it takes"
	case strings.Contains(s, "by zero"):
		return "it divides by zero"
	case strings.Contains(s, "no such overload"), strings.Contains(s, "no matching overload"):
		return "a value is not of the type that it takes"
	case strings.Contains(s, "overflow"):
		return "a number is too large"
	case strings.Contains(s, "insert failed"), strings.Contains(s, "duplicate"):
		return "two entries of a map have one key"
	}
	return "a value could not be read, such as a text that is no number"
}
