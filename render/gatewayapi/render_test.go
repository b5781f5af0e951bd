package gatewayapi_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/gatewayapi"
)

var update = flag.Bool("update", false, "write the golden files anew")

func decode(t testing.TB, file string) *plan.Plan {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode(file, src)
	for _, p := range append(problems, gatewayapi.Check(doc)...) {
		t.Error(p.Render())
	}
	if t.Failed() {
		t.FailNow()
	}
	return doc.Plan
}

func inputs(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	return files
}

func mustRender(t testing.TB, p *plan.Plan, stop plan.Position) render.Object {
	t.Helper()
	o, err := gatewayapi.Render(p, stop)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestGolden(t *testing.T) {
	for _, in := range inputs(t) {
		file := strings.Replace(in, ".in.yaml", ".out.yaml", 1)
		t.Run(filepath.Base(file), func(t *testing.T) {
			p := decode(t, in)
			var got bytes.Buffer
			for _, stop := range p.Itinerary() {
				text, err := yaml.Marshal(mustRender(t, p, stop))
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&got, "---\n# %s\n%s", stop, text)
			}
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got.String()); d != "" {
				t.Errorf("render (-want +got); -update writes it anew:\n%s", d)
			}
		})
	}
}

func TestGoldenPlansRouteAsTheySay(t *testing.T) {
	var requests []request
	for _, path := range []string{
		"/", "/deployments", "/deployments/", "/deployments/7", "/deploymentsX", "/ecomp/mso/infra", "/ecomp/mso/infra/", "/ecomp/mso/infra/x",
		"/ecomp/mso/infra/old", "/ecomp/mso/infra/old/", "/ecomp/mso/infra/old/x", "/ecomp/mso/infra/serviceInstances/v2", "/ecomp/mso/infra/serviceInstances/v2/",
	} {
		for _, method := range []string{"GET", "POST", "DELETE", "PUT", "OPTIONS"} {
			for _, headers := range []map[string]string{{}, {"x-tenant-id": "pilot"}, {"x-tenant-id": "pilot", "x-stage": "one two"}} {
				requests = append(requests, request{method, path, headers})
			}
		}
	}
	for _, in := range inputs(t) {
		p := decode(t, in)
		for _, stop := range p.Itinerary() {
			if err := check(p, stop, requests); err != nil {
				t.Errorf("%s at %s: %v", in, stop, err)
			}
		}
	}
}

