package plan

import (
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

func (v *validator) routes(path string, ph *Phase) {
	switch gateway := v.has("spec.gateway"); {
	case !gateway && len(ph.Routes) > 0:
		v.at(path+".routes", "route", "the phase has routes, but the plan has no gateway", "name one: gateway: {nginx: {}}, gateway: {bridge: {}} or gateway: {gatewayAPI: ...}")
	case gateway && len(ph.Routes) == 0 && !v.has(path+".routes"):
		v.at(path, "route", "the phase has no routes", "say where traffic goes in this phase, such as routes: [{to: legacy}]")
	}
	all := -1 // the route that matches everything
	for i := range ph.Routes {
		r := &ph.Routes[i]
		at := fmt.Sprintf("%s.routes[%d]", path, i)
		if all >= 0 {
			line, _ := v.d.Locate(fmt.Sprintf("%s.routes[%d]", path, all), 0)
			v.at(at, "unreachable-route", fmt.Sprintf("no request gets here: the route at line %d takes all", line), "put the route without a match last")
		} else if matchesAll(r.Match) && v.whole(at+".match") {
			all = i
		}
		v.route(at, ph, r)
	}
}

// matchesAll reports whether a match lets every request through.
func matchesAll(m *Match) bool {
	return m == nil || m.PathPrefix == "/" && len(m.Methods) == 0 && m.Path == "" && m.PathRegex == "" && len(m.Headers) == 0
}

func (v *validator) route(path string, ph *Phase, r *Route) {
	if v.whole(path) {
		switch {
		case r.To != "" && r.Respond != nil:
			v.at(path, "route", "the route has both `to` and `respond`", "give exactly one of them")
		case r.To == "" && r.Respond == nil:
			v.at(path, "route", "the route goes nowhere", "give exactly one of `to` and `respond`")
		}
	}
	if r.To != "" {
		v.oneOf(path+".to", string(r.To), string(ToLegacy), string(ToModern), string(ToSplit), string(ToOwner))
	}
	switch {
	case r.Percent != nil && r.To != ToSplit:
		v.at(path+".percent", "route", "only a route with `to: split` has a percent", "remove percent, or write to: split")
	case r.Percent == nil && r.To == ToSplit && len(ph.Percents) == 0 && v.whole(path+".percent") && v.whole(path[:strings.LastIndex(path, ".routes")]+".percents"):
		v.at(path+".to", "route", fmt.Sprintf("`to: split` has no percent: phase %q has no percents", ph.Name), "give the phase percents, or this route a percent of its own")
	}
	if r.To == ToOwner {
		v.toOwner(path, r)
	}
	if r.Match != nil {
		v.match(path+".match", r.Match)
	}
	if r.Respond != nil {
		v.capable(path+".respond", answer, "send the requests to a side")
		v.respond(path+".respond", r.Respond)
	}
	if r.Mirror != nil {
		v.mirror(path, r)
	}
	if r.Rewrite != nil {
		v.rewrite(path, r)
	}
	if r.Translate != "" {
		v.translate(path, r)
	}
}

func (v *validator) match(path string, m *Match) {
	paths := 0
	for _, s := range []string{m.Path, m.PathPrefix, m.PathRegex} {
		if s != "" {
			paths++
		}
	}
	switch {
	case !v.whole(path):
	case paths > 1:
		v.at(path, "match", fmt.Sprintf("the match has %d of path, pathPrefix and pathRegex", paths), "give at most one of them")
	case paths == 0 && len(m.Methods) == 0 && len(m.Headers) == 0:
		v.at(path, "match", "the match selects nothing", "give methods, a path or headers; leave match out to take all requests")
	}
	for i, s := range m.Methods {
		at := fmt.Sprintf("%s.methods[%d]", path, i)
		switch {
		case !method.MatchString(s):
			hint := "methods are upper-case words such as GET"
			if up := strings.ToUpper(s); method.MatchString(up) {
				hint = "write " + up
			}
			v.at(at, "match", fmt.Sprintf("%s is not a method", shorten(s)), hint)
		case slices.Contains(m.Methods[:i], s):
			v.at(at, "match", fmt.Sprintf("method %s is already in the list", s), "remove one of the two")
		}
	}
	v.urlPath(path+".path", m.Path)
	v.urlPath(path+".pathPrefix", m.PathPrefix)
	if m.PathRegex != "" {
		v.capable(path+".pathRegex", matchExpr, "match a path or pathPrefix")
		v.pathRegex(path+".pathRegex", m.PathRegex)
	}
	v.headers(path+".headers", m.Headers, v.abilities())
}

// urlPath checks a path as gateways work with it: decoded and normalized.
func (v *validator) urlPath(path, s string) {
	if s == "" {
		return
	}
	const code = "path"
	if s[0] != '/' {
		v.at(path, code, fmt.Sprintf("path %s does not begin with /", shorten(s)), "")
		return
	}
	if len(s) > maxText {
		v.at(path, code, fmt.Sprintf("the path has %d bytes; at most %d are allowed", len(s), maxText), "")
		return
	}
	for i, r := range []rune(s) {
		switch {
		case r == '?' || r == '#':
			v.within(path, i, code, "a path has no query and no fragment", "give the path alone")
			return
		case r == '%':
			v.within(path, i, code, "paths in a plan are decoded, so % begins no escape", "write the character itself")
			return
		case r == ';':
			v.within(path, i, code, "requests with a ; in their path are refused, as servers read it differently", "give the path without parameters")
			return
		case r <= '~' && !pathRune(r), r > '~' && !unicode.IsGraphic(r):
			v.within(path, i, code, fmt.Sprintf("character %q cannot stand in a path", r), "")
			return
		}
	}
	for _, part := range []string{"//", "/./", "/../"} {
		if strings.Contains(s+"/", part) && (part != "//" || strings.Contains(s, part)) {
			v.at(path, code, fmt.Sprintf("path %s is not normalized", shorten(s)), "write it without empty parts, . and ..: gateways see no such path")
			return
		}
	}
}

// pathRune reports whether an ASCII rune may stand in a decoded path.
func pathRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/-._~!$&'()*+,;=:@", r)
}

