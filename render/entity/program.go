package entity

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"

	"github.com/changeover-dev/changeover/plan"
)

// Program is all that a plan says in CEL about its entities. It is immutable and
// safe for concurrent use.
type Program struct {
	// Legacy reads legacy's inventory, Modern modern's; nil: the plan has none.
	Legacy, Modern *Side
	// HandOver and HandBack are the steps in their order.
	HandOver, HandBack []*Call
	// VerifyLegacy and VerifyModern ask a side for one entity, Upsert writes one to
	// modern; nil: the plan has none.
	VerifyLegacy, VerifyModern, Upsert *Call

	order, inFlight *Expr
	equal           []*Expr
	values          map[string]map[string]string
}

// Side reads the inventory of one side.
type Side struct {
	id, live          *Expr
	items, next, item *Expr
	values            map[string]map[string]string
}

// IDSource is the expression that reads the id.
func (s *Side) IDSource() string { return s.id.Source }

// ID of an item, as plan.CheckEntityID allows it.
func (s *Side) ID(ctx context.Context, item map[string]any) (string, error) {
	v, err := s.id.eval(ctx, map[string]any{"item": item, "values": s.values})
	if err != nil {
		return "", err
	}
	id, err := identOf(v)
	if err == nil {
		err = plan.CheckEntityID(id)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.id.path, err)
	}
	return id, nil
}

func identOf(v ref.Val) (string, error) {
	switch x := v.(type) {
	case types.String:
		return string(x), nil
	case types.Int, types.Uint:
		return fmt.Sprint(x.Value()), nil
	}
	return "", fmt.Errorf("the id is %s, want text or a whole number", v.Type().TypeName())
}

// Live reports whether the side serves the item itself.
func (s *Side) Live(ctx context.Context, item map[string]any) (bool, error) {
	return s.live.bool(ctx, map[string]any{"item": item, "values": s.values}, true)
}

// Page is the list in a page of an inventory by HTTP and the link to the next, ""
// for none. Body is what translate.Decode gives, names of headers are in lower case.
func (s *Side) Page(ctx context.Context, body any, headers map[string]string) (items []any, next string, err error) {
	vars := map[string]any{"body": body, "headers": headers}
	v, err := s.items.eval(ctx, vars)
	if err != nil {
		return nil, "", err
	}
	if items, err = listOf(v); err != nil {
		return nil, "", fmt.Errorf("%s: %w", s.items.path, err)
	}
	if s.next == nil {
		return items, "", nil
	}
	v, err = s.next.eval(ctx, vars)
	if err != nil {
		return nil, "", fmt.Errorf("%w; where the last page does not have the field, write it with a question mark: body.?next", err)
	}
	if o, ok := v.(*types.Optional); ok {
		v = types.NullValue
		if o.HasValue() {
			v = o.GetValue()
		}
	}
	switch x := v.(type) {
	case types.Null:
		return items, "", nil
	case types.String:
		return items, string(x), nil
	}
	return nil, "", fmt.Errorf("%s: the link is %s, want text or null", s.next.path, v.Type().TypeName())
}

func listOf(v ref.Val) ([]any, error) {
	l, ok := v.(traits.Lister)
	if !ok {
		return nil, fmt.Errorf("the items are %s, want a list", v.Type().TypeName())
	}
	if native, ok := l.Value().([]any); ok {
		return native, nil
	}
	n, _ := l.Size().(types.Int)
	items := make([]any, 0, int(n))
	for i := range n {
		items = append(items, l.Get(i).Value())
	}
	return items, nil
}

// ItemURL is where one entity is asked for; "" where the plan does not say.
func (s *Side) ItemURL(ctx context.Context, id string) (string, error) {
	if s.item == nil {
		return "", nil
	}
	return s.item.text(ctx, map[string]any{"id": id})
}

// InFlight reports whether work on the item is under way.
func (p *Program) InFlight(ctx context.Context, item map[string]any) (bool, error) {
	return p.inFlight.bool(ctx, map[string]any{"item": item, "values": p.values}, false)
}

// Mismatch is one expression of verify.equal that is not true.
type Mismatch struct {
	// Expr as in the plan.
	Expr string `json:"expr"`
	// Why it is not true: it is false, or could not be evaluated.
	Why string `json:"why"`
}

// Compare evaluates verify.equal over what the sides know of an entity. None: they
// agree. An expression that cannot be evaluated is a mismatch, and says why.
func (p *Program) Compare(ctx context.Context, id string, legacy, modern any) (out []Mismatch) {
	return compare(ctx, p.equal, map[string]any{"id": id, "legacy": legacy, "modern": modern, "values": p.values})
}

func compare(ctx context.Context, equal []*Expr, vars map[string]any) (out []Mismatch) {
	for _, x := range equal {
		switch same, err := x.bool(ctx, vars, false); {
		case err != nil:
			var f *Failure
			why := err.Error()
			if errors.As(err, &f) {
				why = f.Why
			}
			out = append(out, Mismatch{Expr: x.Source, Why: why})
		case !same:
			out = append(out, Mismatch{Expr: x.Source, Why: "it is false"})
		}
	}
	return out
}

// Compares reports whether the plan says what must be equal.
func (p *Program) Compares() bool { return len(p.equal) > 0 }

// Failure is an expression that could not be evaluated.
type Failure struct {
	// Path of it in a plan, below spec.entities.
	Path string
	Why  string
}

// Error names the expression.
func (f *Failure) Error() string { return f.Path + ": " + f.Why }

// eval evaluates an expression. Errors are *Failure.
func (x *Expr) eval(ctx context.Context, vars map[string]any) (ref.Val, error) {
	v, _, err := x.prg.ContextEval(ctx, vars)
	if err != nil {
		return nil, &Failure{Path: x.path, Why: reason(err)}
	}
	return v, nil
}

// bool is absent where there is no expression.
func (x *Expr) bool(ctx context.Context, vars map[string]any, absent bool) (bool, error) {
	if x == nil {
		return absent, nil
	}
	v, err := x.eval(ctx, vars)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, &Failure{Path: x.path, Why: fmt.Sprintf("it is %s, want true or false", v.Type().TypeName())}
	}
	return bool(b), nil
}

func (x *Expr) text(ctx context.Context, vars map[string]any) (string, error) {
	v, err := x.eval(ctx, vars)
	if err != nil {
		return "", err
	}
	s, ok := v.(types.String)
	if !ok {
		return "", &Failure{Path: x.path, Why: fmt.Sprintf("it is %s, want text", v.Type().TypeName())}
	}
	return string(s), nil
}

// reason says why an expression failed. A key that is not there is named: it is a
// field, or a word that a map of values does not hold.
func reason(err error) string {
	var stopped interpreter.EvalCancelledError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "it took too long"
	case errors.As(err, &stopped) && stopped.Cause == interpreter.CostLimitExceeded:
		return "it costs too many steps"
	}
	msg := err.Error()
	if _, key, ok := strings.Cut(msg, "no such key: "); ok {
		return fmt.Sprintf("%q is not there: no object or map of values that it reads has it", clip(key))
	}
	for _, known := range []struct{ part, why string }{
		{"no such overload", "a value is not of the type that it takes, or not there"},
		{"index out of bounds", "a list is shorter than it takes"},
		{"optional.none() dereference", "an optional has no value"},
		{"conversion error", "a value could not be converted"},
	} {
		if strings.Contains(msg, known.part) {
			return known.why
		}
	}
	return clip(msg)
}

// clip bounds a text that comes from an inventory.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
