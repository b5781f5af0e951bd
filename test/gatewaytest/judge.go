package gatewaytest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// world is all that is known at a moment. Keys are NAMESPACE/NAME.
type world struct {
	class      *gatewayClass             // nil where it is not there
	gateways   map[string]*gatewayObject // of this fixture's class
	foreign    map[string]bool           // Gateways of other classes
	routes     []*httpRoute
	unknown    map[string]error // what of a route has no place in httpRoute
	services   map[string]*service
	grants     []*referenceGrant
	namespaces map[string]*namespace
	features   map[string]bool   // that the class has
	reject     string            // the reason for refusing every route
	backends   map[string]string // NAMESPACE/NAME:PORT to URL
}

// finding is why something does not hold; its zero value is that it does.
type finding struct{ reason, message string }

func found(reason, format string, args ...any) finding {
	return finding{reason, fmt.Sprintf(format, args...)}
}

// verdict is what one parent says of a route.
type verdict struct {
	accepted, resolved finding
	// hosts are the hostnames under which it is served, "" for all; listeners
	// are those that it is attached to.
	hosts, listeners []string
}

func (h Head) key() string { return h.Metadata.Namespace + "/" + h.Metadata.Name }

// gatewayOf is the key of the Gateway that a parent names; empty where it names
// something else.
func gatewayOf(r *httpRoute, ref parentRef) string {
	if ref.Group != apiGroup || ref.Kind != "Gateway" {
		return ""
	}
	return cmp.Or(ref.Namespace, r.Metadata.Namespace) + "/" + ref.Name
}

// judge says what a parent of this fixture thinks of a route.
func (w *world) judge(r *httpRoute, ref parentRef) verdict {
	v := verdict{resolved: w.references(r)}
	v.hosts, v.listeners, v.accepted = w.attach(r, ref, w.gateways[gatewayOf(r, ref)])
	if f := w.unsupported(r); f != (finding{}) {
		v.accepted = f
	}
	if w.reject != "" {
		v.accepted = found(w.reject, "the test made the fixture refuse every route")
	}
	if v.accepted != (finding{}) {
		v.hosts, v.listeners = nil, nil
	}
	return v
}

// attach finds the listeners that take a route.
func (w *world) attach(r *httpRoute, ref parentRef, g *gatewayObject) (hosts, names []string, f finding) {
	f = found("NoMatchingParent", "Gateway %q has no listener of that name and port", g.key())
	for i, l := range g.Spec.Listeners {
		if ref.SectionName != "" && ref.SectionName != l.Name || ref.Port != 0 && ref.Port != l.Port || g.unfit(i) != (finding{}) {
			continue
		}
		if !w.allowed(r, g, l) {
			if f.reason == "NoMatchingParent" {
				f = found("NotAllowedByListeners", "listener %q takes no HTTPRoutes from namespace %q", l.Name, r.Metadata.Namespace)
			}
			continue
		}
		common := intersect(l.Hostname, r.Spec.Hostnames)
		if len(common) == 0 {
			f = found("NoMatchingListenerHostname", "listener %q is for %q, the route for %q", l.Name, l.Hostname, r.Spec.Hostnames)
			continue
		}
		names = append(names, l.Name)
		hosts = append(hosts, common...)
	}
	if len(names) > 0 {
		f = finding{}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), names, f
}

// unfit says why a listener serves nothing.
func (g *gatewayObject) unfit(i int) finding {
	l := g.Spec.Listeners[i]
	if l.Protocol != "HTTP" {
		return found("UnsupportedProtocol", "the fixture speaks HTTP, not %s", l.Protocol)
	}
	for _, before := range g.Spec.Listeners[:i] {
		if before.Protocol == l.Protocol && before.Hostname == l.Hostname {
			return found("PortUnavailable", "the fixture serves all listeners of a Gateway on one port, and %q has this hostname", before.Name)
		}
	}
	return finding{}
}

func (w *world) allowed(r *httpRoute, g *gatewayObject, l listener) bool {
	kinds := l.AllowedRoutes.Kinds
	if len(kinds) > 0 && !slices.Contains(kinds, groupKind{apiGroup, "HTTPRoute"}) {
		return false
	}
	switch l.AllowedRoutes.Namespaces.From {
	case "All":
		return true
	case "Selector":
		selector, err := metav1.LabelSelectorAsSelector(l.AllowedRoutes.Namespaces.Selector)
		ns := w.namespaces[r.Metadata.Namespace]
		return err == nil && ns != nil && selector.Matches(labels.Set(ns.Metadata.Labels))
	case "", "Same":
		return g.Metadata.Namespace == r.Metadata.Namespace
	}
	return false
}

// target is where requests for a backend go.
type target struct {
	service, side string // NAMESPACE/NAME:PORT, and what counters call it
	url           string // empty where it has no endpoint
	invalid       bool
}

// backend resolves a reference of a route.
func (w *world) backend(r *httpRoute, ref backendRef) (target, finding) {
	ns := cmp.Or(ref.Namespace, r.Metadata.Namespace)
	name := ns + "/" + ref.Name
	t := target{service: fmt.Sprintf("%s:%d", name, ref.Port), side: ref.Name, invalid: true}
	if ref.Group != "" || ref.Kind != "" && ref.Kind != "Service" {
		return t, found("InvalidKind", "%s.%s %q is no Service", ref.Kind, ref.Group, name)
	}
	if ns != r.Metadata.Namespace && !w.granted(r.Metadata.Namespace, ns, ref.Name) {
		return t, found("RefNotPermitted", "no ReferenceGrant in namespace %q lets HTTPRoutes of namespace %q use Service %q", ns, r.Metadata.Namespace, ref.Name)
	}
	s := w.services[name]
	if s == nil {
		return t, found("BackendNotFound", "there is no Service %q", name)
	}
	t.side = cmp.Or(s.Metadata.Annotations[SideAnnotation], ref.Name)
	for _, p := range s.Spec.Ports {
		if p.Port == ref.Port {
			t.invalid, t.url = false, cmp.Or(w.backends[t.service], s.Metadata.Annotations[URLAnnotation])
			return t, finding{}
		}
	}
	return t, found("BackendNotFound", "Service %q has no port %d", name, ref.Port)
}

