package nginx_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/nginx"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

// nasty is text made of what means something to nginx.
func nasty() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{
			`"`, `'`, `\`, `$`, `${`, `}`, `{`, `;`, "\n", "\r", "\t", "#", " ", "; return 200 pwned; ", `"; } location /x { `, "$uri", "${uri}", "$1",
			`\"`, `\\`, `\n`, "*", "~", "~*", "!", "default", "include /etc/passwd", "é", "\x00", "\x7f", "=", ":", "/", "(*UTF)", `\Q`, `\E`, "{1,2}", "abc",
		}),
		rapid.StringN(0, 4, 8),
	)
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(piece, 0, 5).Draw(t, "pieces"), "") })
}

func some(t *rapid.T, name string, usual ...string) string {
	if rapid.IntRange(0, 7).Draw(t, name+" nasty") == 0 {
		return nasty().Draw(t, name)
	}
	return rapid.SampledFrom(usual).Draw(t, name)
}

// anyPlan draws plans whose texts are often hostile: more than a plan that
// passed validation could ever hold.
func anyPlan(t *rapid.T) *plan.Plan {
	p := base()
	p.Metadata.Name = some(t, "name", "p", "onap-so", "a.b", strings.Repeat("long-", 12)+"x", "x")
	p.Spec.Backends.Legacy.URL = some(t, "legacy", "http://127.0.0.1:8080", "http://localhost", "https://[::1]:444")
	p.Spec.Backends.Modern.URL = some(t, "modern", "http://127.0.0.1:8081", "https://127.0.0.1", "http://127.0.0.2")
	if rapid.Bool().Draw(t, "identity") {
		text := some(t, "key", "X-Tenant-ID", "tenant_id", "a-b")
		p.Spec.Identity = rapid.SampledFrom([]*plan.Identity{{Header: text}, {Cookie: text}, {Query: text}, {ClientIP: true}, {}}).Draw(t, "kind")
		p.Spec.Identity.Cohort = some(t, "cohort", "", "so", "a$b")
	}
	if rapid.Bool().Draw(t, "override") {
		p.Spec.Override = &plan.Override{Header: some(t, "force", "X-Force"), From: []string{some(t, "network", "10.0.0.0/8", "fd00::/8")}}
	}
	phase := &p.Spec.Phases[0]
	phase.Routes = nil
	for range rapid.IntRange(0, 5).Draw(t, "routes") {
		phase.Routes = append(phase.Routes, anyRoute(t))
	}
	return p
}

func anyRoute(t *rapid.T) plan.Route {
	var r plan.Route
	if rapid.IntRange(0, 9).Draw(t, "match") > 0 {
		r.Match = anyMatch(t)
	}
	switch rapid.IntRange(0, 3).Draw(t, "to") {
	case 0:
		r.To = plan.ToModern
	case 1:
		percent := plan.Percent(rapid.IntRange(0, 10000).Draw(t, "percent")) / 100
		r.To, r.Percent = plan.ToSplit, &percent
	case 2:
		r.Respond = &plan.Respond{Status: rapid.IntRange(200, 599).Draw(t, "status"), Body: nasty().Draw(t, "body"), Headers: anyHeaders(t)}
	default:
		r.To = plan.ToLegacy
	}
	if r.To != "" && rapid.Bool().Draw(t, "rewrite") {
		r.Rewrite = &plan.Rewrite{Host: some(t, "host", "", "a.example.com"), Headers: anyHeaders(t)}
		if r.Match != nil && r.Match.Path+r.Match.PathPrefix != "" {
			r.Rewrite.Path = some(t, "target", "", "/", "/v2", "/v2/$1/é/")
		}
	}
	if (r.To == plan.ToLegacy || r.To == plan.ToSplit) && rapid.Bool().Draw(t, "mirror") {
		r.Mirror = &plan.Mirror{}
		if r.To == plan.ToLegacy {
			r.Mirror.AllowUnsafe = some(t, "unsafe", "", "why")
		}
		if rapid.Bool().Draw(t, "some") {
			percent := plan.Percent(rapid.IntRange(1, 10000).Draw(t, "copies")) / 100
			r.Mirror.Percent = &percent
		}
	}
	return r
}

