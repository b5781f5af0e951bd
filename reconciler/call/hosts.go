package call

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
)

// hosts are those that may be called: HOST for all ports of it, or HOST:PORT.
type hosts []string

func parseHosts(list []string) (hosts, error) {
	var out hosts
	for _, s := range list {
		host, port := s, ""
		if h, p, err := net.SplitHostPort(s); err == nil {
			host, port = h, p
		}
		host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
		n := 0
		if port != "" {
			if _, err := fmt.Sscanf(port, "%d", &n); err != nil || n < 1 || n > 65535 || fmt.Sprint(n) != port {
				return nil, fmt.Errorf("read host %q: %q is not a port", s, port)
			}
		}
		if _, err := netip.ParseAddr(host); host == "" || err != nil && strings.ContainsAny(host, ":/*?#@ ") {
			return nil, fmt.Errorf("read host %q: want HOST or HOST:PORT, such as legacy.so.svc or 127.0.0.1:8080", s)
		}
		if port != "" {
			host = net.JoinHostPort(host, port)
		}
		out = append(out, host)
	}
	return out, nil
}

// allow says why a URL may not be called; nil: it may.
func (h hosts) allow(u *url.URL) error {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	full := net.JoinHostPort(host, port)
	if slices.Contains(h, host) || slices.Contains(h, full) {
		return nil
	}
	return fmt.Errorf("host %s is not allowed: start the daemon with --allow-host %s if plans may call it", full, full)
}

// forbidden are addresses that nobody has an inventory at: clouds answer there
// with credentials.
func forbidden(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || slices.Contains(metadata, a)
}

// metadata are the addresses of clouds' metadata services outside of the link's.
var metadata = []netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16")}

// dialable is asked with the address that a connection goes to, after its name
// was resolved.
func dialable(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read address %q: %w", address, err)
	}
	if forbidden(a.Addr()) {
		return fmt.Errorf("address %s is never called: it is one of the link, or of a cloud's metadata", a.Addr())
	}
	return nil
}