// granted tells whether a namespace lets HTTPRoutes of another use a Service.
func (w *world) granted(from, to, service string) bool {
	for _, g := range w.grants {
		if g.Metadata.Namespace != to {
			continue
		}
		trusted, covered := false, false
		for _, f := range g.Spec.From {
			trusted = trusted || f.Group == apiGroup && f.Kind == "HTTPRoute" && f.Namespace == from
		}
		for _, t := range g.Spec.To {
			covered = covered || t.Group == "" && t.Kind == "Service" && (t.Name == "" || t.Name == service)
		}
		if trusted && covered {
			return true
		}
	}
	return false
}

// references resolves all backends of a route, mirrors as well, and tells of
// the first that fails.
func (w *world) references(r *httpRoute) finding {
	for _, rule := range r.Spec.Rules {
		refs := slices.Clone(rule.BackendRefs)
		for _, f := range rule.Filters {
			if f.RequestMirror != nil {
				refs = append(refs, f.RequestMirror.BackendRef)
			}
		}
		for _, ref := range refs {
			if _, f := w.backend(r, ref); f != (finding{}) {
				return f
			}
		}
	}
	return finding{}
}

// unsupported says what of a route the fixture, or its class, cannot do.
func (w *world) unsupported(r *httpRoute) finding {
	if err := w.unknown[r.key()]; err != nil {
		return found("UnsupportedValue", "the fixture does not know all of it: %v", err)
	}
	c := capability{needs: map[string]bool{}}
	for _, ref := range r.Spec.ParentRefs {
		c.need(ref.Port != 0, "HTTPRouteParentRefPort")
	}
	for _, rule := range r.Spec.Rules {
		c.rule(rule)
	}
	if len(c.beyond) > 0 {
		return found("UnsupportedValue", "the fixture cannot do: %s", strings.Join(c.beyond, "; "))
	}
	for _, name := range slices.Sorted(maps.Keys(c.needs)) {
		if !w.features[name] {
			return found("UnsupportedValue", "the class does not support %s", name)
		}
	}
	return finding{}
}

// capability gathers what a route asks for.
type capability struct {
	needs  map[string]bool // features
	beyond []string        // what the fixture never does
}

func (c *capability) need(is bool, feature string) {
	if is {
		c.needs[feature] = true
	}
}

func (c *capability) never(is bool, format string, args ...any) {
	if is {
		c.beyond = append(c.beyond, fmt.Sprintf(format, args...))
	}
}

func (c *capability) rule(r rule) {
	c.need(r.Name != "", "HTTPRouteNamedRouteRule")
	for _, m := range r.Matches {
		c.never(m.Path.Type != "Exact" && m.Path.Type != "PathPrefix" && m.Path.Type != "", "path match of type %q", m.Path.Type)
		c.need(m.Method != "", "HTTPRouteMethodMatching")
		c.need(len(m.QueryParams) > 0, "HTTPRouteQueryParamMatching")
		for _, v := range slices.Concat(m.Headers, m.QueryParams) {
			c.never(v.Type != "Exact" && v.Type != "", "match of %q of type %q", v.Name, v.Type)
		}
	}
	mirrors := 0
	for _, f := range r.Filters {
		if f.RequestMirror != nil {
			mirrors++
		}
		c.filter(f)
	}
	c.need(mirrors > 1, "HTTPRouteRequestMultipleMirrors")
	for _, b := range r.BackendRefs {
		for _, f := range b.Filters {
			c.never(f.RequestMirror != nil, "mirror in a backendRef")
			c.need(f.RequestHeaderModifier != nil, "HTTPRouteBackendRequestHeaderModification")
			c.filter(f)
		}
	}
}

func (c *capability) filter(f filter) {
	switch f.Type {
	case "RequestHeaderModifier":
		c.never(f.RequestHeaderModifier.names("Host"), "header modifier for Host: use urlRewrite.hostname")
	case "ResponseHeaderModifier":
		c.need(true, "HTTPRouteResponseHeaderModification")
	case "RequestMirror":
		c.need(true, "HTTPRouteRequestMirror")
		c.need(f.RequestMirror.Percent != nil || f.RequestMirror.Fraction != nil, "HTTPRouteRequestPercentageMirror")
	case "URLRewrite":
		c.need(f.URLRewrite.Hostname != "", "HTTPRouteHostRewrite")
		c.need(f.URLRewrite.Path != nil, "HTTPRoutePathRewrite")
	default:
		c.never(true, "filter of type %q", f.Type)
	}
}

// names tells whether a header is among those that are set, added or removed.
func (h *headerChange) names(name string) bool {
	is := func(v headerValue) bool { return strings.EqualFold(v.Name, name) }
	return slices.ContainsFunc(h.Set, is) || slices.ContainsFunc(h.Add, is) ||
		slices.ContainsFunc(h.Remove, func(n string) bool { return strings.EqualFold(n, name) })
}
