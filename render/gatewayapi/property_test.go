package gatewayapi_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/gatewayapi"
	"github.com/changeover-dev/changeover/test/counts"
)

// base is a plan with one phase, named a, with the routes.
func base(routes ...plan.Route) *plan.Plan {
	return &plan.Plan{
		APIVersion: plan.APIVersion, Kind: plan.Kind, Metadata: plan.Metadata{Name: "p", Namespace: "so"},
		Spec: plan.Spec{
			Position: plan.Position{Phase: "a"},
			Backends: plan.Backends{
				Legacy: plan.Backend{Service: &plan.Service{Name: "legacy", Namespace: "so", Port: 8080}},
				Modern: plan.Backend{Service: &plan.Service{Name: "modern", Namespace: "new", Port: 8000}},
			},
			Gateway: &plan.Gateway{GatewayAPI: &plan.GatewayAPIGateway{Namespace: "so", ParentRefs: []plan.ParentRef{{Name: "edge", Namespace: "so"}}}},
			Phases:  []plan.Phase{{Name: "a", Routes: routes}},
		},
	}
}

func toSplit(p plan.Percent, m plan.Match) plan.Route {
	return plan.Route{Match: &m, To: plan.ToSplit, Percent: &p}
}

// The texts that routes and requests are drawn from: few, so that they meet.
var (
	exacts   = []string{"/", "/a", "/a/", "/a/b", "/a/b/", "/b", "/ab"}
	prefixes = []string{"/", "/a/", "/a/b/", "/b/", "/ab/"}
	methods  = []string{"GET", "HEAD", "POST", "DELETE"}
	headers  = map[string][]string{"X-A": {"1", "2"}, "x-b": {"1"}, "X-C": {"1"}}
)

// everyRequest is each combination of the texts, and of texts that no route has.
func everyRequest() (all []request) {
	for _, path := range append([]string{"/a/b/c", "/a/bc", "/abc", "/b/", "/b/c"}, exacts...) {
		for _, method := range append([]string{"PROPFIND"}, methods...) {
			for _, a := range []string{"", "1", "2", "3"} {
				for _, b := range []string{"", "1"} {
					for _, c := range []string{"", "1"} {
						req := request{method: method, path: path, headers: map[string]string{"x-a": a, "x-b": b, "x-c": c}}
						maps.DeleteFunc(req.headers, func(_, v string) bool { return v == "" })
						all = append(all, req)
					}
				}
			}
		}
	}
	return all
}

// anyPlan draws plans as validation lets them through.
func anyPlan(t *rapid.T) *plan.Plan {
	p := base()
	for range rapid.IntRange(0, 7).Draw(t, "routes") {
		p.Spec.Phases[0].Routes = append(p.Spec.Phases[0].Routes, anyRoute(t))
	}
	return p
}

func anyRoute(t *rapid.T) plan.Route {
	var r plan.Route
	if rapid.IntRange(0, 9).Draw(t, "match") > 0 {
		r.Match = anyMatch(t)
	}
	r.To = rapid.SampledFrom([]plan.Dest{plan.ToLegacy, plan.ToModern, plan.ToSplit}).Draw(t, "to")
	if r.To == plan.ToSplit {
		r.Percent = new(plan.Percent(rapid.SampledFrom([]float64{0, 2.5, 10, 33.33, 50, 100}).Draw(t, "percent")))
	}
	if r.To != plan.ToModern && rapid.IntRange(0, 3).Draw(t, "mirror") == 0 {
		r.Mirror = rapid.SampledFrom([]*plan.Mirror{{}, {Percent: new(plan.Percent(5))}, {Percent: new(plan.Percent(2.5))}, {AllowUnsafe: "a database of its own"}}).Draw(t, "how")
	}
	if rapid.IntRange(0, 3).Draw(t, "rewrite") == 0 {
		r.Rewrite = anyRewrite(t, r.Match)
	}
	return r
}

func anyMatch(t *rapid.T) *plan.Match {
	m := &plan.Match{Methods: rapid.SliceOfNDistinct(rapid.SampledFrom(methods), 0, 2, rapid.ID).Draw(t, "methods")}
	switch rapid.IntRange(0, 4).Draw(t, "path") {
	case 0, 1:
		m.Path = rapid.SampledFrom(exacts).Draw(t, "exact")
	case 2, 3:
		m.PathPrefix = rapid.SampledFrom(prefixes).Draw(t, "prefix")
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if rapid.IntRange(0, 3).Draw(t, name) == 0 {
			if m.Headers == nil {
				m.Headers = map[string]string{}
			}
			m.Headers[name] = rapid.SampledFrom(headers[name]).Draw(t, "value")
		}
	}
	return m
}