// Routes that need nothing of the kind get no more than their own matches.
func TestNoNeedlessMatches(t *testing.T) {
	for _, c := range []struct {
		name   string
		routes []plan.Route
		want   string
	}{
		{"no routes", nil, "/"},
		{"the more specific route is first", []plan.Route{
			{Match: &plan.Match{Path: "/a", Methods: []string{"GET"}}, To: plan.ToModern}, {Match: &plan.Match{PathPrefix: "/a/"}, To: plan.ToModern},
			{Match: &plan.Match{Path: "/a"}, To: plan.ToModern}, {To: plan.ToLegacy},
		}, "/a/ | /"},
		{"a prefix leaves its own path to the rest", []plan.Route{{Match: &plan.Match{PathPrefix: "/a/"}, To: plan.ToModern}}, "/a/ | =/a /"},
		{"a route without effect is left out", []plan.Route{
			{Match: &plan.Match{PathPrefix: "/"}, To: plan.ToModern}, {Match: &plan.Match{Path: "/a"}, To: plan.ToLegacy},
		}, "/"},
		{"to the same side, whichever wins", []plan.Route{
			{Match: &plan.Match{Headers: map[string]string{"X-A": "1"}}, To: plan.ToModern}, {Match: &plan.Match{Path: "/a"}, To: plan.ToModern},
		}, "/ x-a | =/a | /"},
		{"other callers", []plan.Route{
			{Match: &plan.Match{Headers: map[string]string{"X-A": "1"}}, To: plan.ToModern},
			{Match: &plan.Match{Path: "/a", Headers: map[string]string{"X-A": "2"}}, To: plan.ToLegacy}, {To: plan.ToModern},
		}, "=/a x-a | /"},
		{"a less specific route is first", []plan.Route{
			{Match: &plan.Match{Headers: map[string]string{"X-A": "1"}}, To: plan.ToModern}, {Match: &plan.Match{Path: "/a"}, To: plan.ToLegacy}, {To: plan.ToModern},
		}, "=/a x-a | =/a | /"},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec, err := readSpec(mustRender(t, base(c.routes...), plan.Position{Phase: "a"}))
			if err != nil {
				t.Fatal(err)
			}
			var rules []string
			for _, r := range spec.Rules {
				var matches []string
				for _, m := range r.Matches {
					text := m.Path.Value
					if m.Path.Type == "Exact" {
						text = "=" + text
					} else if text != "/" {
						text += "/"
					}
					for _, h := range m.Headers {
						text += " " + h.Name
					}
					matches = append(matches, text)
				}
				rules = append(rules, strings.Join(matches, " "))
			}
			if got := strings.Join(rules, " | "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestEqualPlansGiveEqualObjectsThatShareNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPlan(t)
		stop := plan.Position{Phase: "a"}
		first, err := gatewayapi.Render(p, stop)
		if err != nil {
			return
		}
		want := fmt.Sprint(first)
		second, err := gatewayapi.Render(p, stop)
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("a second render differs, %v:\n%s", err, cmp.Diff(first, second))
		}
		scramble(map[string]any(second))
		if third, err := gatewayapi.Render(p, stop); err != nil || fmt.Sprint(first) != want || fmt.Sprint(third) != want {
			t.Fatalf("a change of one result changed another, %v", err)
		}
	})
}

// scramble changes every value.
func scramble(v any) {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			scramble(v[k])
			v[k] = nil
		}
	case []any:
		for i := range v {
			scramble(v[i])
			v[i] = nil
		}
	}
}

func BenchmarkRender(b *testing.B) {
	for _, name := range []string{"setup", "gradual", "new-only", "rewrite"} {
		b.Run(name, func(b *testing.B) {
			p := decode(b, "testdata/"+name+".in.yaml")
			stops := p.Itinerary()
			b.ReportAllocs()
			for b.Loop() {
				mustRender(b, p, stops[len(stops)-1])
			}
		})
	}
	// As much as an HTTPRoute takes: less specific routes first.
	b.Run("largest", func(b *testing.B) {
		p := largest()
		b.ReportAllocs()
		for b.Loop() {
			mustRender(b, p, plan.Position{Phase: "a"})
		}
	})
	b.Run("refused", func(b *testing.B) {
		p := base(unordered(200)...)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := gatewayapi.Render(p, plan.Position{Phase: "a"}); err == nil {
				b.Fatal("rendered")
			}
		}
	})
}

// unordered are routes each of which is less specific than all behind it, and
// for callers of its own.
func unordered(n int) (routes []plan.Route) {
	path := strings.Repeat("/x", n+1) + "/"
	for i := range n {
		m := plan.Match{PathPrefix: path[:2*(i+1)+1], Headers: map[string]string{fmt.Sprintf("X-%d", i): "1"}}
		routes = append(routes, toSplit(plan.Percent(i%100), m))
	}
	return routes
}

// largest has 16 rules and 128 matches: each of the routes by headers is to win
// over the 8 methods of the path behind them.
func largest() *plan.Plan {
	routes := []plan.Route{toSplit(1, plan.Match{Path: "/b", Methods: []string{"GET", "POST"}})}
	for i := range 13 {
		routes = append(routes, toSplit(plan.Percent(i+2), plan.Match{Headers: map[string]string{"X-A": fmt.Sprint(i)}}))
	}
	return base(append(routes, toSplit(50, plan.Match{Path: "/a", Methods: []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"}}))...)
}

func BenchmarkFeatures(b *testing.B) {
	p := decode(b, "testdata/gradual.in.yaml")
	b.ReportAllocs()
	for b.Loop() {
		gatewayapi.Features(p)
	}
}
