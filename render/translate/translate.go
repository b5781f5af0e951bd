package translate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"

	"github.com/changeover-dev/changeover/gates/celjson"
)

// Request is what expressions read of a request. Body is what Decode returns; it is
// not changed, and neither are the maps.
type Request struct {
	Method   string
	Path     string
	Segments []string // of Path
	Query    map[string]string
	Headers  map[string]string // by names in lower case
	Body     any
}

// Response is what expressions read of an answer.
type Response struct {
	Status  int
	Headers map[string]string
	Body    any
	// Hidden: there is a body that is not sent, as to HEAD. Fields that read it
	// are left out.
	Hidden bool
}

// Set is a header or a query parameter with its new values; none: it is removed.
type Set struct {
	Name   string
	Values []string
}

// RequestChange is what changes in a request. Empty fields stay.
type RequestChange struct {
	Method string
	Path   string // escaped
	Query  []Set
	Header []Set
	// Body replaces the body where SetsBody is true; nil: there is none.
	Body     []byte
	SetsBody bool
}

// ResponseChange is what changes in an answer. Empty fields stay.
type ResponseChange struct {
	Status   int
	Header   []Set
	Body     []byte
	SetsBody bool
}

// Failure is a translation that did not come out. Its text holds no value of the
// request.
type Failure struct {
	Translation string
	// Field as in a plan: request.headers.X-Id.
	Field string
	Why   string
}

// Error names translation and field.
func (f *Failure) Error() string {
	return fmt.Sprintf("%s of translation %s failed: %s", f.Field, f.Translation, f.Why)
}

// Name of the translation.
func (t *Translation) Name() string { return t.name }

// MaxBody is the largest body, before and after, in bytes.
func (t *Translation) MaxBody() int { return t.maxBody }

// Requests and Answers report whether there is anything to do for them.
func (t *Translation) Requests() bool { return t.request }

// Answers reports whether answers are mapped.
func (t *Translation) Answers() bool { return t.answer }

// ReadsRequestBody reports whether the body of a request must be known, for the
// request or its answer.
func (t *Translation) ReadsRequestBody() bool {
	return t.reads[requestBody] || t.answerReads[requestBody]
}

// KeepsRequestBody reports whether it must be known until there is an answer.
func (t *Translation) KeepsRequestBody() bool { return t.answerReads[requestBody] }

// ReadsResponseBody reports whether the body of an answer must be known.
func (t *Translation) ReadsResponseBody() bool { return t.answerReads[responseBody] }

// SetsResponseBody reports whether the body of an answer is another one.
func (t *Translation) SetsResponseBody() bool { return t.answerBody != nil }

const requestBody, responseBody = "request.body", "response.body"

// Request translates a request. Errors are *Failure. The context's deadline bounds
// it.
func (t *Translation) Request(ctx context.Context, r *Request) (out RequestChange, err error) {
	e := evaluation{ctx: ctx, t: t, vars: vars{request: r.value()}}
	e.field(t.method, func(v ref.Val) (err error) { out.Method, err = methodOf(v); return err })
	e.field(t.path, func(v ref.Val) (err error) { out.Path, err = pathOf(v); return err })
	out.Query = e.sets(t.query, nil)
	out.Header = e.sets(t.headers, headerValue)
	e.field(t.body, func(v ref.Val) (err error) {
		out.SetsBody = true
		out.Body, err = t.encode(v)
		return err
	})
	if e.err != nil {
		return RequestChange{}, e.err
	}
	return out, nil
}

// Response translates the answer to a request. Errors are *Failure.
func (t *Translation) Response(ctx context.Context, r *Request, a *Response) (out ResponseChange, err error) {
	e := evaluation{ctx: ctx, t: t, hidden: a.Hidden, vars: vars{request: r.value(), response: map[string]any{"status": int64(a.Status), "headers": a.Headers, "body": a.Body}}}
	e.field(t.status, func(v ref.Val) (err error) { out.Status, err = statusOf(v); return err })
	out.Header = e.sets(t.answerHeaders, headerValue)
	e.field(t.answerBody, func(v ref.Val) (err error) {
		out.SetsBody = true
		out.Body, err = t.encode(v)
		return err
	})
	if e.err != nil {
		return ResponseChange{}, e.err
	}
	return out, nil
}