func anyRewrite(t *rapid.T, m *plan.Match) *plan.Rewrite {
	w := &plan.Rewrite{}
	if rapid.Bool().Draw(t, "host") {
		w.Host = "modern.example.com"
	}
	if rapid.Bool().Draw(t, "header") {
		w.Headers = map[string]string{"X-Stage": rapid.SampledFrom([]string{"one", "two: 2"}).Draw(t, "stage")}
	}
	switch {
	case m != nil && m.Path != "":
		w.Path = rapid.SampledFrom([]string{"", "/", "/v2", "/v2/"}).Draw(t, "to")
	case m != nil && m.PathPrefix != "":
		w.Path = rapid.SampledFrom([]string{"", "/", "/v2/", "/v2/x/"}).Draw(t, "to")
	}
	return w
}

// check compares the render with the plan for every request.
func check(p *plan.Plan, stop plan.Position, requests []request) error {
	o, err := gatewayapi.Render(p, stop)
	if err != nil {
		return err
	}
	spec, err := readSpec(o)
	if err != nil {
		return err
	}
	rules, err := render.Resolve(p, stop)
	if err != nil {
		return err
	}
	for _, req := range requests {
		got, err := spec.route(req)
		if err != nil {
			return fmt.Errorf("request %v: %w", req, err)
		}
		if want := wanted(p, rules, req); want != got {
			return &differs{fmt.Sprintf("request %v (-by the plan +by the HTTPRoute):\n%s", req, cmp.Diff(want, got))}
		}
	}
	return limits(spec)
}

type differs struct{ text string }

func (d *differs) Error() string { return d.text }

// limits are those of the definition, which are not to be met by the API server
// alone.
func limits(s routeSpec) error {
	total := 0
	for _, r := range s.Rules {
		total += len(r.Matches)
		if n := len(r.Matches); n == 0 || n > 64 {
			return &differs{fmt.Sprintf("a rule has %d matches", n)}
		}
	}
	if len(s.Rules) > 16 || total > 128 {
		return &differs{fmt.Sprintf("%d rules with %d matches", len(s.Rules), total)}
	}
	return nil
}

func TestFirstMatchWinsAsInThePlan(t *testing.T) {
	requests := everyRequest()
	rendered, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		p := anyPlan(t)
		switch err := check(p, plan.Position{Phase: "a"}, requests); {
		case err == nil:
			rendered++
		case errors.As(err, new(*differs)), !strings.Contains(err.Error(), "rules of an HTTPRoute") && !strings.Contains(err.Error(), "more matches than"):
			t.Fatal(err)
		default:
			refused++
		}
	})
	t.Logf("%d plans routed alike, %d needed too much", rendered, refused)
	if rendered < 4*refused {
		t.Errorf("%d plans were rendered and %d refused: too few to say anything", rendered, refused)
	}
}

// Every list of three routes over a few matches, each with a weight of its own.
func TestEveryThreeRoutes(t *testing.T) {
	var all []plan.Match
	for _, path := range []plan.Match{{}, {Path: "/a"}, {PathPrefix: "/a/"}, {Path: "/a/b"}, {PathPrefix: "/a/b/"}} {
		for _, methods := range [][]string{nil, {"GET"}} {
			for _, headers := range []map[string]string{nil, {"X-A": "1"}, {"X-B": "1"}} {
				if deep := strings.Contains(path.Path+path.PathPrefix, "b"); deep && headers != nil {
					continue
				}
				m := path
				m.Methods, m.Headers = methods, headers
				all = append(all, m)
			}
		}
	}
	var requests []request
	for _, req := range everyRequest() {
		_, odd := req.headers["x-c"]
		if met := strings.HasPrefix(req.path, "/a/") || len(req.path) <= 2; met && !odd && req.headers["x-a"] <= "1" && (req.method == "GET" || req.method == "POST") {
			requests = append(requests, req)
		}
	}
	every := counts.Of(1, 7) // of as many the first; the prime shares no factor with the lists
	i := 0
	for _, a := range all {
		for _, b := range all {
			for _, c := range all {
				if i++; i%every != 0 {
					continue
				}
				if err := check(base(toSplit(1, a), toSplit(2, b), toSplit(3, c)), plan.Position{Phase: "a"}, requests); err != nil {
					t.Fatalf("%+v\n%+v\n%+v\n%v", a, b, c, err)
				}
			}
		}
	}
}
