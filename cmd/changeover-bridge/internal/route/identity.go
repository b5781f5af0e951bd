package route

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/changeover-dev/changeover/render/bridge"
)

// keyFunc finds a caller's key in a request; "" where it has none.
type keyFunc func(r *http.Request, client netip.Addr) string

func keyOf(id *bridge.Identity) keyFunc {
	switch {
	case id == nil:
		return func(*http.Request, netip.Addr) string { return "" }
	case id.Header != "":
		name := http.CanonicalHeaderKey(id.Header)
		return func(r *http.Request, _ netip.Addr) string { return header(r, name) }
	case id.Cookie != "":
		return func(r *http.Request, _ netip.Addr) string {
			c, err := r.Cookie(id.Cookie)
			if err != nil {
				return ""
			}
			return c.Value
		}
	case id.Query != "":
		return func(r *http.Request, _ netip.Addr) string { return query(r.URL.RawQuery, id.Query) }
	default:
		return func(_ *http.Request, client netip.Addr) string {
			if !client.IsValid() {
				return ""
			}
			return client.String()
		}
	}
}

// header is the first value of a header by its canonical name. The server
// takes Host out of the headers.
func header(r *http.Request, name string) string {
	if name == "Host" {
		return r.Host
	}
	if values := r.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// query is the first value of a parameter, without building the whole map.
func query(raw, name string) string {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		key, value, _ := strings.Cut(pair, "=")
		if unescape(key) == name {
			return unescape(value)
		}
	}
	return ""
}

func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	plain, err := url.QueryUnescape(s)
	if err != nil {
		return s
	}
	return plain
}
