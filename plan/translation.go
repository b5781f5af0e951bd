package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Translation maps requests of legacy's API to modern's, and modern's answers
// back. Every value is a CEL expression over `request`, in the response also over
// `response`. What is not named stays as it is.
type Translation struct {
	Request  *RequestMapping  `json:"request,omitempty"`
	Response *ResponseMapping `json:"response,omitempty"`
	// MaxBody is the largest body in bytes, before and after. Zero in a file
	// means the default, 1 MiB.
	MaxBody int `json:"maxBody,omitempty"`
}

// RequestMapping makes the request to modern. A query parameter or header whose
// expression is null is removed; a body that is null is none.
type RequestMapping struct {
	Method string `json:"method,omitempty"`
	// Path is a text, or a list of segments, which are escaped.
	Path    string            `json:"path,omitempty"`
	Query   map[string]string `json:"query,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	// Body is any JSON value.
	Body string `json:"body,omitempty"`
}

// ResponseMapping makes the answer to the caller, as RequestMapping the request.
type ResponseMapping struct {
	Status  string            `json:"status,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
}

// Bounds of Translation.MaxBody, in bytes.
const (
	DefaultMaxBody = 1 << 20
	MaxMaxBody     = 16 << 20
)

// translatedNever are headers that no translation sets: they belong to one
// connection, frame a message, name the host, or say where a request came from
// and went to. X-Changeover-* are neither.
var translatedNever = []string{
	"content-encoding", "expect", "forwarded", "host", "http2-settings", "proxy-authenticate", "proxy-authorization", "via",
}

// IsTranslatable reports whether a translation may set a header.
func IsTranslatable(header string) bool {
	h := strings.ToLower(header)
	return token.MatchString(header) && !isGatewayHeader(h) && !slices.Contains(translatedNever, h) &&
		!strings.HasPrefix(h, "x-changeover-") && !strings.HasPrefix(h, "x-forwarded-")
}

// translations checks what can be told without reading an expression.
func (v *validator) translations() {
	for _, name := range slices.Sorted(maps.Keys(v.p.Spec.Translations)) {
		t := v.p.Spec.Translations[name]
		path := join("spec.translations", name)
		if !label.MatchString(name) {
			v.key(path, "name", fmt.Sprintf("%s cannot be the name of a translation", shorten(name)), labelForm)
		}
		if t.Request == nil && t.Response == nil && v.whole(path) {
			v.at(path, "translate", "the translation changes nothing", "give it a request or a response, or remove it")
		}
		if v.has(path+".maxBody") && (t.MaxBody < 1 || t.MaxBody > MaxMaxBody) {
			v.at(path+".maxBody", "translate", fmt.Sprintf("maxBody is %d bytes", t.MaxBody), fmt.Sprintf("give it from 1 to %d", MaxMaxBody))
		}
		if t.Request != nil {
			v.translatedHeaders(path+".request.headers", t.Request.Headers)
			for _, q := range slices.Sorted(maps.Keys(t.Request.Query)) {
				v.named(v.key, join(path+".request.query", q), "query parameter", q, queryName, queryName)
			}
		}
		if t.Response != nil {
			v.translatedHeaders(path+".response.headers", t.Response.Headers)
		}
	}
}

func (v *validator) translatedHeaders(path string, headers map[string]string) {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at := join(path, name)
		v.named(v.key, at, "header", name, token, token)
		if other, ok := seen[strings.ToLower(name)]; ok {
			v.key(at, "header", fmt.Sprintf("header %q is %q in other letters", name, other), "remove one of the two: names of headers have no case")
		}
		seen[strings.ToLower(name)] = name
		switch {
		case strings.EqualFold(name, "Host"):
			v.key(at, "header", "the Host header is not set by a translation", "give the route rewrite: {host: NAME}")
		case token.MatchString(name) && !IsTranslatable(name):
			v.key(at, "header", fmt.Sprintf("header %q is the gateway's own", name), "remove it")
		}
	}
}

// translate checks what a route says of its translation.
func (v *validator) translate(route string, r *Route) {
	const code = "translate"
	path := route + ".translate"
	v.capable(path, translate, "remove translate")
	if names := slices.Sorted(maps.Keys(v.p.Spec.Translations)); !slices.Contains(names, r.Translate) && v.whole("spec.translations") {
		hint := "declare it under spec.translations"
		if near := nearest(r.Translate, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		v.at(path, "unknown-translation", fmt.Sprintf("the plan has no translation %s", shorten(r.Translate)), hint)
	}
	if !v.whole(route + ".to") {
		return
	}
	switch {
	case r.Respond != nil && r.To == "":
		v.at(path, code, "the route answers itself, so there is nothing to translate", "remove translate")
	case r.To == ToLegacy && v.p.Spec.Entities.Routed():
		// What modern owns goes there from this route too.
	case r.To == ToLegacy && r.Mirror == nil && v.whole(route+".mirror"):
		v.at(path, code, "nothing is translated: all requests go to legacy, and none is copied", "remove translate, or mirror the requests to modern")
	}
}
