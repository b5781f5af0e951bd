package route

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// entityBody are requests that name an entity in their body.
type entityBody struct {
	path    string
	methods []string
	fields  []string
}

// inBody is the key of the id that a body has, in a request's context.
type inBody struct{}

// InBody are the names of the fields that lead to the id of an entity in the
// request's body; nil where it is not to be read, as the path has the id already,
// or nothing has.
func (t *Table) InBody(r *http.Request) []string {
	if t.entities == nil || len(t.entities.bodies) == 0 {
		return nil
	}
	path, ok := Path(r.URL)
	if !ok || t.entities.id(path) != "" {
		return nil
	}
	path = strings.TrimSuffix(path, "/")
	for _, b := range t.entities.bodies {
		if b.path == path && slices.Contains(b.methods, r.Method) {
			return b.fields
		}
	}
	return nil
}

// Naming is the request with the id that its body has.
func Naming(r *http.Request, id string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), inBody{}, id))
}

// Why no id can be read out of a body. Its sender may mean one, so that either side
// could be the wrong one.
var (
	errNoJSON    = errors.New("it is no JSON")
	errAmbiguous = errors.New("a field on the way to the id stands there twice")
	errNoID      = errors.New("its id is neither text nor a number, or cannot be one")
)

// IDIn is the id that a JSON document has; empty where it has no such field, or
// null there. Numbers are ids as they are written. Of fields that stand there
// twice each reader takes another one, so that they are an error.
func IDIn(body []byte, fields []string) (string, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return "", nil
	}
	if !json.Valid(body) {
		return "", errNoJSON
	}
	raw := json.RawMessage(body)
	for _, f := range fields {
		next, err := field(raw, f)
		if err != nil || next == nil {
			return "", err
		}
		raw = next
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", errNoJSON
	}
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		if plan.CheckEntityID(v) == nil {
			return v, nil
		}
	case json.Number:
		return v.String(), nil
	}
	return "", errNoID
}

// field is the value of a field of an object; nil where raw is none, or has no such
// field.
func field(raw json.RawMessage, name string) (found json.RawMessage, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, err
	}
	for seen := 0; dec.More(); {
		key, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoJSON, err)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoJSON, err)
		}
		if !strings.EqualFold(key.(string), name) {
			continue
		}
		if seen++; seen > 1 { // many readers do not tell a from A
			return nil, errAmbiguous
		}
		if key == name {
			found = v
		}
	}
	return found, nil
}
