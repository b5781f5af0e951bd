package route

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/changeover-dev/changeover/plan"
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

// Hide takes from a request what no backend gets.
func (t *Table) Hide(r *http.Request) {
	if t.force != nil {
		delete(r.Header, t.force.header)
	}
}
