package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// generator draws plans and requests from few words, so that they often meet.
type generator struct {
	*rand.Rand
	repeat bool // send a header more than once
}

func one[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

var (
	words   = []string{"old", "new", "a", "b", "Old", "é", "v1", "xk", "..."}
	methods = []string{"GET", "POST", "HEAD", "OPTIONS", "DELETE", "M-SEARCH", "PROPFIND"}
	regexes = []string{
		"^/old/", "^/old$", "^/[^/]+/x?$", "(?i)^/OLD", "é", "^/.$", "^/.*/b", `\.\.`, "^/(?:a|b)(?:/|$)", "[^a-z/]", `\w+/$`, "^/v[0-9]+/", "//", "%", `\n`, "(?i)k$", `[\x{80}-\x{ff}]`, "^/old/.+$",
	}
)

func (g *generator) plan() *plan.Plan {
	p := &plan.Plan{APIVersion: plan.APIVersion, Kind: plan.Kind, Metadata: plan.Metadata{Name: "agree"}}
	p.Spec.Position = plan.Position{Phase: "only"}
	p.Spec.Gateway = &plan.Gateway{NGINX: &plan.NGINXGateway{}}
	p.Spec.Identity = &plan.Identity{Header: "X-Tenant"}
	if g.chance(50) {
		p.Spec.Override = &plan.Override{Header: "X-Force", From: one(g, []string{"10.0.0.0/8"}, []string{"127.0.0.0/8", "fd00::/8"}, []string{"192.0.2.1/32", "198.51.100.0/24"})}
	}
	phase := plan.Phase{Name: "only"}
	if g.chance(25) {
		phase.Percents = []plan.Percent{20, 60, 100}
		p.Spec.Position.Percent = 20
	}
	for range 1 + g.IntN(8) {
		phase.Routes = append(phase.Routes, g.route(phase.Percents != nil))
	}
	last := g.route(phase.Percents != nil)
	last.Match = nil
	if g.chance(80) {
		phase.Routes = append(phase.Routes, last)
	}
	for i, r := range phase.Routes {
		if r.Respond != nil {
			r.Respond.Headers["X-Rule"] = strconv.Itoa(i)
		}
	}
	p.Spec.Phases = []plan.Phase{phase}
	return p
}

func (g *generator) route(percents bool) plan.Route {
	r := plan.Route{Match: g.match()}
	switch g.IntN(6) {
	case 0, 1:
		r.To = plan.ToModern
	case 2:
		r.To = plan.ToLegacy
	case 3:
		decided := one[plan.Percent](g, 0, 100)
		if r.To = plan.ToSplit; !percents || g.chance(50) {
			r.Percent = &decided
		}
	default:
		r.Respond = g.respond()
		return r
	}
	if g.chance(40) {
		r.Rewrite = g.rewrite(r.Match)
	}
	return r
}

func (g *generator) rewrite(m *plan.Match) *plan.Rewrite {
	w := &plan.Rewrite{Host: one(g, "", "shop.example.com")}
	if g.chance(40) {
		w.Headers = map[string]string{one(g, "X-Beta", "X-Via", "x-forwarded-proto"): one(g, "gateway", `"$1" \`)}
	}
	if m.Path+m.PathPrefix != "" && (g.chance(80) || w.Host == "" && w.Headers == nil) {
		w.Path = one(g, "/", "/v2", "/v2/", "/é/$1,x", "/new")
	} else if w.Host == "" && w.Headers == nil {
		w.Host = "shop.example.com"
	}
	return w
}

func (g *generator) match() *plan.Match {
	m := &plan.Match{}
	for _, method := range methods {
		if g.chance(10) {
			m.Methods = append(m.Methods, method)
		}
	}
	switch g.IntN(5) {
	case 0:
		m.Path = g.folder()
	case 1, 2:
		m.PathPrefix = g.folder()
	case 3:
		m.PathRegex = one(g, regexes...)
	}
	if g.chance(25) {
		m.Headers = map[string]string{one(g, "X-Beta", "x-user-ID", "Accept", "Host"): one(g, "1", "yes", "a b", "a.example.com", `"q"\$1`, "")}
	}
	return m
}

// folder is a path as a plan may hold it.
func (g *generator) folder() string {
	var b strings.Builder
	for range g.IntN(4) {
		b.WriteString("/" + strings.ReplaceAll(one(g, words...), " ", ""))
	}
	if b.Len() == 0 || g.chance(40) {
		b.WriteString("/")
	}
	return b.String()
}

func (g *generator) respond() *plan.Respond {
	r := &plan.Respond{
		Status:  one(g, 200, 201, 204, 301, 308, 400, 403, 404, 405, 410, 413, 451, 500, 503),
		Headers: map[string]string{},
	}
	switch {
	case r.Status == 301 || r.Status == 308:
		r.Headers["Location"] = one(g, "/there?$x=1", "https://a.example.com/there")
	case r.Status != 204 && g.chance(70):
		r.Body = one(g, "gone\n", "$uri \"é\"", `{"a": "b"}`, strings.Repeat("long $1 ", 900))
		if g.chance(40) {
			r.Headers["Content-Type"] = one(g, "application/json", "text/html")
		}
	}
	if g.chance(40) {
		r.Headers[one(g, "Sunset", "X-Why")] = "Sat, 01 Aug 2026 00:00:00 GMT"
	}
	return r
}

// request is one as it goes over the wire.
type request struct {
	method, target, body string
	headers              []string
	// tenant: the caller has a key, so that its side is decided.
	tenant bool
	// force is what it asks for in the header of an override, and client the
	// address from which it comes.
	force  string
	client netip.Addr
}

// callers by what a trusted proxy says of them.
var callers = map[string]netip.Addr{
	"10.1.2.3": netip.MustParseAddr("10.1.2.3"), "192.0.2.1": netip.MustParseAddr("192.0.2.1"), "fd00::1": netip.MustParseAddr("fd00::1"),
	"10.1.2.3, 203.0.113.9": netip.MustParseAddr("203.0.113.9"), "203.0.113.9, 10.1.2.3, 127.0.0.1": netip.MustParseAddr("10.1.2.3"),
	"198.51.100.7:4711": netip.MustParseAddr("198.51.100.7"), "10.1.2.3, garbage": netip.MustParseAddr("127.0.0.1"), "": netip.MustParseAddr("127.0.0.1"),
}

// forces reports whether the plan lets the request's caller choose a side, and it
// does.
func (r request) forces(p *plan.Plan) bool {
	if p.Spec.Override == nil || r.force != "legacy" && r.force != "modern" {
		return false
	}
	return slices.ContainsFunc(p.Spec.Override.From, func(n string) bool { return netip.MustParsePrefix(n).Contains(r.client) })
}

func (r request) raw() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", r.method, r.target)
	for _, h := range r.headers {
		b.WriteString(h + "\r\n")
	}
	if r.body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	return b.String() + "\r\n" + r.body
}

func (g *generator) requests(p *plan.Plan, n int) []request {
	// Every third path is one of the plan, in another spelling.
	var named []string
	for _, r := range p.Spec.Phases[0].Routes {
		if r.Match != nil && r.Match.Path+r.Match.PathPrefix != "" {
			named = append(named, r.Match.Path+r.Match.PathPrefix)
		}
	}
	out := make([]request, n)
	for i := range out {
		path := g.folder()
		if len(named) > 0 && g.chance(40) {
			path = one(g, named...) + one(g, "", "", "x", "/x", "/")
		}
		r := request{method: one(g, methods...), target: g.target(g.spell(path)), headers: []string{"Host: a.example.com"}}
		if !strings.HasPrefix(r.target, "http") && g.chance(30) {
			r.headers[0] = "Host: b.example.com"
		}
		switch {
		case g.chance(60):
			r.method = "GET"
		case g.chance(8):
			r.method = one(g, "get", "Post", "TRACE", "M_X", "G3T", "CONNECT")
		}
		if r.method == "POST" {
			r.body = one(g, "", "{}", strings.Repeat("b", 700)) // read with the headers, so that no refusal resets the connection
		}
		if g.chance(80) {
			r.tenant = true
			r.headers = append(r.headers, fmt.Sprintf("X-Tenant: t%d", i))
		}
		from := one(g, slices.Sorted(maps.Keys(callers))...)
		if r.client = callers[from]; from != "" {
			r.headers = append(r.headers, "X-Forwarded-For: "+from)
		}
		if g.chance(50) {
			r.force = one(g, "modern", "legacy", "Modern", "modern2", "")
			r.headers = append(r.headers, one(g, "X-Force:", "x-force: ")+r.force+one(g, "", " ", "\t"))
		}
		for range g.IntN(3) {
			name := one(g, "X-Beta", "x-beta", "X-User-Id", "X_Beta", "Accept", "X-Role")
			if !g.repeat && strings.Contains(strings.ToLower(strings.Join(r.headers, "\n")), strings.ToLower(name)) {
				continue
			}
			r.headers = append(r.headers, name+":"+one(g, " ", "")+one(g, "1", "yes", "a b", "YES", `"q"\$1`, "", "  yes \t"))
		}
		out[i] = r
	}
	return out
}

// spell writes a path in one of the many ways in which clients may.
func (g *generator) spell(path string) string {
	var b strings.Builder
	odd := g.chance(60)
	for i := range len(path) {
		c := path[i]
		switch {
		case i > 0 && odd && c == '/' && g.chance(50):
			b.WriteString(one(g, "//", "/./", "/x/../", "%2F", "%2f", "/%2F", "/../", "/%2e/", "/y/%2E./", "%2F../", "/x/..%2f", "/..", "///", "%2F%2F", "/.../", "/..a/"))
		case odd && g.chance(8), c <= ' ':
			fmt.Fprintf(&b, one(g, "%%%02x", "%%%02X"), c)
		case odd && g.chance(3):
			b.WriteString(strings.ToUpper(string(c)))
		default:
			b.WriteByte(c)
		}
	}
	if odd && g.chance(35) {
		b.WriteString(one(g, "/", "/.", "/..", "//", "%20", "%00", "%0a", "%23", "%3F", "%25", "%252F", "%2F", "#x", "%ff", "\xff", "\xc3", ";v=1", "+", "%zz", "%", "\\", "/*", "[", "\"", "%E9", "%C3%A9", "K", "%7f", "|", "^é%2Fx"))
	}
	return b.String()
}

// target puts a query or a host beside a path.
func (g *generator) target(path string) string {
	switch g.IntN(8) {
	case 0:
		return path + one(g, "?", "?a=b", "?/old/", "?a=%2F..&b", "?%zz", "??", "?a=/../x", "?x=\xff", "?q#f")
	case 1:
		if g.chance(15) {
			return one(g, "*", "old", "http://a.example.com", "http://a.example.com?x=1", "//a.example.com/old/")
		}
	}
	return path
}
