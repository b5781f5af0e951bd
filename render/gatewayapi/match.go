package gatewayapi

import (
	"cmp"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/render"
)

// match is one match of an HTTPRoute's rule. A prefix is made of whole segments
// and has no slash at its end, but for "/", which takes every path.
type match struct {
	path    string
	exact   bool
	method  string   // "" is any
	headers []header // sorted by name
}

// header must have that value. The name is in lower case.
type header struct{ name, value string }

// rank compares what decides between two matches of one request.
func rank(a, b match) int {
	return cmp.Or(
		cmp.Compare(number(a.exact), number(b.exact)),
		cmp.Compare(len(a.path), len(b.path)),
		cmp.Compare(number(a.method != ""), number(b.method != "")),
		cmp.Compare(len(a.headers), len(b.headers)),
	)
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// equal reports whether two matches take the same requests.
func equal(a, b match) bool {
	return a.path == b.path && a.exact == b.exact && a.method == b.method && slices.Equal(a.headers, b.headers)
}

// order is for readers and for equal objects: what is more specific is first.
func order(a, b match) int {
	return cmp.Or(
		rank(b, a),
		cmp.Compare(a.path, b.path),
		cmp.Compare(a.method, b.method),
		slices.CompareFunc(a.headers, b.headers, compareHeaders),
	)
}

func compareHeaders(a, b header) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
}

// takesPath reports whether the match's path takes a path.
func (m match) takesPath(path string) bool {
	return m.path == path || !m.exact && (m.path == "/" || strings.HasPrefix(path, m.path+"/"))
}

// takesPaths reports whether a's path takes every path that b's does.
func takesPaths(a, b match) bool {
	if a.exact {
		return b.exact && a.path == b.path
	}
	return a.takesPath(b.path)
}

// covers reports whether a takes every request that b does.
func covers(a, b match) bool {
	if len(a.headers) > len(b.headers) || a.method != "" && a.method != b.method || !takesPaths(a, b) {
		return false
	}
	rest := b.headers
	for _, h := range a.headers {
		i := slices.Index(rest, h)
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
	}
	return true
}

// meet reports whether there is a request that both take.
func meet(a, b match) bool {
	if a.method != "" && b.method != "" && a.method != b.method || !takesPaths(a, b) && !takesPaths(b, a) {
		return false
	}
	for x, y := a.headers, b.headers; len(x) > 0 && len(y) > 0; {
		switch c := cmp.Compare(x[0].name, y[0].name); {
		case c < 0:
			x = x[1:]
		case c > 0:
			y = y[1:]
		case x[0].value != y[0].value:
			return false
		default:
			x, y = x[1:], y[1:]
		}
	}
	return true
}

// join is the match of the requests that two matches that meet both take. It
// never ranks below either.
func join(a, b match) match {
	if takesPaths(a, b) {
		a, b = b, a
	}
	a.method = cmp.Or(a.method, b.method)
	a.headers = slices.Concat(a.headers, b.headers)
	slices.SortFunc(a.headers, compareHeaders)
	a.headers = slices.Compact(a.headers)
	return a
}

// object is the match as the API server keeps it.
func (m match) object() map[string]any {
	kind := "PathPrefix"
	if m.exact {
		kind = "Exact"
	}
	out := map[string]any{"path": map[string]any{"type": kind, "value": m.path}}
	if m.method != "" {
		out["method"] = m.method
	}
	if len(m.headers) > 0 {
		headers := make([]any, len(m.headers))
		for i, h := range m.headers {
			headers[i] = map[string]any{"type": "Exact", "name": h.name, "value": h.value}
		}
		out["headers"] = headers
	}
	return out
}

// matchesOf are the matches of a rule, one for each method. The prefix /a/ is
// written as /a, which takes /a too: see arm.missing.
func matchesOf(r render.Rule) []match {
	m := match{path: "/"}
	switch {
	case r.Match.Path != "":
		m.path, m.exact = r.Match.Path, true
	case r.Match.PathPrefix != "":
		m.path = trim(r.Match.PathPrefix)
	}
	for name, value := range r.Match.Headers {
		m.headers = append(m.headers, header{strings.ToLower(name), value})
	}
	slices.SortFunc(m.headers, compareHeaders)
	if len(r.Match.Methods) == 0 {
		return []match{m}
	}
	var out []match
	for _, method := range r.Match.Methods {
		m.method = method
		out = append(out, m)
	}
	return out
}

// trim writes a prefix without the slash at its end.
func trim(prefix string) string {
	if prefix == "/" {
		return prefix
	}
	return strings.TrimSuffix(prefix, "/")
}