func (r *Request) value() map[string]any {
	return map[string]any{"method": r.Method, "path": r.Path, "segments": r.Segments, "query": r.Query, "headers": r.Headers, "body": r.Body}
}

// vars implements cel.Activation.
type vars struct{ request, response map[string]any }

// ResolveName implements cel.Activation.
func (v *vars) ResolveName(name string) (any, bool) {
	switch {
	case name == "request":
		return v.request, true
	case name == "response" && v.response != nil:
		return v.response, true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (*vars) Parent() cel.Activation { return nil }

// evaluation evaluates fields until one fails.
type evaluation struct {
	ctx  context.Context
	t    *Translation
	vars vars
	// hidden leaves out what reads the body of an answer.
	hidden bool
	err    error
}

func (e *evaluation) field(f *field, take func(ref.Val) error) {
	if f == nil || e.err != nil || e.hidden && f.reads[responseBody] {
		return
	}
	v, _, err := f.prg.ContextEval(e.ctx, &e.vars)
	if err != nil {
		e.err = &Failure{Translation: e.t.name, Field: f.path, Why: reason(err)}
		return
	}
	if err := take(v); err != nil {
		e.err = &Failure{Translation: e.t.name, Field: f.path, Why: err.Error()}
	}
}

func (e *evaluation) sets(fields []field, check func(string) error) (out []Set) {
	for i := range fields {
		e.field(&fields[i], func(v ref.Val) error {
			s := Set{Name: fields[i].name}
			var err error
			if s.Values, err = valuesOf(v); err != nil {
				return err
			}
			for j, value := range s.Values {
				if check == nil {
					continue
				}
				s.Values[j] = strings.Trim(value, " \t")
				if err := check(s.Values[j]); err != nil {
					return err
				}
			}
			out = append(out, s)
			return nil
		})
	}
	return out
}

// encode is a body as JSON; nil where there is none.
func (t *Translation) encode(v ref.Val) ([]byte, error) { return Encode(v, t.maxBody) }

// Encode writes a value of an expression as JSON, of at most max bytes; nil where
// it is null or an optional without a value.
func Encode(v ref.Val, max int) ([]byte, error) {
	if o, ok := v.(*types.Optional); ok && o.HasValue() {
		v = o.GetValue()
	} else if ok || v == types.NullValue {
		return nil, nil
	}
	b, err := celjson.Encode(v, max)
	if errors.Is(err, celjson.ErrLarge) {
		err = errors.New("the result is larger than maxBody")
	}
	return b, err
}

// Decode reads one JSON value, with the types that expressions know. Errors hold
// nothing of it. No bytes but blanks are nil, as is null.
func Decode(src []byte) (any, error) { return celjson.Decode(src) }

// reason says why an expression failed. CEL's own words may hold a key or a text
// of the request.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return "it took too long"
	}
	var stopped interpreter.EvalCancelledError
	if errors.As(err, &stopped) {
		if stopped.Cause == interpreter.CostLimitExceeded {
			return "it costs too many steps"
		}
		return "it took too long"
	}
	msg := err.Error()
	for _, known := range []struct{ part, why string }{
		{"no such key", "a field or key that it reads is not there"},
		{"no such overload", "a value is not of the type that it takes, or not there"},
		{"index out of bounds", "a list is shorter than it takes"},
		{"out of range", "a place is outside of a text or list"},
		{"division by zero", "it divides by zero"},
		{"modulus by zero", "it divides by zero"},
		{"overflow", "a number is too large"},
		{"optional.none() dereference", "an optional has no value"},
		{"conversion error", "a value could not be converted"},
	} {
		if strings.Contains(msg, known.part) {
			return known.why
		}
	}
	return "a value could not be used"
}
