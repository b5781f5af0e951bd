package gatewayapi_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/gatewayapi"
	"github.com/changeover-dev/changeover/test/cluster"
)

const namespace = "so"

// server is the API server of a cluster with the definitions of one channel.
type server struct{ routes dynamic.ResourceInterface }

func newServer(t *testing.T, channel cluster.Channel) server {
	t.Helper()
	c := cluster.Start(t, cluster.Options{GatewayAPI: channel})
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ns := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace}}}
	if _, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	resource := schema.GroupVersionResource{Group: gatewayapi.Group, Version: gatewayapi.Version, Resource: "httproutes"}
	return server{client.Resource(resource).Namespace(namespace)}
}

// apply applies a render as Changeover does.
func (s server) apply(t *testing.T, o render.Object, dryRun ...string) *unstructured.Unstructured {
	t.Helper()
	live, err := s.routes.Apply(t.Context(), o.ID().Name, &unstructured.Unstructured{Object: o}, metav1.ApplyOptions{FieldManager: render.FieldManager, DryRun: dryRun})
	if err != nil {
		text, _ := json.MarshalIndent(o, "", " ")
		t.Fatalf("the API server refuses it: %v\n%s", err, text)
	}
	return live
}

// same checks that the API server keeps the spec as it was rendered: that it
// filled nothing in and dropped nothing.
func same(t *testing.T, o render.Object, live *unstructured.Unstructured) {
	t.Helper()
	want := (&unstructured.Unstructured{Object: o}).DeepCopy().Object["spec"]
	if d := cmp.Diff(want, live.Object["spec"]); d != "" {
		t.Fatalf("the live spec (-render +live):\n%s", d)
	}
}

func TestTheAPIServerTakesEveryRenderAsItIs(t *testing.T) {
	for _, channel := range []cluster.Channel{cluster.Standard, cluster.Experimental} {
		t.Run(string(channel), func(t *testing.T) {
			s := newServer(t, channel)
			t.Run("golden plans, stop by stop", func(t *testing.T) { s.golden(t) })
			t.Run("random plans", func(t *testing.T) { s.random(t) })
			t.Run("odd texts", func(t *testing.T) { s.odd(t) })
			t.Run("the largest", func(t *testing.T) { same(t, largestOf(t), s.apply(t, largestOf(t), metav1.DryRunAll)) })
			t.Run("what a rule must not hold is seen", func(t *testing.T) { s.refuses(t) })
		})
	}
}

