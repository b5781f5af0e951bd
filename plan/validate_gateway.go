package plan

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// backends checks that both are given in the way that the gateway reaches them,
// and whatever else is given of them.
func (v *validator) backends() {
	const path = "spec.backends"
	if !v.has(path) {
		if v.has("spec.gateway") {
			v.missing(path, "say where the two sides are: the gateway sends requests to them")
		}
		return
	}
	v.backend(path+".legacy", v.p.Spec.Backends.Legacy)
	v.backend(path+".modern", v.p.Spec.Backends.Modern)
}

func (v *validator) backend(path string, b Backend) {
	if b.URL != "" {
		v.backendURL(path+".url", b.URL)
	}
	if b.Service != nil {
		v.service(path+".service", b.Service)
	}
	can := v.abilities()
	switch {
	case can.service && b.Service == nil:
		v.missing(path+".service", fmt.Sprintf("%s routes to Services: add service: {name: NAME, port: PORT}", can.name))
	case can.url && b.URL == "":
		v.missing(path+".url", urlForm)
	case can.url && b.Service != nil:
		v.at(path+".service", "backend", fmt.Sprintf("%s connects to the url, so a service does nothing", can.name), "remove service")
	case b.URL == "" && b.Service == nil && v.whole(path):
		v.at(path, "backend", "the backend is empty", "give a url or a service; a plan without a gateway may also leave backends out")
	}
}

// missing reports a field that is needed because of another.
func (v *validator) missing(path, hint string) {
	v.at(path, "missing-field", fmt.Sprintf("field %q is missing", path), hint)
}

func (v *validator) service(path string, s *Service) {
	v.label(path+".name", "the name of a Service", s.Name)
	if v.has(path + ".namespace") {
		v.label(path+".namespace", "a namespace", s.Namespace)
	}
	v.port(path+".port", s.Port)
}

func (v *validator) port(path string, port int) {
	if port < 1 || port > 65535 {
		v.at(path, "port", fmt.Sprintf("%d is not a port", port), "ports are from 1 to 65535")
	}
}

const urlForm = "write it as http://HOST:PORT or https://HOST:PORT"

// backendURL checks the URL of a backend: where to connect to, nothing more.
func (v *validator) backendURL(path, raw string) {
	report := func(message string) { v.at(path, "backend-url", message, urlForm) }
	u, err := url.Parse(raw)
	switch {
	case strings.Contains(raw, "@"):
		v.secret(path, "backend-url", "the URL holds a user or password", "credentials do not belong into Git; "+urlForm)
	case err != nil || u.Opaque != "":
		report(fmt.Sprintf("%s is not a URL", shorten(raw)))
	case u.Scheme != "http" && u.Scheme != "https":
		report(fmt.Sprintf("%s is not an absolute http or https URL", shorten(raw)))
	case !isHost(u.Hostname(), strings.HasPrefix(u.Host, "[")):
		report(fmt.Sprintf("%s names no host", shorten(raw)))
	case !isPort(u):
		report(fmt.Sprintf("%s has no valid port", shorten(raw)))
	case u.Path != "" && u.Path != "/":
		report(fmt.Sprintf("the URL has the path %s; requests keep their own path", shorten(u.Path)))
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(raw, "#"):
		report("the URL has a query or fragment")
	}
}

// isHost reports whether a host is a name or an address. In brackets stands an
// IPv6 address.
func isHost(host string, brackets bool) bool {
	if brackets {
		a, err := netip.ParseAddr(host)
		return err == nil && a.Is6() && a.Zone() == ""
	}
	return hostname.MatchString(host)
}

// isPort reports whether the port of a URL is absent or one to connect to.
func isPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

func (v *validator) gateway() {
	const (
		path = "spec.gateway"
		hint = "give exactly one of gatewayAPI, nginx and bridge"
	)
	g := v.p.Spec.Gateway
	if g == nil {
		return
	}
	if v.whole(path) {
		switch names := gatewayNames(g); {
		case len(names) == 0:
			v.at(path, "gateway", "the gateway is not named", hint+", such as nginx: {}")
		case len(names) > 1:
			v.at(path, "gateway", fmt.Sprintf("%d gateways are named: %s", len(names), strings.Join(names, ", ")), hint)
		}
	}
	if g.NGINX != nil && v.has(path+".nginx.bridge") {
		v.backendURL(path+".nginx.bridge", g.NGINX.Bridge)
	}
	if g.GatewayAPI != nil {
		v.gatewayAPI(path+".gatewayAPI", g.GatewayAPI)
	}
}

