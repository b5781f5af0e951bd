package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Override lets callers from some networks choose their side by a header, as
// testers do: with the value legacy or modern it decides in place of a split. A
// route to one side and one that answers itself stay as they are. Any other value,
// and the header of anybody else, does nothing. No backend gets the header.
type Override struct {
	Header string `json:"header"`
	// From are the networks, as 10.0.0.0/8.
	From []string `json:"from"`
}

// Networks are those of From. It fails where one is not written as its first
// address and the length of its prefix.
func (o *Override) Networks() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range o.From {
		p, err := netip.ParsePrefix(s)
		if err != nil || p != p.Masked() || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is not a network such as 10.0.0.0/8", s)
		}
		out = append(out, p)
	}
	return out, nil
}

func (v *validator) override() {
	const path = "spec.override"
	o := v.p.Spec.Override
	if o == nil {
		return
	}
	v.capable(path, choose, "remove override")
	v.named(v.at, path+".header", "header", o.Header, token, v.abilities().header)
	switch {
	case isGatewayHeader(o.Header) || strings.EqualFold(o.Header, "Host"):
		v.at(path+".header", "header", fmt.Sprintf("header %q has a meaning of its own, and no backend would get it", o.Header), "choose another name, such as X-Changeover-Force")
	case v.p.Spec.Identity != nil && o.Header != "" && strings.EqualFold(o.Header, v.p.Spec.Identity.Header):
		v.at(path+".header", "header", fmt.Sprintf("header %q is the identity of callers as well", o.Header), "choose another name, such as X-Changeover-Force")
	}
	for i, s := range o.From {
		v.network(fmt.Sprintf("%s.from[%d]", path, i), s)
		if slices.Index(o.From, s) < i {
			v.at(fmt.Sprintf("%s.from[%d]", path, i), "network", fmt.Sprintf("network %s is already in the list", shorten(s)), "remove one of the two")
		}
	}
	for i := range v.p.Spec.Phases {
		for j := range v.p.Spec.Phases[i].Routes {
			v.notForced(fmt.Sprintf("spec.phases[%d].routes[%d]", i, j), &v.p.Spec.Phases[i].Routes[j], o.Header)
		}
	}
}

// network checks one network: it is written in its one form, and is not
// everybody.
func (v *validator) network(path, s string) {
	const code = "network"
	p, err := netip.ParsePrefix(s)
	addr, addrErr := netip.ParseAddr(s)
	switch {
	case addrErr == nil && addr.Zone() == "":
		v.at(path, code, fmt.Sprintf("%s is an address, not a network", shorten(s)), fmt.Sprintf("write %s/%d", addr.Unmap(), addr.Unmap().BitLen()))
	case err != nil || p.Addr().Is4In6():
		v.at(path, code, fmt.Sprintf("%s is not a network", shorten(s)), "write it as 10.0.0.0/8 or fd00::/8")
	case p != p.Masked():
		v.at(path, code, fmt.Sprintf("%s has bits set behind its prefix", shorten(s)), "write "+p.Masked().String())
	case p.Bits() == 0:
		v.at(path, code, fmt.Sprintf("%s is everybody: any caller could choose the side", shorten(s)), "list the networks of those who may")
	}
}

// notForced refuses routes that read or write the header: it would count from
// everywhere then.
func (v *validator) notForced(route string, r *Route, header string) {
	const hint = "match another header, or rename that of spec.override"
	if r.Match != nil {
		for name := range r.Match.Headers {
			if strings.EqualFold(name, header) {
				v.key(join(route+".match.headers", name), "header", fmt.Sprintf("header %q is that of spec.override, which counts from its networks alone", name), hint)
			}
		}
	}
	if r.Rewrite != nil {
		for name := range r.Rewrite.Headers {
			if strings.EqualFold(name, header) {
				v.key(join(route+".rewrite.headers", name), "header", fmt.Sprintf("header %q is that of spec.override, which no backend gets", name), "set another header")
			}
		}
	}
}
