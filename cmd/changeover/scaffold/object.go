package scaffold

import (
	"cmp"
	"fmt"
	"strings"

	networking "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
)

const gatewayGroup = "gateway.networking.k8s.io"

// httpRoute is what is read of one; its other fields do not matter here.
type httpRoute struct {
	Metadata struct{ Name, Namespace string } `json:"metadata"`
	Spec     struct {
		Hostnames  []string         `json:"hostnames"`
		ParentRefs []plan.ParentRef `json:"parentRefs"`
		Rules      []httpRule       `json:"rules"`
	} `json:"spec"`
}

type httpRule struct {
	Matches []struct {
		Path *struct{ Type, Value string } `json:"path"`
	} `json:"matches"`
	Filters     []map[string]any `json:"filters"`
	BackendRefs []struct {
		Kind, Name, Namespace string
		Port                  int
	} `json:"backendRefs"`
}

// FromObject reads an HTTPRoute or an Ingress, as YAML or JSON. It must send all
// its requests to one Service, which is legacy; where it names several, service
// says which.
func FromObject(src []byte, service string) (Today, error) {
	var object map[string]any
	if err := yaml.Unmarshal(src, &object); err != nil {
		return Today{}, fmt.Errorf("read YAML: %w", err)
	}
	kind, _ := object["kind"].(string)
	version, _ := object["apiVersion"].(string)
	switch {
	case kind == "HTTPRoute" && strings.HasPrefix(version, gatewayGroup+"/"):
		var r httpRoute
		if err := yaml.Unmarshal(src, &r); err != nil {
			return Today{}, fmt.Errorf("read the HTTPRoute: %w", err)
		}
		return fromHTTPRoute(&r, service)
	case kind == "Ingress" && version == networking.SchemeGroupVersion.String():
		var in networking.Ingress
		if err := yaml.Unmarshal(src, &in); err != nil {
			return Today{}, fmt.Errorf("read the Ingress: %w", err)
		}
		return fromIngress(&in, service)
	}
	return Today{}, fmt.Errorf("it is %s %s: want an HTTPRoute of %s or an Ingress of %s", cmp.Or(version, "of no apiVersion"),
		cmp.Or(kind, "of no kind"), gatewayGroup, networking.SchemeGroupVersion)
}

// backends collects the Services that are named, and picks the one that is meant.
type backends struct {
	found []plan.Service
	other []string // what is named beside Services
}

func (b *backends) add(s plan.Service) {
	for _, f := range b.found {
		if f == s {
			return
		}
	}
	b.found = append(b.found, s)
}

func (b *backends) pick(service string) (plan.Service, error) {
	var names []string
	for _, s := range b.found {
		if s.Name == service || service == "" && len(b.found) == 1 && len(b.other) == 0 {
			return s, nil
		}
		names = append(names, fmt.Sprintf("%s (port %d)", s.Name, s.Port))
	}
	names = append(names, b.other...)
	switch {
	case len(names) == 0:
		return plan.Service{}, fmt.Errorf("it names no Service")
	case service != "":
		return plan.Service{}, fmt.Errorf("it does not name the Service %q, but %s", service, strings.Join(names, ", "))
	}
	return plan.Service{}, fmt.Errorf("it names %s: say with --service which of them is legacy", strings.Join(names, ", "))
}

func fromHTTPRoute(r *httpRoute, service string) (Today, error) {
	namespace, name := cmp.Or(r.Metadata.Namespace, "default"), r.Metadata.Name
	t := Today{From: fmt.Sprintf("HTTPRoute %s/%s", namespace, name), Namespace: namespace}
	var all backends
	for _, rule := range r.Spec.Rules {
		for _, ref := range rule.BackendRefs {
			if ref.Kind != "" && ref.Kind != "Service" {
				all.other = append(all.other, fmt.Sprintf("the %s %s", ref.Kind, ref.Name))
				continue
			}
			all.add(plan.Service{Name: ref.Name, Namespace: elsewhere(ref.Namespace, namespace), Port: ref.Port})
		}
		if len(rule.Filters) > 0 {
			t.note("The HTTPRoute has filters. A plan has rewrite and mirror: see which of them you need.")
		}
	}
	legacy, err := all.pick(service)
	if err != nil {
		return Today{}, err
	}
	if len(r.Spec.ParentRefs) == 0 {
		return Today{}, fmt.Errorf("the HTTPRoute names no Gateway: it serves nothing today")
	}
	t.Legacy.Service = &legacy
	g := &plan.GatewayAPIGateway{Namespace: namespace, Hostnames: r.Spec.Hostnames}
	for _, ref := range r.Spec.ParentRefs {
		ref.Namespace = elsewhere(ref.Namespace, namespace)
		g.ParentRefs = append(g.ParentRefs, ref)
	}
	t.Gateway.GatewayAPI = g
	t.paths(routePaths(r))
	t.note("The plan writes an HTTPRoute of its own, named as the plan. Delete " + name + " when that serves: of two, the older one wins.")
	return t, nil
}

// elsewhere is a namespace, where it is not the one that is meant anyway.
func elsewhere(namespace, own string) string {
	if namespace == own {
		return ""
	}
	return namespace
}

// routePaths are the paths that an HTTPRoute takes; none: all.
func routePaths(r *httpRoute) []string {
	var out []string
	for _, rule := range r.Spec.Rules {
		if len(rule.Matches) == 0 {
			return nil
		}
		for _, m := range rule.Matches {
			switch {
			case m.Path == nil, m.Path.Value == "", m.Path.Value == "/" && m.Path.Type != "Exact":
				return nil
			case m.Path.Type != "" && m.Path.Type != "PathPrefix":
				out = append(out, fmt.Sprintf("%s (%s)", m.Path.Value, m.Path.Type))
			default:
				out = append(out, m.Path.Value)
			}
		}
	}
	return out
}

func fromIngress(in *networking.Ingress, service string) (Today, error) {
	namespace := cmp.Or(in.Namespace, "default")
	t := Today{From: fmt.Sprintf("Ingress %s/%s", namespace, in.Name), Namespace: namespace, Gateway: plan.Gateway{Bridge: &plan.BridgeGateway{}}}
	var all backends
	add := func(b *networking.IngressBackend) {
		switch {
		case b == nil:
		case b.Service == nil:
			all.other = append(all.other, "a resource that is no Service")
		case b.Service.Port.Number == 0:
			all.other = append(all.other, fmt.Sprintf("%s by the name of its port (%s)", b.Service.Name, b.Service.Port.Name))
		default:
			all.add(plan.Service{Name: b.Service.Name, Port: int(b.Service.Port.Number)})
		}
	}
	add(in.Spec.DefaultBackend)
	paths, every := []string(nil), in.Spec.DefaultBackend != nil
	for _, rule := range in.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, p := range rule.HTTP.Paths {
			add(&p.Backend)
			every = every || p.Path == "" || p.Path == "/"
			paths = append(paths, p.Path)
		}
	}
	legacy, err := all.pick(service)
	if err != nil {
		return Today{}, err
	}
	t.Legacy.URL = fmt.Sprintf("http://%s.%s.svc:%d", legacy.Name, namespace, legacy.Port)
	if !every {
		t.paths(paths)
	}
	t.note("An Ingress has no weights. The plan splits at changeover-bridge: let the Ingress send its requests there, once it runs.")
	return t, nil
}
