package route

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// force is the header by which callers from some networks choose their side.
// Nil: nobody does.
type force struct {
	header string // canonical
	from   []netip.Prefix
}

func forceOf(o *plan.Override) (*force, error) {
	if o == nil {
		return nil, nil
	}
	from, err := o.Networks()
	return &force{header: http.CanonicalHeaderKey(o.Header), from: from}, err
}

// side is the one that the caller chose; "" where it may not, or has not.
func (f *force) side(r *http.Request, client netip.Addr) plan.Side {
	if f == nil {
		return ""
	}
	side := plan.Side(strings.Trim(header(r, f.header), " \t"))
	if side != plan.Legacy && side != plan.Modern {
		return ""
	}
	for _, p := range f.from {
		if p.Contains(client) {
			return side
		}
	}
	return ""
}

// Hide takes from a request what no backend gets: the header that chooses a side,
// and what a backend would take for a header of the bridge's. Those that hand
// headers on as CGI does read X_Changeover_Side as X-Changeover-Side. nginx drops
// all names with an underscore.
func (t *Table) Hide(r *http.Request) {
	if t.force != nil {
		delete(r.Header, t.force.header)
	}
	for name := range r.Header {
		if strings.IndexByte(name, '_') < 0 {
			continue
		}
		plain := strings.ReplaceAll(name, "_", "-")
		if strings.EqualFold(plain, bridge.HeaderSide) || tellsWho(plain) || t.force != nil && strings.EqualFold(plain, t.force.header) {
			delete(r.Header, name)
		}
	}
}

// tellsWho reports whether a header says, to who trusts it, who the caller is.
func tellsWho(name string) bool {
	const prefix = "X-Forwarded-"
	return strings.EqualFold(name, "X-Real-Ip") || len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
