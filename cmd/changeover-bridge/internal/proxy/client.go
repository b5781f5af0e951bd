package proxy

import (
	"net/http"
	"net/netip"
	"strings"
)

// peer is the address at the other end of the connection; the zero value where
// it is not one.
func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func (h *Handler) trusts(a netip.Addr) bool {
	for _, p := range h.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// clientOf is the caller's address: the peer, or, where the peer is a trusted
// proxy, the last address in X-Forwarded-For that is not one.
func (h *Handler) clientOf(r *http.Request) netip.Addr {
	addr := peer(r)
	if len(h.trusted) == 0 || !h.trusts(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := hopOf(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		addr = hop.Unmap().WithZone("")
		if !h.trusts(addr) {
			break
		}
	}
	return addr
}

// hopOf reads one address of X-Forwarded-For; some proxies write its port as well.
func hopOf(s string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr, true
	}
	ap, err := netip.ParseAddrPort(s)
	return ap.Addr(), err == nil
}
