package route

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// Rewrite is what a rule changes in a request on its way. Nil changes nothing.
type Rewrite struct {
	// from is what the rule matches: a path, or with prefix the beginning of
	// one. to replaces it and is escaped; empty: the path stays.
	from, to string
	prefix   bool
	host     string
	headers  []headerIs
}

func rewriteOf(m *plan.Match, w *plan.Rewrite) *Rewrite {
	if w == nil {
		return nil
	}
	out := &Rewrite{host: w.Host}
	for name, value := range w.Headers {
		out.headers = append(out.headers, headerIs{http.CanonicalHeaderKey(name), value})
	}
	if w.Path == "" {
		return out
	}
	out.from, out.to = m.Path, w.Path
	if m.PathPrefix != "" {
		out.from, out.prefix = m.PathPrefix, true
		if strings.HasSuffix(out.from, "/") && !strings.HasSuffix(out.to, "/") {
			out.to += "/" // whole segments replace whole segments
		}
	}
	out.to = (&url.URL{Path: out.to}).EscapedPath()
	return out
}

// Apply changes a request that the rule matched: its host, headers and path. What
// stays of the path is as the client wrote it, but without the runs of slashes and
// dot segments that rules do not see.
func (w *Rewrite) Apply(r *http.Request) {
	if w == nil {
		return
	}
	if w.host != "" {
		r.Host = w.host
	}
	for _, h := range w.headers {
		r.Header[h.name] = []string{h.value}
	}
	if w.to == "" {
		return
	}
	path := w.to
	if w.prefix {
		rest := w.rest(r.URL)
		if strings.HasPrefix(rest, "/") {
			path = strings.TrimSuffix(path, "/")
		}
		path += rest
	}
	plain, err := url.PathUnescape(path)
	if err != nil {
		return // it was put together from valid escapes
	}
	r.URL.Path, r.URL.RawPath = plain, path
}

// rest is what follows the prefix, escaped as the client did.
func (w *Rewrite) rest(u *url.URL) string {
	escaped := u.EscapedPath()
	if !isClean(u.Path) {
		// Rules see the clean path. Its dots may be escaped, its slashes are
		// not: Refuse does not let those through beside a `..`.
		escaped, _, _ = resolve(strings.NewReplacer("%2e", ".", "%2E", ".").Replace(escaped))
	}
	at := 0
	for range len(w.from) { // each byte of the prefix is one, or three where it is escaped
		switch {
		case at >= len(escaped):
			return ""
		case escaped[at] == '%':
			at += 3
		default:
			at++
		}
	}
	return escaped[min(at, len(escaped)):]
}
