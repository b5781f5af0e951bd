// Package ofrep serves the flags of plans by OpenFeature's remote evaluation
// protocol, for applications without a flagd. It answers from memory, changes
// nothing, and has no login.
package ofrep

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/flagd"
)

// MaxBody bounds a request, in bytes.
const MaxBody = 64 << 10

// MaxConnections is for whoever listens.
const MaxConnections = 1024

// Plans knows the flags that are applied. Its methods are called from many
// goroutines at once.
type Plans interface {
	// Of are those of a plan; nil where it has none.
	Of(key plan.Key) *flagd.Set
	// All are those of all plans that have some, sorted by plan.
	All() []*flagd.Set
}

// Codes of errors, as the protocol names them.
const (
	codeParse    = "PARSE_ERROR"
	codeContext  = "INVALID_CONTEXT"
	codeNotFound = "FLAG_NOT_FOUND"
	codeGeneral  = "GENERAL"
)

// answer is one flag's, or why there is none.
type answer struct {
	Key          string            `json:"key,omitempty"`
	Reason       string            `json:"reason,omitempty"`
	Variant      string            `json:"variant,omitempty"`
	Value        any               `json:"value,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	ErrorCode    string            `json:"errorCode,omitempty"`
	ErrorDetails string            `json:"errorDetails,omitempty"`
}

// Handler serves the flags of all plans at /ofrep/v1/evaluate/flags, and those of
// one below /plans/NAMESPACE/NAME. Plans returns nil while this daemon does not
// work on any.
func Handler(plans func() Plans) http.Handler {
	h := handler{plans}
	mux := http.NewServeMux()
	for _, base := range []string{"", "/plans/{namespace}/{name}"} {
		mux.HandleFunc("POST "+base+"/ofrep/v1/evaluate/flags", h.bulk)
		mux.HandleFunc("POST "+base+"/ofrep/v1/evaluate/flags/{key}", h.one)
	}
	return mux
}

type handler struct{ plans func() Plans }

// sets are the flags that a request is about.
func (h handler) sets(r *http.Request) ([]*flagd.Set, error) {
	p := h.plans()
	if p == nil {
		return nil, errors.New("this daemon does not work on any plan now: another leads, or it has just begun")
	}
	if r.PathValue("name") == "" {
		return p.All(), nil
	}
	if s := p.Of(plan.Key{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}); s != nil {
		return []*flagd.Set{s}, nil
	}
	return nil, nil
}

func (h handler) one(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	sets, context, ok := h.begin(w, r, key)
	if !ok {
		return
	}
	switch found := having(sets, key); len(found) {
	case 0:
		reply(w, http.StatusNotFound, answer{Key: key, ErrorCode: codeNotFound, ErrorDetails: fmt.Sprintf("no plan that is worked on has a flag %q", key)})
	case 1:
		reply(w, http.StatusOK, evaluate(found[0], key, context))
	default:
		reply(w, http.StatusBadRequest, several(key, found))
	}
}

func (h handler) bulk(w http.ResponseWriter, r *http.Request) {
	sets, context, ok := h.begin(w, r, "")
	if !ok {
		return
	}
	out := struct {
		Flags []answer `json:"flags"`
	}{Flags: []answer{}}
	for _, s := range sets {
		for _, f := range s.Flags {
			name := f.Flag.Name
			switch found := having(sets, name); {
			case len(found) == 1:
				out.Flags = append(out.Flags, evaluate(s, name, context))
			case found[0] == s:
				out.Flags = append(out.Flags, several(name, found))
			}
		}
	}
	body := encode(out)
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	w.Header().Set("ETag", tag)
	if matches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	send(w, http.StatusOK, body)
}

// begin reads a request, or answers it.
func (h handler) begin(w http.ResponseWriter, r *http.Request, key string) ([]*flagd.Set, map[string]any, bool) {
	context, code, err := read(w, r)
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		reply(w, status, answer{Key: key, ErrorCode: code, ErrorDetails: err.Error()})
		return nil, nil, false
	}
	sets, err := h.sets(r)
	if err != nil {
		reply(w, http.StatusServiceUnavailable, answer{Key: key, ErrorCode: codeGeneral, ErrorDetails: err.Error()})
		return nil, nil, false
	}
	return sets, context, true
}

// read is the context of a request; without one it is empty.
func read(w http.ResponseWriter, r *http.Request) (context map[string]any, code string, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		return nil, codeParse, fmt.Errorf("read the request: %w", err)
	}
	var in struct {
		Context json.RawMessage `json:"context"`
	}
	if len(bytes.TrimSpace(body)) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, codeParse, fmt.Errorf("read the request as JSON: %w", err)
		}
	}
	if len(in.Context) > 0 {
		if err := json.Unmarshal(in.Context, &context); err != nil {
			return nil, codeContext, fmt.Errorf("read the context, which must be an object: %w", err)
		}
	}
	switch context[flagd.TargetingKey].(type) {
	case nil, string:
		return context, "", nil
	}
	return nil, codeContext, fmt.Errorf("the %s of the context must be a text", flagd.TargetingKey)
}

// having are the sets that have a flag.
func having(sets []*flagd.Set, name string) (out []*flagd.Set) {
	for _, s := range sets {
		if s.Has(name) {
			out = append(out, s)
		}
	}
	return out
}

func evaluate(s *flagd.Set, name string, context map[string]any) answer {
	a, _ := s.Evaluate(name, context)
	m := map[string]string{"flagSetId": s.Plan.String(), "stop": s.Stop.String(), "version": s.Hash}
	for k, v := range a.Metadata {
		m[k] = v
	}
	return answer{Key: name, Reason: a.Reason, Variant: a.Variant, Value: a.Value, Metadata: m}
}

// several is the answer for a name that is the flag's of several plans.
func several(name string, sets []*flagd.Set) answer {
	plans := make([]string, len(sets))
	for i, s := range sets {
		plans[i] = s.Plan.String()
	}
	return answer{Key: name, ErrorCode: codeGeneral, ErrorDetails: fmt.Sprintf("plans %s have a flag of that name: ask below /plans/NAMESPACE/NAME", strings.Join(plans, ", "))}
}

// matches reports whether If-None-Match names a tag.
func matches(headers []string, tag string) bool {
	for _, h := range headers {
		for one := range strings.SplitSeq(h, ",") {
			if one = strings.TrimPrefix(strings.TrimSpace(one), "W/"); one == tag || one == "*" {
				return true
			}
		}
	}
	return false
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // never: texts and truth values
		return []byte("{}")
	}
	return append(b, '\n')
}

func reply(w http.ResponseWriter, status int, a answer) { send(w, status, encode(a)) }

func send(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
