package gatewaytest

import (
	"net/http"
	"net/url"
	"strings"
)

// change applies a header modifier.
func (h *headerChange) change(header http.Header) {
	if h == nil {
		return
	}
	for _, v := range h.Set {
		header.Set(v.Name, v.Value)
	}
	for _, v := range h.Add {
		header.Add(v.Name, v.Value)
	}
	for _, name := range h.Remove {
		header.Del(name)
	}
}

// rewrite applies what filters change of a request on its way to the backend.
// The prefix is what the match had.
func rewrite(out *http.Request, filters []filter, prefix string) {
	for _, f := range filters {
		f.RequestHeaderModifier.change(out.Header)
		if f.URLRewrite == nil {
			continue
		}
		if f.URLRewrite.Hostname != "" {
			out.Host = f.URLRewrite.Hostname
		}
		switch p := f.URLRewrite.Path; {
		case p == nil:
		case p.Type == "ReplaceFullPath":
			setPath(out.URL, p.ReplaceFullPath)
		case p.Type == "ReplacePrefixMatch":
			setPath(out.URL, replacePrefix(out.URL.EscapedPath(), prefix, p.ReplacePrefixMatch))
		}
	}
}

// replacePrefix follows the table of the Gateway API: a slash at the end of the
// prefix or of its replacement does not count.
func replacePrefix(path, prefix, replacement string) string {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(prefix, "/"))
	if !ok {
		return path // a filter before this one has changed it
	}
	return "/" + strings.TrimPrefix(strings.TrimSuffix(replacement, "/")+rest, "/")
}

// setPath sets a path that is written as in a request line.
func setPath(u *url.URL, escaped string) {
	path, err := url.PathUnescape(escaped)
	if err != nil {
		path, escaped = escaped, "" // net/url then escapes it
	}
	u.Path, u.RawPath = path, escaped
}
