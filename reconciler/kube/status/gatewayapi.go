package status

import (
	"cmp"
	"fmt"
	"strings"
)

// gatewayGroup is the API group of the Gateway API.
const gatewayGroup = "gateway.networking.k8s.io"

// parent names what a route is attached to, as its spec and its status do.
type parent struct {
	group, kind, namespace, name, section string
	port                                  int64
}

func parentOf(ref map[string]any, namespace string) parent {
	group, named := ref["group"].(string) // empty is the core group: a Service
	if !named {
		group = gatewayGroup
	}
	port, _ := number(ref["port"])
	return parent{
		group: group, kind: cmp.Or(str(ref, "kind"), "Gateway"), namespace: cmp.Or(str(ref, "namespace"), namespace),
		name: str(ref, "name"), section: str(ref, "sectionName"), port: port,
	}
}

func (p parent) String() string {
	s := fmt.Sprintf("%s %s/%s", p.kind, p.namespace, p.name)
	if p.section != "" {
		s += " listener " + p.section
	}
	if p.port != 0 {
		s += fmt.Sprintf(" port %d", p.port)
	}
	return s
}

// Route reports whether a live route of the Gateway API (an HTTPRoute, a
// GRPCRoute or another) is taken by every parent that it names: Accepted and
// ResolvedRefs are True as of the current generation, and no rule was dropped.
// If not, it says which parent lacks what. What parents say that the route does
// not name any more does not count.
func Route(o map[string]any) (bool, string) {
	meta := child(o, "metadata")
	generation, _ := number(meta["generation"])
	namespace := str(meta, "namespace")
	refs, _ := child(o, "spec")["parentRefs"].([]any)
	if len(refs) == 0 {
		return false, "it names no parent, so no gateway serves it"
	}
	said := map[parent][]map[string]any{}
	entries, _ := child(o, "status")["parents"].([]any)
	for _, e := range entries {
		m, _ := e.(map[string]any)
		p := parentOf(child(m, "parentRef"), namespace)
		said[p] = append(said[p], m)
	}
	var wrong []string
	for _, r := range refs {
		ref, _ := r.(map[string]any)
		p := parentOf(ref, namespace)
		if why := refused(said[p], generation); why != "" {
			wrong = append(wrong, p.String()+": "+why)
		}
	}
	return len(wrong) == 0, strings.Join(wrong, "; ")
}

// refused says what the controllers of one parent lack; empty where they took
// the route.
func refused(entries []map[string]any, generation int64) string {
	if len(entries) == 0 {
		return "no controller has taken the route: does the parent exist, and does its controller run?"
	}
	for _, e := range entries {
		list := conditions(e)
		if why := lacks(list, generation, "Accepted", "ResolvedRefs"); why != "" {
			return why
		}
		if c, ok := find(list, "PartiallyInvalid"); ok && c.status == "True" {
			return "a part of the route is not served" + c.why()
		}
	}
	return ""
}

// gateway reports whether a live Gateway is taken and programmed as of the
// current generation, and its listeners with it.
func gateway(o map[string]any) (bool, string) {
	generation, _ := number(child(o, "metadata")["generation"])
	st := child(o, "status")
	if why := lacks(conditions(st), generation, "Accepted", "Programmed"); why != "" {
		return false, why
	}
	listeners, _ := st["listeners"].([]any)
	for _, l := range listeners {
		m, _ := l.(map[string]any)
		if why := lacks(conditions(m), generation, "ResolvedRefs"); why != "" {
			return false, fmt.Sprintf("listener %s: %s", str(m, "name"), why)
		}
	}
	return true, ""
}
