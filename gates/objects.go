package gates

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"github.com/changeover-dev/changeover/plan"
)

// object is what is known of a live object of the plan.
type object struct {
	ref     plan.ObjectRef
	pattern *cel.AttributePatternType
}

func newObject(name string, ref plan.ObjectRef) object {
	return object{ref: ref, pattern: cel.AttributePattern("object").QualString(name)}
}

// String names the object as people do: KIND NAMESPACE/NAME.
func (o object) String() string {
	name := o.ref.Name
	if o.ref.Namespace != "" {
		name = o.ref.Namespace + "/" + name
	}
	return o.ref.Kind + " " + name
}

// isThere reports whether an object was read and exists.
func isThere(o Object) bool { return o.Err == nil && o.Value != nil }

// Objects are the names of the live objects that the gates of the requests
// read, sorted.
func (p *Program) Objects(reqs []Request) []string {
	set := map[string]struct{}{}
	for _, r := range reqs {
		p.gates(r, func(_ plan.Effect, g *gate) {
			for _, name := range g.expr.objects {
				set[name] = struct{}{}
			}
		})
	}
	return slices.Sorted(maps.Keys(set))
}

// objectPath is a place in a live object that an expression reads. Keys are
// texts and whole numbers.
type objectPath struct {
	name string
	keys []any
	// dotted tells for each key whether it stands behind a dot.
	dotted []bool
}

// newObjectPath reads a chain such as object.NAME.status.conditions[0] whose
// keys are all known; nil where an expression is no such chain. Of has(...) it
// is what must be there before has can tell.
func newObjectPath(e ast.Expr) *objectPath {
	switch e.Kind() {
	case ast.SelectKind:
		sel := e.AsSelect()
		if op := sel.Operand(); op.Kind() == ast.IdentKind && op.AsIdent() == "object" {
			return &objectPath{name: sel.FieldName()}
		}
		p := newObjectPath(sel.Operand())
		if p != nil && !sel.IsTestOnly() {
			p.keys, p.dotted = append(p.keys, sel.FieldName()), append(p.dotted, true)
		}
		return p
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() != operators.Index || call.Args()[1].Kind() != ast.LiteralKind {
			return nil
		}
		var key any
		switch k := call.Args()[1].AsLiteral().(type) {
		case types.String:
			key = string(k)
		case types.Int:
			key = int64(k)
		default:
			return nil
		}
		p := newObjectPath(call.Args()[0])
		if p != nil {
			p.keys, p.dotted = append(p.keys, key), append(p.dotted, false)
		}
		return p
	}
	return nil
}

// String is the path as it stands in an expression.
func (p *objectPath) String() string { return p.upTo(len(p.keys)) }

// upTo is the path of its first n keys.
func (p *objectPath) upTo(n int) string {
	var b strings.Builder
	b.WriteString("object." + p.name)
	for i, key := range p.keys[:n] {
		switch k := key.(type) {
		case string:
			if p.dotted[i] {
				b.WriteString("." + k)
			} else {
				fmt.Fprintf(&b, "[%q]", k)
			}
		default:
			fmt.Fprintf(&b, "[%d]", k)
		}
	}
	return b.String()
}

// find follows the path. Where it ends early, have is how many keys were there.
func (p *objectPath) find(value any) (v any, have int) {
	for i, key := range p.keys {
		switch in := value.(type) {
		case map[string]any:
			k, ok := key.(string)
			if !ok {
				return nil, i
			}
			if value, ok = in[k]; !ok {
				return nil, i
			}
		case []any:
			k, ok := key.(int64)
			if !ok || k < 0 || k >= int64(len(in)) {
				return nil, i
			}
			value = in[k]
		default:
			return nil, i
		}
	}
	return value, len(p.keys)
}

// Bounds of what a detail says of live objects: they can be large.
const (
	maxShownPaths = 8
	maxShownRunes = 60
	maxErrorRunes = 300
)

// shown is the value at a place of an object where it is short enough to be
// shown: a number, a truth value, or the beginning of a text.
func shown(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "null", true
	case bool:
		return strconv.FormatBool(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return number(v), true
	case string:
		return strconv.Quote(shorten(v, maxShownRunes)), true
	}
	return "", false
}

// shorten cuts a text after so many runes.
func shorten(s string, most int) string {
	n := 0
	for i := range s {
		if n == most {
			return s[:i] + "..."
		}
		n++
	}
	return s
}

// describeObjects says why objects are unknown, and what the expression reads
// of the others.
func (e *evaluation) describeObjects() (parts []string) {
	for _, name := range e.gate.expr.objects {
		o, ok := e.snapshot.Facts.Objects[name]
		switch {
		case !ok:
			parts = append(parts, fmt.Sprintf("object %s unknown: not read", name))
		case o.Err != nil:
			parts = append(parts, fmt.Sprintf("object %s failed: %s", name, shorten(o.Err.Error(), maxErrorRunes)))
		case o.Value == nil:
			parts = append(parts, fmt.Sprintf("no object %s", e.p.objects[name]))
		}
	}
	n := 0
	for _, p := range e.gate.expr.paths {
		o := e.snapshot.Facts.Objects[p.name]
		if !isThere(o) {
			continue
		}
		v, have := p.find(o.Value)
		if text, ok := shown(v); ok && have == len(p.keys) && n < maxShownPaths {
			parts = append(parts, fmt.Sprintf("%s=%s", &p, text))
			n++
		}
	}
	return parts
}

// unreadable reports whether an object that the expression reads is unknown.
func (e *evaluation) unreadable() bool {
	return slices.ContainsFunc(e.gate.expr.objects, func(name string) bool { return !isThere(e.snapshot.Facts.Objects[name]) })
}

// How the errors of CEL begin about a field that is not there, and about one of
// a type that an operator or a function does not take.
const (
	noSuchKey       = "no such key: "
	noOverloadAtRun = "no such overload"
)

// rewordObjectError says of which object a field is missing, and how to ask for
// it without an error. What is not about objects stays as it is.
func (e *evaluation) rewordObjectError(message string) string {
	if len(e.gate.expr.objects) == 0 {
		return message
	}
	for _, p := range e.gate.expr.paths {
		o := e.snapshot.Facts.Objects[p.name]
		if !isThere(o) {
			continue
		}
		_, have := p.find(o.Value)
		if have == len(p.keys) {
			continue
		}
		key, ok := p.keys[have].(string)
		if !ok || message != noSuchKey+key {
			continue
		}
		test := fmt.Sprintf("has(%s)", p.upTo(have+1))
		if !p.dotted[have] {
			test = fmt.Sprintf("%q in %s", key, p.upTo(have))
		}
		return fmt.Sprintf("%s has no field %q: ask for it first, as in %s", p.upTo(have), key, test)
	}
	switch {
	case strings.HasPrefix(message, noSuchKey):
		return message + ": ask for it first with has()"
	case strings.HasPrefix(message, noOverloadAtRun):
		return "a field is of another type than the expression wants (" + message + ")"
	}
	return message
}