// pathRegex checks an expression over paths. It is RE2 for every gateway.
func (v *validator) pathRegex(path, s string) {
	const code = "path-regex"
	_, err := syntax.Parse(s, syntax.Perl)
	switch {
	case len(s) > maxText:
		v.at(path, code, fmt.Sprintf("the expression has %d bytes; at most %d are allowed", len(s), maxText), "")
	case err != nil:
		v.at(path, code, fmt.Sprintf("%s is not a regular expression: %s", shorten(s), strings.TrimPrefix(err.Error(), "error parsing regexp: ")),
			"RE2 syntax is read: no backreferences, no lookaround")
	case strings.ContainsFunc(s, unicode.IsControl):
		v.at(path, code, "the expression holds a control character", `write it as an escape, such as \t; a block text ends with a line feed unless it begins with |-`)
	}
}

// headers checks the headers of a match.
func (v *validator) headers(path string, headers map[string]string, can abilities) {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at := join(path, name)
		v.named(v.key, at, "header", name, token, can.header)
		if other, ok := seen[strings.ToLower(name)]; ok {
			v.key(at, "header", fmt.Sprintf("header %q is %q in other letters", name, other), "remove one of the two: names of headers have no case")
		}
		seen[strings.ToLower(name)] = name
		if !fieldValue(headers[name]) {
			v.at(at, "header", fmt.Sprintf("%s cannot be the value of a header", shorten(headers[name])),
				fmt.Sprintf("use printable ASCII without blanks at the ends, at most %d bytes", maxText))
		}
	}
}

// noBody are the statuses whose answers have no body; moved are those that name
// another place instead.
var (
	noBody = []int{204, 205, 304}
	moved  = []int{301, 302, 303, 307, 308}
)

// maxBody is the longest body, in bytes, that a gateway answers with itself.
const maxBody = 64 << 10

func (v *validator) respond(path string, r *Respond) {
	if r.Status < 200 || r.Status > 599 {
		v.at(path+".status", "respond", fmt.Sprintf("status %d is not between 200 and 599", r.Status), "")
	}
	if can := v.abilities(); can.silent == r.Status && r.Status != 0 {
		v.at(path+".status", "capability", fmt.Sprintf("%s cannot answer %d: it closes the connection instead", can.name, r.Status), offerBridge("choose another status"))
	}
	if r.Body != "" && (slices.Contains(noBody, r.Status) || slices.Contains(moved, r.Status)) {
		v.at(path+".body", "respond", fmt.Sprintf("an answer with status %d has no body here", r.Status), "remove body")
	} else if len(r.Body) > maxBody {
		v.at(path+".body", "respond", fmt.Sprintf("the body has %d bytes; at most %d are allowed", len(r.Body), maxBody), "let a backend answer with it")
	}
	v.headers(path+".headers", r.Headers, abilities{header: token})
	v.retirement(path+".headers", r.Headers)
	location := false
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		at := join(path+".headers", name)
		location = location || strings.EqualFold(name, "Location")
		if isGatewayHeader(name) {
			v.key(at, "header", fmt.Sprintf("header %q is the gateway's own", name), "remove it")
		}
	}
	if slices.Contains(moved, r.Status) && !location && v.whole(path+".headers") {
		v.at(path+".status", "respond", fmt.Sprintf("status %d needs a Location header", r.Status), "add headers: {Location: ...}")
	}
}
