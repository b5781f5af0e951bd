package gatewayapi_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/gatewayapi"
)

const checked = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: p, namespace: so}
spec:
  position: {phase: a, percent: 10}
  backends: {legacy: {service: {name: legacy, port: 1}}, modern: {service: {name: modern, port: 2}}}
  gateway: {gatewayAPI: {parentRefs: [PARENTS]}}
  phases:
    - name: a
      percents: [10, 20]
      routes:
ROUTES
        - to: legacy
`

func problems(t *testing.T, parents string, routes ...string) (got []string) {
	t.Helper()
	src := strings.NewReplacer("PARENTS", parents, "ROUTES", "        - "+strings.Join(routes, "\n        - ")).Replace(checked)
	doc, bad := plan.Decode("p.yaml", []byte(src))
	for _, p := range bad {
		t.Error(p.Render())
	}
	for _, p := range gatewayapi.Check(doc) {
		if p.Code != "capability" || p.Hint == "" {
			t.Errorf("%s has code %q and hint %q", p, p.Code, p.Hint)
		}
		got = append(got, fmt.Sprintf("%d:%d %s", p.Line, p.Column, p.Message))
	}
	return got
}

func TestCheckLocatesWhatAnHTTPRouteCannotDo(t *testing.T) {
	for _, c := range []struct{ name, route, want string }{
		{"a prefix that ends within a segment", "{match: {pathPrefix: /a}, to: split}", `12:32 gatewayAPI: an HTTPRoute compares whole segments, so it cannot take all that begins with "/a", such as "/ax"`},
		{"a path with escapes", "{match: {path: /größe}, to: split}", `12:26 gatewayAPI: the path "/größe" would have to be written with escapes`},
		{"a prefix with escapes", "{match: {pathPrefix: /größe/}, to: split}", `12:32 gatewayAPI: the path "/größe/" would have to be written with escapes`},
		{"another method", "{match: {methods: [GET, PROPFIND]}, to: split}", `12:35 gatewayAPI: an HTTPRoute cannot match method "PROPFIND", only GET, HEAD`},
		{"a header with two blanks", `{match: {headers: {X-A: "a  b"}}, to: split}`, `12:36 gatewayAPI: an HTTPRoute cannot have "a  b" as the value of header "X-A"`},
		{"such a header that is set", `{to: split, match: {methods: [GET]}, rewrite: {headers: {X.A: "a  b"}}}`, `12:58 gatewayAPI: an HTTPRoute cannot have "a  b" as the value of header "X.A"`},
		{"too many headers", "{match: {headers: {" + strings.Join(numbered(17, "X-%d: a"), ", ") + "}}, to: split}", "12:20 gatewayAPI: 17 headers; an HTTPRoute takes at most 16"},
		{"a part of a segment in place of a prefix", "{match: {pathPrefix: /a/}, to: split, rewrite: {path: /b}}", `12:65 gatewayAPI: an HTTPRoute replaces whole segments, so it cannot replace "/a/" by "/b"`},
		{"escapes in the place of a path", "{match: {path: /a}, to: split, rewrite: {path: /größe}}", `12:58 gatewayAPI: the path "/größe" would have to be written with escapes`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := problems(t, "{name: edge}", c.route); len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
				t.Errorf("got %q, want one that begins with\n%s", got, c.want)
			}
		})
	}
}

func TestCheckReportsAllRoutesAtOnce(t *testing.T) {
	got := problems(t, "{name: edge}", "{match: {pathPrefix: /a, methods: [COPY]}, to: split}", "{match: {path: /b}, to: modern}", "{match: {pathPrefix: /c}, to: modern}")
	if len(got) != 3 || !strings.HasPrefix(got[0], "12:32 ") || !strings.HasPrefix(got[1], "12:46 ") || !strings.HasPrefix(got[2], "14:32 ") {
		t.Errorf("got %q", got)
	}
}

func TestCheckCountsRulesAndMatches(t *testing.T) {
	const (
		paths   = "{match: {path: /%d}, to: legacy, rewrite: {headers: {X-A: R%[1]d}}}"
		callers = "{match: {headers: {X-A: R%d}}, to: legacy, rewrite: {headers: {X-A: R%[1]d}}}"
		tooMany = "gatewayAPI: it needs more matches than an HTTPRoute takes, which is 64 a rule and 128 in all"
	)
	for _, c := range []struct {
		name   string
		routes []string
		want   string
	}{
		{"16 rules", append(numbered(14, paths), methodRoute(1, "{headers: {X-A: a}}")), ""},
		{"17 rules", append(numbered(15, paths), methodRoute(1, "{headers: {X-A: a}}")), "28:11 gatewayAPI: the routes up to this one need more than the 16 rules"},
		// A route for callers with a header is to win over each method of the
		// path behind it: 13 times 9, 8 of the path itself, 1 of the rest.
		{"128 matches", slices.Concat([]string{methodRoute(2, "{path: /b}")}, numbered(13, callers), []string{methodRoute(8, "{path: /a}")}), ""},
		{"129 matches", slices.Concat([]string{methodRoute(3, "{path: /b}")}, numbered(13, callers), []string{methodRoute(8, "{path: /a}")}), tooMany},
		{"64 matches of a rule", append([]string{methodRoute(8, "{headers: {X-A: a}}")}, numbered(7, paths)...), ""},
		{"70 matches of a rule", append([]string{methodRoute(7, "{headers: {X-A: a}}")}, numbered(9, paths)...), "12:11 " + tooMany},
		{"more matches", wide(14), tooMany},
		{"far more matches", wide(60), tooMany},
		{"matches that double with each route", narrowing(15), tooMany},
		{"for the path that a prefix leaves out too", append([]string{"{match: {pathPrefix: /a/}, to: modern}"}, narrowing(15)...), tooMany},
	} {
		t.Run(c.name, func(t *testing.T) {
			switch got := problems(t, "{name: edge}", c.routes...); {
			case c.want == "" && len(got) > 0, c.want != "" && len(got) != 1:
				t.Errorf("got %q, want %q", got, c.want)
			case c.want != "" && !strings.Contains(got[0], c.want):
				t.Errorf("got %q, want %q", got[0], c.want)
			}
		})
	}
}

func numbered(n int, format string) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf(format, i))
	}
	return out
}

// wide are routes each of which takes callers by a header of its own, at less
// of a path than those behind it.
func wide(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("{match: {pathPrefix: /%s, headers: {X-%d: a}}, to: split, percent: %d}", strings.Repeat("x/", i+1), i, i+1))
	}
	return out
}

// narrowing are routes each of which asks for more headers than those before.
func narrowing(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("{match: {headers: {%s}}, to: split, percent: %d}", strings.Join(numbered(i+1, fmt.Sprintf("X-%d-%%d: a", i)), ", "), i+1))
	}
	return out
}

// methodRoute is a route with n methods.
func methodRoute(n int, match string) string {
	all := []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"}
	return fmt.Sprintf("{match: {methods: [%s], %s, to: split}", strings.Join(all[:n], ", "), strings.TrimPrefix(match, "{"))
}

func TestCheckRefusesOneGatewayWithAPortAndWithoutOne(t *testing.T) {
	got := problems(t, "{name: edge, sectionName: a, port: 80}, {name: edge, sectionName: b}", "{match: {path: /a}, to: split}")
	if len(got) != 1 || !strings.HasPrefix(got[0], `7:79 gatewayAPI: an HTTPRoute cannot name Gateway "edge" with a port and without one`) {
		t.Errorf("got %q", got)
	}
	if got := problems(t, "{name: edge, sectionName: a, port: 80}, {name: other, sectionName: b}", "{match: {path: /a}, to: split}"); len(got) > 0 {
		t.Errorf("of two Gateways it says %q", got)
	}
}

func TestCheckIsSilentAboutOtherGatewaysAndWhatValidationRefuses(t *testing.T) {
	for _, text := range []string{
		strings.Replace(checked, "{gatewayAPI: {parentRefs: [PARENTS]}}", "{nginx: {}}", 1),
		strings.Replace(checked, "ROUTES", "        - {match: {pathRegex: a}, to: split}", 1),
		strings.Replace(checked, "ROUTES", "        - {match: {path: /a}, respond: {status: 410}}", 1),
		strings.Replace(checked, "ROUTES", "        - {match: {path: /a, pathPrefix: /b}, to: split}", 1),
		strings.Replace(strings.Replace(checked, "PARENTS", "", 1), "ROUTES", "", 1),
		strings.Replace(checked, "service: {name: legacy, port: 1}", "", 1),
		"", "a: [", "kind: MigrationPlan",
	} {
		doc, bad := plan.Decode("p.yaml", []byte(text))
		if len(bad) == 0 {
			t.Errorf("validation takes\n%s", text)
		}
		if got := gatewayapi.Check(doc); len(got) > 0 {
			t.Errorf("got %v of\n%s", got, text)
		}
	}
}

func TestRenderFailsWhereItWouldHaveToGuess(t *testing.T) {
	all := plan.Position{Phase: "a"}
	for _, c := range []struct {
		name   string
		change func(*plan.Plan)
		stop   plan.Position
		want   string
	}{
		{"a stop of no phase", func(*plan.Plan) {}, plan.Position{Phase: "b"}, "not on its itinerary"},
		{"no gateway", func(p *plan.Plan) { p.Spec.Gateway = nil }, all, "no gateway"},
		{"another gateway", func(p *plan.Plan) { p.Spec.Gateway = &plan.Gateway{Bridge: &plan.BridgeGateway{}} }, all, "no gateway"},
		{"no parents", func(p *plan.Plan) { p.Spec.Gateway.GatewayAPI.ParentRefs = nil }, all, "no parentRefs"},
		{"no service", func(p *plan.Plan) { p.Spec.Backends.Modern.Service = nil }, all, "backend modern has no service"},
		{"an own answer", routed(plan.Route{Respond: &plan.Respond{Status: 410}}), all, "routes[0]: an HTTPRoute can neither answer itself"},
		{"an expression", routed(plan.Route{Match: &plan.Match{PathRegex: "a"}, To: plan.ToLegacy}), all, "pathRegex"},
		{"two paths", routed(plan.Route{Match: &plan.Match{Path: "/a", PathPrefix: "/b/"}, To: plan.ToLegacy}), all, "it has both"},
		{"a path that does not begin with a slash", routed(plan.Route{Match: &plan.Match{Path: "a"}, To: plan.ToLegacy}), all, "escapes"},
		{"one header twice", routed(plan.Route{Match: &plan.Match{Headers: map[string]string{"X-A": "1", "x-a": "2"}}, To: plan.ToLegacy}), all, `"x-a" is there twice`},
		{"an empty header", routed(plan.Route{Match: &plan.Match{Headers: map[string]string{"X-A": ""}}, To: plan.ToLegacy}), all, `"" as the value`},
		{"thousandths of a percent", routed(toSplit(0.125, plan.Match{})), all, "percent 0.125: want 0 to 100"},
		{"a mirror of thousandths", routed(plan.Route{To: plan.ToLegacy, Mirror: &plan.Mirror{Percent: new(plan.Percent(0.125))}}), all, "mirror: percent 0.125"},
		{"a mirror of more than all", routed(plan.Route{To: plan.ToLegacy, Mirror: &plan.Mirror{Percent: new(plan.Percent(101))}}), all, "mirror: percent 101"},
		{"a rewrite of no path", routed(plan.Route{To: plan.ToLegacy, Rewrite: &plan.Rewrite{Path: "/a"}}), all, "matches no path"},
		{"a rewrite that gets too long", routed(
			plan.Route{Match: &plan.Match{PathPrefix: "/", Methods: []string{"GET"}}, To: plan.ToLegacy, Rewrite: &plan.Rewrite{Path: "/" + strings.Repeat("a", 1000) + "/"}},
			plan.Route{Match: &plan.Match{Path: "/" + strings.Repeat("b", 100)}, To: plan.ToModern},
		), all, "comes to 1102 bytes"},
		{"headers of several routes that are too many together", routed(manyHeaders("", 9, plan.ToLegacy), manyHeaders("/a", 9, plan.ToModern)), all, "match 18 headers at once"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := base(plan.Route{To: plan.ToLegacy})
			c.change(p)
			o, err := gatewayapi.Render(p, c.stop)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `plan "so/p"`) {
				t.Errorf("got %v, %v; want an error with %q", o, err, c.want)
			}
		})
	}
}

func routed(routes ...plan.Route) func(*plan.Plan) {
	return func(p *plan.Plan) { p.Spec.Phases[0].Routes = routes }
}

func manyHeaders(path string, n int, to plan.Dest) plan.Route {
	m := &plan.Match{Path: path, Headers: map[string]string{}}
	for i := range n {
		m.Headers[fmt.Sprintf("X%s-%d", strings.TrimPrefix(path, "/"), i)] = "1"
	}
	return plan.Route{Match: m, To: to}
}

func TestFeatures(t *testing.T) {
	for _, c := range []struct {
		name  string
		route plan.Route
		want  []string
	}{
		{"weights, paths and headers are core", toSplit(10, plan.Match{PathPrefix: "/a/", Headers: map[string]string{"X-A": "1"}}), nil},
		{"setting headers is core", plan.Route{To: plan.ToLegacy, Rewrite: &plan.Rewrite{Headers: map[string]string{"X-A": "1"}}}, nil},
		{"methods", toSplit(10, plan.Match{Methods: []string{"GET"}}), []string{"HTTPRouteMethodMatching"}},
		{"a mirror of safe methods", plan.Route{To: plan.ToLegacy, Mirror: &plan.Mirror{}}, []string{"HTTPRouteMethodMatching", "HTTPRouteRequestMirror"}},
		{"a mirror of all", plan.Route{To: plan.ToLegacy, Mirror: &plan.Mirror{AllowUnsafe: "yes"}}, []string{"HTTPRouteRequestMirror"}},
		{"a mirror of whole percents", plan.Route{To: plan.ToLegacy, Mirror: &plan.Mirror{Percent: new(plan.Percent(5)), AllowUnsafe: "yes"}}, []string{"HTTPRouteRequestMirror", "HTTPRouteRequestPercentageMirror"}},
		{"a mirror of a fraction", plan.Route{To: plan.ToLegacy, Mirror: &plan.Mirror{Percent: new(plan.Percent(0.5)), AllowUnsafe: "yes"}}, []string{"HTTPRouteRequestMirror", "HTTPRouteRequestPercentageMirror"}},
		{"a host", plan.Route{To: plan.ToLegacy, Rewrite: &plan.Rewrite{Host: "a.b"}}, []string{"HTTPRouteHostRewrite"}},
		{"a path", plan.Route{Match: &plan.Match{Path: "/a"}, To: plan.ToLegacy, Rewrite: &plan.Rewrite{Path: "/b"}}, []string{"HTTPRoutePathRewrite"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := base(c.route)
			// A feature of any stop counts.
			p.Spec.Phases = append(p.Spec.Phases, plan.Phase{Name: "b", Routes: []plan.Route{{To: plan.ToLegacy}}})
			if d := cmp.Diff(c.want, gatewayapi.Features(p)); d != "" {
				t.Errorf("features (-want +got):\n%s", d)
			}
			p.Spec.Gateway.GatewayAPI.ParentRefs[0].Port = 443
			if got := gatewayapi.Features(p); !slices.Contains(got, "HTTPRouteParentRefPort") || len(got) != len(c.want)+1 {
				t.Errorf("with a port, features are %v", got)
			}
		})
	}
}

// The names are those of the Gateway API's own list of extended features.
func TestFeaturesAreNamedAsTheGatewayAPIDoes(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-C", "../../test/cluster/gatewayapi", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "pkg/features/httproute.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, extended, ok := strings.Cut(string(src), "(Extended)")
	if !ok {
		t.Fatal("the list of extended features is not found")
	}
	p := base(
		plan.Route{Match: &plan.Match{Path: "/a"}, To: plan.ToLegacy, Mirror: &plan.Mirror{Percent: new(plan.Percent(1))}, Rewrite: &plan.Rewrite{Path: "/b", Host: "c"}},
	)
	p.Spec.Gateway.GatewayAPI.ParentRefs[0].Port = 443
	all := gatewayapi.Features(p)
	if len(all) != 6 {
		t.Errorf("of 6 features the plan needs %v", all)
	}
	for _, name := range all {
		if !strings.Contains(extended, `FeatureName = "`+name+`"`) {
			t.Errorf("the Gateway API has no feature %q", name)
		}
	}
}