// golden travels along each golden plan on one live HTTPRoute.
func (s server) golden(t *testing.T) {
	for _, in := range inputs(t) {
		t.Run(filepath.Base(in), func(t *testing.T) {
			p := decode(t, in)
			for _, stop := range p.Itinerary() {
				o := mustRender(t, p, stop)
				live := s.apply(t, o)
				same(t, o, live)
				again := s.apply(t, mustRender(t, p, stop))
				if again.GetResourceVersion() != live.GetResourceVersion() || again.GetGeneration() != live.GetGeneration() {
					t.Errorf("at %s a second apply changed the object: resource version %s to %s, generation %d to %d",
						stop, live.GetResourceVersion(), again.GetResourceVersion(), live.GetGeneration(), again.GetGeneration())
				}
			}
			if err := s.routes.Delete(t.Context(), p.Metadata.Name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// random tries plans as rapid draws them from the seeds 0 and up, so that every
// run tries the same.
func (s server) random(t *testing.T) {
	draw := rapid.Custom(func(t *rapid.T) *plan.Plan {
		p := anyPlan(t)
		g := p.Spec.Gateway.GatewayAPI
		g.Hostnames = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a.example.com", "*.example.com", "localhost"}), 0, 3, rapid.ID).Draw(t, "hostnames")
		g.ParentRefs = rapid.SampledFrom([][]plan.ParentRef{
			{{Name: "edge"}},
			{{Name: "edge", Namespace: "infra", Port: 443}, {Name: "edge"}},
			{{Name: "edge", SectionName: "a"}, {Name: "edge", SectionName: "b"}, {Name: "edge", SectionName: "a", Namespace: "infra"}},
			{{Name: "edge", SectionName: "a", Port: 80}, {Name: "edge", SectionName: "b", Port: 80}},
		}).Draw(t, "parents")
		return p
	})
	applied, filters, matches := 0, map[string]int{}, 0
	for seed := range 300 {
		o, err := gatewayapi.Render(draw.Example(seed), plan.Position{Phase: "a"})
		if err != nil {
			continue
		}
		same(t, o, s.apply(t, o, metav1.DryRunAll))
		applied++
		spec, err := readSpec(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range spec.Rules {
			matches = max(matches, len(r.Matches))
			for _, f := range r.Filters {
				filters[f.Type+f.URLRewrite.Path.Type]++
			}
		}
	}
	t.Logf("%d applied; at most %d matches a rule; filters %v", applied, matches, filters)
	if applied < 250 || len(filters) < 5 {
		t.Errorf("only %d were applied, with filters %v: too few to say anything", applied, filters)
	}
}

// odd tries plans with all kinds of texts: what validation and Check let through,
// the API server takes.
func (s server) odd(t *testing.T) {
	draw := rapid.Custom(oddPlan)
	applied, refused := 0, 0
	for seed := range 2000 {
		src, err := json.Marshal(draw.Example(seed))
		if err != nil {
			t.Fatal(err)
		}
		doc, problems := plan.Decode("p.yaml", src)
		if len(append(problems, gatewayapi.Check(doc)...)) > 0 {
			refused++
			continue
		}
		o := mustRender(t, doc.Plan, plan.Position{Phase: "a"})
		same(t, o, s.apply(t, o, metav1.DryRunAll))
		applied++
	}
	t.Logf("%d applied, %d refused before", applied, refused)
	if applied < 100 || refused < 100 {
		t.Errorf("%d were applied and %d refused: too few to say anything", applied, refused)
	}
}

// oddPlan draws a plan with one route whose texts may be wrong.
func oddPlan(t *rapid.T) *plan.Plan {
	text := func(name, alphabet string, most int) string {
		return rapid.StringOfN(rapid.SampledFrom([]rune(alphabet)), 0, most, -1).Draw(t, name)
	}
	const segment = "-._~!$&'()*+,;=:@aZ0/"
	m := &plan.Match{Methods: []string{rapid.SampledFrom([]string{"GET", "PATCH", "TRACE", "CONNECT", "M-SEARCH"}).Draw(t, "method")}}
	if path := "/" + text("path", segment, 8); rapid.Bool().Draw(t, "exact") {
		m.Path = path
	} else {
		m.PathPrefix = path + "/"
	}
	headers := map[string]string{"X" + text("name", "!#$%&'*+.^_`|~09AZaz-", 5): "v" + text("value", " !~\"\\#%&azAZ", 5)}
	r := plan.Route{Match: m, To: plan.ToLegacy}
	if rapid.Bool().Draw(t, "rewrite") {
		r.Rewrite = &plan.Rewrite{Path: "/" + text("to", segment, 4) + "/", Headers: headers, Host: "h" + text("host", "a0-.", 6)}
	} else {
		m.Headers = headers
	}
	p := base(r, plan.Route{To: plan.ToModern})
	p.Spec.Gateway.GatewayAPI.Hostnames = []string{"h" + text("hostname", "a0-.", 6)}
	p.Spec.Gateway.GatewayAPI.ParentRefs[0].Name = "g" + text("gateway", "a0-.", 6)
	return p
}

func largestOf(t *testing.T) render.Object {
	t.Helper()
	o := mustRender(t, largest(), plan.Position{Phase: "a"})
	spec, err := readSpec(o)
	if err != nil {
		t.Fatal(err)
	}
	matches := 0
	for _, r := range spec.Rules {
		matches += len(r.Matches)
	}
	if n := len(spec.Rules); n != 16 || matches != 128 {
		t.Errorf("the largest has %d rules with %d matches, want 16 and 128", n, matches)
	}
	return o
}

// refuses shows that the checks of the definitions are at work: objects that
// break them do not get in.
func (s server) refuses(t *testing.T) {
	p := base(plan.Route{Match: &plan.Match{PathPrefix: "/a/"}, To: plan.ToLegacy, Rewrite: &plan.Rewrite{Path: "/b/"}})
	for name, change := range map[string]func(rule map[string]any){
		"two matches and a prefix to replace": func(rule map[string]any) {
			matches := rule["matches"].([]any)
			rule["matches"] = append(slices.Clone(matches), map[string]any{"path": map[string]any{"type": "Exact", "value": "/c"}})
		},
		"a Service without a port": func(rule map[string]any) { delete(rule["backendRefs"].([]any)[0].(map[string]any), "port") },
		"a path with an escaped slash": func(rule map[string]any) {
			rule["matches"].([]any)[0].(map[string]any)["path"].(map[string]any)["value"] = "/a%2Fb"
		},
		"an unknown method": func(rule map[string]any) { rule["matches"].([]any)[0].(map[string]any)["method"] = "PROPFIND" },
	} {
		o := mustRender(t, p, plan.Position{Phase: "a"})
		change(o["spec"].(map[string]any)["rules"].([]any)[0].(map[string]any))
		_, err := s.routes.Apply(t.Context(), o.ID().Name, &unstructured.Unstructured{Object: o}, metav1.ApplyOptions{FieldManager: render.FieldManager, DryRun: []string{metav1.DryRunAll}})
		if !apierrors.IsInvalid(err) {
			t.Errorf("%s: want it refused as invalid, got %v", name, err)
		}
	}
	// And what is left out is filled in, which same would see.
	o := mustRender(t, p, plan.Position{Phase: "a"})
	delete(o["spec"].(map[string]any)["rules"].([]any)[0].(map[string]any)["backendRefs"].([]any)[0].(map[string]any), "weight")
	if live := s.apply(t, o, metav1.DryRunAll); fmt.Sprint(live.Object["spec"]) == fmt.Sprint(o["spec"]) {
		t.Error("no weight was filled in")
	}
}