func anyMatch(t *rapid.T) *plan.Match {
	m := &plan.Match{Methods: rapid.SliceOfN(rapid.SampledFrom([]string{"GET", "POST", "DELETE", "PUT"}), 0, 2).Draw(t, "methods")}
	if rapid.IntRange(0, 5).Draw(t, "odd method") == 0 {
		m.Methods = append(m.Methods, nasty().Draw(t, "method"))
	}
	switch rapid.IntRange(0, 3).Draw(t, "path") {
	case 0:
		m.Path = some(t, "exact", "/", "/a", "/a/b")
	case 1:
		m.PathPrefix = some(t, "prefix", "/", "/a", "/a/")
	case 2:
		m.PathRegex = some(t, "regex", "^/a$", "b", "(?i)A", "/[^/]+$")
	}
	if rapid.Bool().Draw(t, "headers") {
		m.Headers = anyHeaders(t)
	}
	return m
}

func anyHeaders(t *rapid.T) map[string]string {
	out := make(map[string]string)
	for range rapid.IntRange(0, 2).Draw(t, "headers") {
		out[some(t, "header", "X-A", "X-B", "Link", "Content-Type", "Location")] = some(t, "value", "1", "2", "a b")
	}
	return out
}

// directives are all that a render may hold, by the block around them.
var directives = map[string][]string{
	"":              {"upstream", "map", "split_clients", "geo", "log_format", "location"},
	"upstream":      {"server", "keepalive", "keepalive_timeout"},
	"map":           nil, // the first token is a key
	"geo":           {"default", "127.0.0.0/8", "::1", "10.0.0.0/8", "fd00::/8"},
	"split_clients": nil,
	"if":            {"rewrite", "return", "add_header", "set"},
	"types":         {},
	"location": {
		"if", "types", "internal", "default_type", "absolute_redirect", "return", "access_log", "add_header",
		"proxy_pass", "proxy_redirect", "proxy_http_version", "proxy_set_header", "proxy_ssl_server_name", "proxy_ssl_name", "proxy_next_upstream", "proxy_hide_header",
		"set", "mirror", "mirror_request_body", "client_max_body_size", "error_page", "proxy_intercept_errors", "proxy_cache", "proxy_store",
		"proxy_pass_request_body", "proxy_connect_timeout", "proxy_send_timeout", "proxy_read_timeout",
	},
}

func TestNoTextLeavesItsDirectiveAndNginxLoadsAll(t *testing.T) {
	s := nginxtest.New(t, nginxtest.Config{})
	rendered := 0
	rapid.Check(t, func(t *rapid.T) {
		p := anyPlan(t)
		f, err := nginx.Render(p, plan.Position{Phase: "a"})
		var refusal *nginx.Refusal
		if errors.As(err, &refusal) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		rendered++
		for _, part := range [][]byte{f.Upstreams, f.Maps, f.Locations} {
			if err := checkDirectives(string(part)); err != nil {
				t.Fatalf("%v in\n%s", err, part)
			}
		}
		if err := write(s, f); err != nil {
			t.Fatal(err)
		}
		if out, err := s.Test(); err != nil {
			t.Fatalf("nginx refuses it: %v\n%s\n%s", err, out, golden(f))
		}
	})
	t.Logf("%d plans were rendered", rendered)
	if rendered < 25 {
		t.Errorf("only %d plans were rendered: the test proved little", rendered)
	}
}

// checkDirectives reads config as nginx does and names what may not be there.
func checkDirectives(src string) error {
	var blocks []string
	block := func() string {
		if len(blocks) == 0 {
			return ""
		}
		return blocks[len(blocks)-1]
	}
	var tokens []string
	for len(src) > 0 {
		var tok string
		var quoted bool
		tok, quoted, src = nextToken(src)
		switch {
		case tok == "" && !quoted:
		case quoted || tok != ";" && tok != "{" && tok != "}":
			tokens = append(tokens, tok)
		case tok == "}":
			blocks = blocks[:len(blocks)-1]
		default:
			if allowed := directives[block()]; allowed != nil && !slices.Contains(allowed, tokens[0]) {
				return fmt.Errorf("directive %q in block %q", tokens, block())
			} else if allowed == nil && len(tokens) != 2 {
				return fmt.Errorf("entry %q in block %q", tokens, block())
			}
			if tok == "{" {
				blocks = append(blocks, tokens[0])
			}
			tokens = nil
		}
	}
	if len(blocks) > 0 || len(tokens) > 0 {
		return fmt.Errorf("blocks %q and tokens %q are not closed", blocks, tokens)
	}
	return nil
}

