package route

import (
	"net/url"
	"path"
	"strings"
)

// Path is the form of a request's path that rules are matched with. It is what
// a backend most likely makes of it, so that no other spelling of a path slips
// past its rule: percent-encoding is undone but for an encoded slash, which
// stays %2F; runs of slashes are one; dot segments are resolved.
//
// Only matching uses it. Backends get the path as the client wrote it.
func Path(u *url.URL) string {
	p := u.Path
	if u.RawPath != "" {
		p = decode(u.EscapedPath())
	}
	switch {
	case p == "": // as in GET http://example.com
		return "/"
	case isClean(p):
		return p
	}
	clean := path.Clean(p)
	if clean != "/" && (strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")) {
		clean += "/"
	}
	return clean
}

// isClean may say false of a clean path, never true of another.
func isClean(p string) bool {
	for i := 1; i < len(p); i++ {
		if p[i-1] == '/' && (p[i] == '/' || p[i] == '.') {
			return false
		}
	}
	return strings.HasPrefix(p, "/") || p == "*"
}

// decode undoes percent-encoding but for slashes. The input is well formed:
// the server has parsed it.
func decode(escaped string) string {
	parts := strings.Split(strings.ReplaceAll(escaped, "%2f", "%2F"), "%2F")
	for i, part := range parts {
		if plain, err := url.PathUnescape(part); err == nil {
			parts[i] = plain
		}
	}
	return strings.Join(parts, "%2F")
}
