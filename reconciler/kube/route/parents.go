package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/render/gatewayapi"
)

// parent is what a route is attached to, as its spec and its status name it.
type parent struct {
	group, kind, namespace, name, section string
	port                                  float64
}

func parentOf(ref map[string]any, namespace string) parent {
	group, named := ref["group"].(string) // empty is the core group
	if !named {
		group = gatewayapi.Group
	}
	port, _ := number(ref["port"])
	return parent{
		group: group, kind: cmp.Or(text(ref, "kind"), "Gateway"), namespace: cmp.Or(text(ref, "namespace"), namespace),
		name: text(ref, "name"), section: text(ref, "sectionName"), port: port,
	}
}

func text(m map[string]any, field string) string {
	s, _ := m[field].(string)
	return s
}

func (p parent) String() string {
	s := fmt.Sprintf("%s %s/%s", p.kind, p.namespace, p.name)
	if p.section != "" {
		s += " listener " + p.section
	}
	if p.port != 0 {
		s += fmt.Sprintf(" port %g", p.port)
	}
	return s
}

// verdict is what the parents say of the current generation. Every parent that
// the spec names is in one of the three, with why.
type verdict struct {
	taken, refused, silent []string
	// accepted are those of the refusing that serve the route, and miss only
	// something that it refers to.
	accepted []string
}

// good reports whether every parent has taken the route, and there is one.
func (v verdict) good() bool { return len(v.taken) > 0 && len(v.refused) == 0 && len(v.silent) == 0 }

// String says who has not taken the route, and why; empty where all have.
func (v verdict) String() string {
	if !v.good() && len(v.refused)+len(v.silent) == 0 {
		return "the HTTPRoute names no parent, so no gateway serves it"
	}
	return strings.Join(slices.Concat(v.refused, v.silent), "; ")
}

// judge reads what the parents say. What others say, which the spec does not
// name any more, does not count.
func (l *live) judge() (v verdict) {
	said := map[parent][]map[string]any{}
	status, _ := l.Object["status"].(map[string]any)
	for entry := range maps(status["parents"]) {
		ref, _ := entry["parentRef"].(map[string]any)
		p := parentOf(ref, l.GetNamespace())
		said[p] = append(said[p], entry)
	}
	for ref := range maps(specOf(l.Object)["parentRefs"]) {
		p := parentOf(ref, l.GetNamespace())
		switch refused, silent := l.hear(said[p]); {
		case refused != "":
			v.refused = append(v.refused, p.String()+": "+refused)
			if l.accepted(said[p]) {
				v.accepted = append(v.accepted, p.String())
			}
		case silent != "":
			v.silent = append(v.silent, p.String()+": "+silent)
		default:
			v.taken = append(v.taken, p.String())
		}
	}
	return v
}

// accepted reports whether all entries of a parent say that it serves the route
// as it is now, whatever else is wrong with it.
func (l *live) accepted(entries []map[string]any) bool {
	for _, e := range entries {
		if refused, silent := l.condition(e, "Accepted"); refused != "" || silent != "" {
			return false
		}
	}
	return true
}

// maps are the items of a list that are objects.
func maps(list any) func(yield func(map[string]any) bool) {
	items, _ := list.([]any)
	return func(yield func(map[string]any) bool) {
		for _, item := range items {
			if m, ok := item.(map[string]any); ok && !yield(m) {
				return
			}
		}
	}
}

// hear reads the entries of one parent: one for each controller that speaks for
// it. Both answers are empty where all have taken the route.
func (l *live) hear(entries []map[string]any) (refused, silent string) {
	if len(entries) == 0 {
		return "", "no controller has said anything: does it exist, and does the controller of its class run?"
	}
	for _, e := range entries {
		by := fmt.Sprintf(" (controller %s)", cmp.Or(text(e, "controllerName"), "unnamed"))
		for _, kind := range []string{"Accepted", "ResolvedRefs"} {
			r, s := l.condition(e, kind)
			if r != "" && refused == "" {
				refused = r + by
			}
			if s != "" && silent == "" {
				silent = s + by
			}
		}
		if c := find(e, "PartiallyInvalid"); c != nil && text(c, "status") == "True" && refused == "" {
			refused = "a part of the route is not served" + why(c) + by
		}
	}
	return refused, silent
}

// condition reads one that has to be True of the current generation.
func (l *live) condition(entry map[string]any, kind string) (refused, silent string) {
	c := find(entry, kind)
	if c == nil {
		return "", "nothing is said about " + kind
	}
	if of, ok := number(c["observedGeneration"]); !ok || int64(of) != l.GetGeneration() {
		return "", fmt.Sprintf("%s is said of generation %g, and the route is at %d", kind, of, l.GetGeneration())
	}
	switch status := text(c, "status"); {
	case status == "True":
		return "", ""
	case status == "False" && text(c, "reason") != "Pending":
		return kind + " is False" + why(c), ""
	default:
		return "", kind + " is not decided" + why(c)
	}
}

func find(entry map[string]any, kind string) map[string]any {
	for c := range maps(entry["conditions"]) {
		if text(c, "type") == kind {
			return c
		}
	}
	return nil
}

// why gives a condition's reason and message, not too long.
func why(c map[string]any) string {
	const most = 300
	s := ""
	for _, part := range []string{text(c, "reason"), text(c, "message")} {
		if part != "" {
			s += ": " + part
		}
	}
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	return s
}
