package gatewayapi

import (
	"maps"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// backends are the Services of both sides and of the bridge, with their
// namespaces.
type backends map[plan.Side]plan.Service

// refs are the backendRefs of an action.
func (b backends) refs(a action) []any {
	if a.side != "" {
		return []any{weighed(b.ref(a.side), 1)}
	}
	legacy, modern := weights(a.percent)
	return []any{weighed(b.ref(plan.Legacy), legacy), weighed(b.ref(plan.Modern), modern)}
}

func weighed(ref map[string]any, weight int64) map[string]any {
	ref["weight"] = weight
	return ref
}

func (b backends) ref(side plan.Side) map[string]any {
	s := b[side]
	return map[string]any{"group": "", "kind": "Service", "name": s.Name, "namespace": s.Namespace, "port": int64(s.Port)}
}

// filters of an action, in the order in which they are to be applied. Replaced
// is what takes the place of the path, where the action replaces it.
func (b backends) filters(a action, replaced string, prefix bool) []any {
	var out []any
	if a.headers != "" {
		out = append(out, map[string]any{"type": "RequestHeaderModifier", "requestHeaderModifier": map[string]any{"set": headersOf(a.headers)}})
	}
	rewrite := map[string]any{}
	if a.host != "" {
		rewrite["hostname"] = a.host
	}
	if replaced != "" {
		rewrite["path"] = map[string]any{"type": "ReplaceFullPath", "replaceFullPath": replaced}
		if prefix {
			rewrite["path"] = map[string]any{"type": "ReplacePrefixMatch", "replacePrefixMatch": replaced}
		}
	}
	if len(rewrite) > 0 {
		out = append(out, map[string]any{"type": "URLRewrite", "urlRewrite": rewrite})
	}
	if a.mirror > 0 {
		out = append(out, map[string]any{"type": "RequestMirror", "requestMirror": b.mirror(a.mirror)})
	}
	return out
}

func (b backends) mirror(p plan.Percent) map[string]any {
	out := map[string]any{"backendRef": b.ref(plan.Modern)}
	switch n, _ := hundredths(p); {
	case n == 100*100:
	case n%100 == 0:
		out["percent"] = n / 100
	default:
		out["fraction"] = map[string]any{"numerator": n, "denominator": int64(10000)}
	}
	return out
}

// joinHeaders writes headers as one text, so that actions can be compared. No
// header holds a line break.
func joinHeaders(headers map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		b.WriteString(name + ":" + headers[name] + "\n")
	}
	return b.String()
}

func headersOf(joined string) []any {
	var out []any
	for line := range strings.Lines(joined) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		out = append(out, map[string]any{"name": name, "value": value})
	}
	return out
}