// The most that an HTTPRoute takes.
const (
	maxParents   = 32
	maxHostnames = 16
)

func (v *validator) gatewayAPI(path string, g *GatewayAPIGateway) {
	if v.has(path + ".namespace") {
		v.label(path+".namespace", "a namespace", g.Namespace)
	}
	if g.Bridge != nil {
		v.service(path+".bridge", g.Bridge)
	}
	if n := len(g.ParentRefs); n > maxParents {
		v.at(path+".parentRefs", "gateway", fmt.Sprintf("%d parentRefs; at most %d are allowed", n, maxParents), "split the plan")
	}
	for i, ref := range g.ParentRefs {
		v.parentRef(fmt.Sprintf("%s.parentRefs[%d]", path, i), ref)
		v.parentTwice(path+".parentRefs", g.ParentRefs, i)
	}
	if n := len(g.Hostnames); n > maxHostnames {
		v.at(path+".hostnames", "hostname", fmt.Sprintf("%d hostnames; at most %d are allowed", n, maxHostnames), "use a wildcard such as *.example.com, or leave hostnames out to take those of the Gateway")
	}
	for i, host := range g.Hostnames {
		at := fmt.Sprintf("%s.hostnames[%d]", path, i)
		v.hostname(at, strings.TrimPrefix(host, "*."), host)
		if j := slices.Index(g.Hostnames, host); j < i && host != "" {
			v.at(at, "hostname", fmt.Sprintf("hostname %s is already in the list", shorten(host)), "remove one of the two")
		}
	}
}

func (v *validator) parentRef(path string, ref ParentRef) {
	v.subdomain(path+".name", "the name of a Gateway", ref.Name)
	if v.has(path + ".namespace") {
		v.label(path+".namespace", "a namespace", ref.Namespace)
	}
	if ref.SectionName != "" {
		v.subdomain(path+".sectionName", "the name of a listener", ref.SectionName)
	}
	if v.has(path + ".port") {
		v.port(path+".port", ref.Port)
	}
}

// parentTwice refuses two references to one Gateway that are not told apart by
// their listeners, as the HTTPRoute itself does.
func (v *validator) parentTwice(path string, refs []ParentRef, i int) {
	at := fmt.Sprintf("%s[%d]", path, i)
	if !v.whole(at) || refs[i].Name == "" {
		return
	}
	for j, other := range refs[:i] {
		if other.Name != refs[i].Name || other.Namespace != refs[i].Namespace || !v.whole(fmt.Sprintf("%s[%d]", path, j)) {
			continue
		}
		line, _ := v.d.Locate(fmt.Sprintf("%s[%d].name", path, j), 0)
		switch {
		case other == refs[i]:
			v.at(at+".name", "duplicate-name", fmt.Sprintf("this parentRef is already at line %d", line), "remove one of the two")
		case other.SectionName == "" || refs[i].SectionName == "" || other.SectionName == refs[i].SectionName:
			v.at(at+".name", "duplicate-name", fmt.Sprintf("Gateway %q is already at line %d, and their listeners do not tell the two apart", other.Name, line),
				"give both a sectionName of their own, or keep one without")
		default:
			continue
		}
		return
	}
}

// hostname checks a name by which clients reach a gateway. Whole is the text of
// the field.
func (v *validator) hostname(path, name, whole string) {
	const code = "hostname"
	_, err := netip.ParseAddr(name)
	switch {
	case whole == "":
	case strings.Contains(whole, "@"):
		v.secret(path, code, "a user or password stands before the name", "give the DNS name alone; credentials do not belong into Git")
	case err == nil:
		v.at(path, code, fmt.Sprintf("%s is an address", shorten(whole)), "use a DNS name: gateways route by names")
	case isSubdomain(name):
	case strings.ToLower(name) != name && isSubdomain(strings.ToLower(name)):
		v.at(path, code, fmt.Sprintf("hostname %s is not in lower case", shorten(whole)), "write "+strings.ToLower(whole))
	case strings.Contains(name, ":"):
		v.at(path, code, fmt.Sprintf("%s is not a DNS name", shorten(whole)), "give the name alone, without scheme and port")
	default:
		v.at(path, code, fmt.Sprintf("%s is not a DNS name", shorten(whole)), "write it as shop.example.com; a * may stand for the first part of a hostname alone")
	}
}