// nextToken follows ngx_conf_read_token.
func nextToken(src string) (tok string, quoted bool, rest string) {
	switch c := src[0]; c {
	case ' ', '\n', '\t', '\r':
		return "", false, src[1:]
	case '#':
		_, rest, _ := strings.Cut(src, "\n")
		return "", false, rest
	case ';', '{', '}':
		return src[:1], false, src[1:]
	case '"', '\'':
		for i := 1; i < len(src); i++ {
			switch src[i] {
			case '\\':
				i++
			case c:
				return src[1:i], true, src[i+1:]
			}
		}
		return src, true, ""
	}
	i := strings.IndexAny(src, " \n\t\r;{")
	return src[:i], false, src[i:]
}

// TestRulesMatchAsThePlanSays asks nginx which rule it chooses for every
// request, and compares with a plain reading of the plan.
func TestRulesMatchAsThePlanSays(t *testing.T) {
	s := nginxtest.New(t, nginxtest.Config{Workers: 1})
	paths := []string{"/", "/a", "/A", "/ab", "/a/b", "/a/", "/b", "/a\n", "/x\n1\n/a", "/é", "/a b", `/a"b`, `/a\b`, "/$uri", "/1", "/a.b"}
	gen := rapid.Custom(func(t *rapid.T) plan.Route {
		m := &plan.Match{Methods: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"GET", "POST", "DELETE"}), 0, 2, rapid.ID[string]).Draw(t, "methods")}
		path := rapid.SampledFrom(paths).Draw(t, "path")
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			m.Path = path
		case 1:
			m.PathPrefix = path
		case 2:
			m.PathRegex = rapid.SampledFrom([]string{"^/a", "b$", "(?i)A", `^/.$`, `[^/]+/`, `\n`, regexp.QuoteMeta(path)}).Draw(t, "regex")
		}
		m.Headers = rapid.MapOfN(rapid.SampledFrom([]string{"X-A", "x-b-c", "Accept"}), rapid.SampledFrom([]string{"1", "a b", `"\$1`, "A"}), 0, 2).Draw(t, "headers")
		return plan.Route{Match: m}
	})
	for round := range 12 {
		p := base()
		p.Spec.Phases[0].Routes = nil
		for i, r := range rapid.SliceOfN(gen, 1, 12).Example(round) {
			r.Respond = &plan.Respond{Status: 200, Body: strconv.Itoa(i)}
			p.Spec.Phases[0].Routes = append(p.Spec.Phases[0].Routes, r)
		}
		rules, err := render.Resolve(p, plan.Position{Phase: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if last := len(rules) - 1; rules[last].Respond == nil {
			p.Spec.Phases[0].Routes = append(p.Spec.Phases[0].Routes, plan.Route{Respond: &plan.Respond{Status: 200, Body: strconv.Itoa(last)}})
			rules[last].Respond = p.Spec.Phases[0].Routes[last].Respond
		}
		f, err := nginx.Render(p, plan.Position{Phase: "a"})
		if err != nil {
			t.Fatal(err)
		}
		install(t, s, f)
		s.Run()
		for _, path := range paths {
			for _, method := range []string{"GET", "POST", "PATCH"} {
				for _, header := range []http.Header{{}, {"X-A": {"1"}}, {"X-A": {`"\$1`}, "X-B-C": {"a b"}}, {"Accept": {"a"}, "X-A": {"A"}}} {
					want := slices.IndexFunc(rules, func(r render.Rule) bool { return matches(r.Match, method, path, header) })
					if got := ask(t, s.URL, method, path, header); got != strconv.Itoa(want) {
						t.Errorf("%s %q %v: nginx chose rule %s, want %d\n%s", method, path, header, got, want, f.Maps)
					}
				}
			}
		}
		s.Stop()
	}
}

func matches(m plan.Match, method, path string, header http.Header) bool {
	for name, value := range m.Headers {
		if header.Get(name) != value {
			return false
		}
	}
	return (len(m.Methods) == 0 || slices.Contains(m.Methods, method)) &&
		(m.Path == "" || m.Path == path) && strings.HasPrefix(path, m.PathPrefix) &&
		(m.PathRegex == "" || regexp.MustCompile(m.PathRegex).MatchString(path))
}

func ask(t *testing.T, base, method, path string, header http.Header) string {
	t.Helper()
	u := url.URL{Path: path}
	req, err := http.NewRequestWithContext(t.Context(), method, base+u.EscapedPath(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func BenchmarkRender(b *testing.B) {
	p := decode(b, "testdata/gradual.in.yaml")
	for _, stop := range []plan.Position{{Phase: "gradual", Percent: 25}, {Phase: "sunset"}} {
		b.Run(stop.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := nginx.Render(p, stop); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
