package entity

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/google/cel-go/common/types"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/translate"
)

// Call is one call that a plan describes.
type Call struct {
	// Name of it in a plan, below spec.entities: handOver[0].
	Name string
	// Spec as the plan has it.
	Spec plan.HTTPCall

	url, body *Expr
	headers   []header
	values    map[string]map[string]string
}

type header struct {
	name string
	expr *Expr
}

// Request is a call for one entity.
type Request struct {
	Method, URL string
	Header      []Field
	// Body; nil: none.
	Body []byte
}

// Field is one header.
type Field struct{ Name, Value string }

// Build makes the request for an entity. Errors hold no value of the entity but
// names of what is missing.
func (c *Call) Build(ctx context.Context, id string, item map[string]any) (r Request, err error) {
	vars := map[string]any{"id": id, "item": item, "values": c.values}
	r.Method = c.Spec.Method
	if r.URL, err = c.url.text(ctx, vars); err != nil {
		return Request{}, err
	}
	if err := checkURL(r.URL); err != nil {
		return Request{}, &Failure{Path: c.url.path, Why: err.Error()}
	}
	for _, h := range c.headers {
		v, err := h.expr.text(ctx, vars)
		if err != nil {
			return Request{}, err
		}
		if v = strings.Trim(v, " \t"); strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			return Request{}, &Failure{Path: h.expr.path, Why: "the value of a header must be printable ASCII"}
		}
		r.Header = append(r.Header, Field{h.name, v})
	}
	if c.body == nil {
		return r, nil
	}
	v, err := c.body.eval(ctx, vars)
	if err != nil {
		return Request{}, err
	}
	if s, ok := v.(types.String); ok {
		r.Body = []byte(s)
		return r, nil
	}
	if r.Body, err = translate.Encode(v, maxBody); err != nil {
		return Request{}, &Failure{Path: c.body.path, Why: err.Error()}
	}
	if r.Body != nil && !slices.ContainsFunc(r.Header, func(f Field) bool { return strings.EqualFold(f.Name, "Content-Type") }) {
		r.Header = append(r.Header, Field{"Content-Type", "application/json"})
	}
	return r, nil
}

// checkURL refuses what does not lead where the plan's text says: a value of an
// entity must not change host or path.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Opaque != "", u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return fmt.Errorf("it is no absolute http or https URL")
	case u.User != nil:
		return fmt.Errorf("the URL holds a user or password")
	case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fmt.Errorf("the URL holds blanks or control characters; write escape(...) around values")
	}
	for s := range strings.SplitSeq(u.Path, "/") {
		if s == "." || s == ".." {
			return fmt.Errorf("the path of the URL holds %q; write escape(...) around values", s)
		}
	}
	return nil
}
