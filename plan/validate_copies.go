package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// mirror checks what a route copies to modern: nothing that modern answers
// itself, and nothing unsafe without a reason.
func (v *validator) mirror(route string, r *Route) {
	const code = "mirror"
	path := route + ".mirror"
	m := r.Mirror
	v.capable(path, copies, "remove mirror")
	if m.Compare != nil {
		v.compare(path+".compare", m.Compare)
	}
	if m.Percent != nil && *m.Percent == 0 {
		v.at(path+".percent", code, "a mirror of 0 % copies nothing", "remove mirror, or give a percent above 0")
	}
	if !v.whole(route + ".to") {
		return
	}
	switch {
	case r.Respond != nil && r.To == "":
		v.at(path, code, "the route answers itself, so there is nothing to mirror", "remove mirror")
		return
	case r.To == ToModern:
		v.at(path, code, "requests to modern would be sent there twice", "remove mirror, or write to: legacy")
		return
	case r.To == ToSplit && m.AllowUnsafe != "":
		v.at(path+".allowUnsafe", code, "of a split route, unsafe requests to modern would be carried out there twice", "mirror unsafe requests of a route with `to: legacy` alone")
		return
	}
	v.unsafe(route, r)
}

// unsafe checks that a mirror copies something, and that a reason for unsafe
// requests stands where there can be some.
func (v *validator) unsafe(route string, r *Route) {
	const code = "mirror"
	if r.Match == nil || len(r.Match.Methods) == 0 || !v.whole(route+".match.methods") || !v.whole(route+".mirror") {
		return
	}
	safe := 0
	for _, m := range r.Match.Methods {
		if isSafe(m) {
			safe++
		}
	}
	switch {
	case safe == 0 && r.Mirror.AllowUnsafe == "":
		v.at(route+".mirror", code, fmt.Sprintf("nothing is mirrored: %s may change something, and only %s are copied", strings.Join(r.Match.Methods, ", "), listSafe()),
			"remove mirror, or say why modern may carry these requests out too: allowUnsafe: REASON")
	case safe == len(r.Match.Methods) && r.Mirror.AllowUnsafe != "":
		v.at(route+".mirror.allowUnsafe", code, "the route takes only safe methods, so allowUnsafe does nothing", "remove allowUnsafe")
	}
}

// listSafe names the safe methods for people.
func listSafe() string {
	n := len(SafeMethods) - 1
	return strings.Join(SafeMethods[:n], ", ") + " and " + SafeMethods[n]
}

// rewrite checks what a route changes in its requests.
func (v *validator) rewrite(route string, r *Route) {
	const code = "rewrite"
	path := route + ".rewrite"
	w := r.Rewrite
	v.capable(path, rewrites, "remove rewrite")
	switch {
	case w.Path == "" && w.Host == "" && len(w.Headers) == 0 && v.whole(path):
		v.at(path, code, "the rewrite changes nothing", "give a path, a host or headers, or leave rewrite out")
	case r.Respond != nil && r.To == "" && v.whole(route+".to"):
		v.at(path, code, "the route answers itself, so there is nothing to rewrite", "remove rewrite")
	case w.Path != "" && v.whole(route+".match") && (r.Match == nil || r.Match.Path == "" && r.Match.PathPrefix == ""):
		v.at(path+".path", code, "the route matches no path that the rewrite could replace", "give match a path, or a pathPrefix whose part is replaced")
	}
	v.urlPath(path+".path", w.Path)
	v.hostname(path+".host", w.Host, w.Host)
	v.headers(path+".headers", w.Headers, abilities{header: token})
	for _, name := range slices.Sorted(maps.Keys(w.Headers)) {
		switch at := join(path+".headers", name); {
		case strings.EqualFold(name, "Host"):
			v.key(at, "header", "the Host header is not set as a header", "write host: NAME beside headers")
		case isGatewayHeader(name):
			v.key(at, "header", fmt.Sprintf("header %q is the gateway's own", name), "remove it")
		}
	}
}
