package nginx

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

var errNotHTTP = errors.New("want an absolute http or https URL")

// backend is one upstream, in nginx's words.
type backend struct {
	side   plan.Side
	scheme string
	server string // host:port
	host   string // for TLS
}

func parseBackend(side plan.Side, s string) (backend, error) {
	u, err := url.Parse(s)
	if err != nil {
		return backend{}, fmt.Errorf("%q: %w", s, errNotHTTP)
	}
	b := backend{side: side, scheme: u.Scheme, host: u.Hostname()}
	port := u.Port()
	switch {
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return backend{}, errors.New("want a URL without user, path, query and fragment")
	case u.Opaque != "" || b.host == "":
		return backend{}, fmt.Errorf("%q: %w", s, errNotHTTP)
	case b.scheme == "http" && port == "":
		port = "80"
	case b.scheme == "https" && port == "":
		port = "443"
	case b.scheme != "http" && b.scheme != "https":
		return backend{}, fmt.Errorf("%q: %w", s, errNotHTTP)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return backend{}, fmt.Errorf("%q: the port must be a number from 1 to 65535", s)
	}
	addr, err := netip.ParseAddr(b.host)
	if err == nil && addr.Zone() != "" || err != nil && !isHostname(b.host) {
		return backend{}, fmt.Errorf("%q: the host must be an address or a name of letters, digits, dashes and dots", s)
	}
	b.server = b.host + ":" + port
	if addr.Is6() {
		b.server = "[" + b.host + "]:" + port
	}
	return b, nil
}

// isHostname refuses what nginx would not read as a host. It takes "unix:" for
// a socket.
func isHostname(s string) bool {
	if len(s) > 253 || strings.EqualFold(s, "unix") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	})
}

// pass is the value of proxy_pass. As it has no path of its own, nginx passes
// the request's on as the client sent it.
func (b backend) pass(n names) string { return b.scheme + "://" + n.upstream(b.side) }

// upstreams writes one pool for each backend.
//
// keepalive_timeout lies below the idle timeout of any common server, so that
// no request is sent into a connection that the backend is just closing: nginx
// would answer 502 to a POST then, as it must not send it twice. max_fails=0:
// two errors must not make a backend unavailable for ten seconds, traffic is
// moved by Changeover alone.
func (c *config) upstreams() []byte {
	var w writer
	for _, b := range c.backends {
		w.open("upstream %s", c.names.upstream(b.side))
		w.directive("server", quote(b.server), "max_fails=0")
		w.directive("keepalive", "64")
		w.directive("keepalive_timeout", "1s")
		w.close()
	}
	return w.bytes()
}
