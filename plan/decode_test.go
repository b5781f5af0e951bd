package plan_test

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file, or writes it under -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// files lists the files of a pattern, of which there must be at least some.
func files(t testing.TB, least int, patterns ...string) []string {
	t.Helper()
	var all []string
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, names...)
	}
	if len(all) < least {
		t.Fatalf("%v match %d files, want at least %d", patterns, len(all), least)
	}
	return all
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestEveryBadPlanGivesItsProblems(t *testing.T) {
	const suffix = ".bad.yaml"
	for _, file := range files(t, 60, "testdata/bad/*"+suffix) {
		t.Run(strings.TrimSuffix(filepath.Base(file), suffix), func(t *testing.T) {
			_, problems := plan.Decode(filepath.Base(file), read(t, file))
			if !plan.HasErrors(problems) {
				t.Error("the plan has no errors")
			}
			var got strings.Builder
			for _, p := range problems {
				got.WriteString(p.Render())
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".problems", got.String())
		})
	}
}

func TestGoodPlansHaveNoProblems(t *testing.T) {
	for _, file := range files(t, 5, "testdata/good/*.good.yaml", "../examples/quickstart/*.yaml", "../examples/kubernetes/*.yaml") {
		_, problems := plan.Decode(file, read(t, file))
		for _, p := range problems {
			t.Error(p.Render())
		}
	}
}

// base is a good plan for tests that change a part of it.
const base = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: orders}
spec:
  position: {phase: gradual, percent: 10}
  backends:
    legacy: {url: "http://127.0.0.1:8080"}
    modern: {url: "http://127.0.0.1:8000"}
  gateway: {bridge: {}}
  identity: {header: X-Tenant-ID}
  signals:
    errors: {query: "sum(rate(errors_total[5m]))"}
  phases:
    - name: setup
      routes: [{to: legacy}]
    - name: gradual
      percents: [10, 50]
      bake: 1h
      routes: [{to: split}]
      gates:
        rollback: [{name: high-errors, expr: signal.errors > 0.03}]
`

// with is base with a part replaced.
func with(t testing.TB, old, new string) string {
	t.Helper()
	if strings.Count(base, old) != 1 {
		t.Fatalf("%q stands %d times in the base plan", old, strings.Count(base, old))
	}
	return strings.Replace(base, old, new, 1)
}

// good decodes a plan that must have no problems.
func good(t testing.TB, src string) *plan.Plan {
	t.Helper()
	d, problems := plan.Decode("plan.yaml", []byte(src))
	for _, p := range problems {
		t.Fatal(p.Render())
	}
	return d.Plan
}

func TestDefaultsAreFilledIn(t *testing.T) {
	p := good(t, base)
	if got := p.Key().String(); got != "default/orders" {
		t.Errorf("key %s", got)
	}
	if got := p.Spec.Signals["errors"].MaxAge.String(); got != "5m" {
		t.Errorf("maxAge %s", got)
	}
	for _, ph := range p.Spec.Phases {
		if !reflect.DeepEqual(ph.Rollback, plan.Rollback{OnBreach: plan.Revert, Depth: plan.DepthPromotion}) {
			t.Errorf("rollback of %s: %+v", ph.Name, ph.Rollback)
		}
	}
}

func TestDefaultsOfAClusterAreFilledIn(t *testing.T) {
	p := good(t, strings.ReplaceAll(kube, "{name: orders}", "{name: orders, namespace: shop}"))
	g := p.Spec.Gateway.GatewayAPI
	for what, got := range map[string]string{
		"the HTTPRoute": g.Namespace, "the Gateway": g.ParentRefs[0].Namespace,
		"the Service of legacy": p.Spec.Backends.Legacy.Service.Namespace, "the Service of modern": p.Spec.Backends.Modern.Service.Namespace,
		"the object": p.Spec.Objects["orders"].Namespace,
	} {
		if got != "shop" {
			t.Errorf("namespace of %s is %q, want that of the plan", what, got)
		}
	}
	c := p.Phase("setup").Cluster
	if !*c.Prune || *c.MaxPrune != 20 || c.Timeout.String() != "5m" {
		t.Errorf("cluster: prune %v, maxPrune %d, timeout %s", *c.Prune, *c.MaxPrune, c.Timeout)
	}
	p = good(t, strings.NewReplacer("{parentRefs:", "{namespace: edge, parentRefs:", "cluster/setup}", "cluster/setup, prune: false, maxPrune: 0}").Replace(kube))
	g, c = p.Spec.Gateway.GatewayAPI, p.Phase("setup").Cluster
	if g.ParentRefs[0].Namespace != "edge" || p.Spec.Backends.Modern.Service.Namespace != "edge" || p.Spec.Objects["orders"].Namespace != "default" {
		t.Errorf("beside an HTTPRoute in edge: %+v, %+v", g.ParentRefs, p.Spec)
	}
	if *c.Prune || *c.MaxPrune != 0 {
		t.Errorf("cluster: prune %v, maxPrune %d", *c.Prune, *c.MaxPrune)
	}
}

func TestWhatTheFileSaysIsKept(t *testing.T) {
	p := good(t, with(t, "bake: 1h", "bake: {10: 1h, 50: 1d12h}\n      rollback: {onBreach: freeze, depth: plan, window: 2d}"))
	ph := p.Phase("gradual")
	if ph.Rollback.OnBreach != plan.Freeze || ph.Rollback.Depth != plan.DepthPlan || ph.Rollback.Window.String() != "2d" {
		t.Errorf("rollback %+v", ph.Rollback)
	}
	if got := p.BakeAt(plan.Position{Phase: "gradual", Percent: 50}).String(); got != "1d12h" {
		t.Errorf("bake %s", got)
	}
	if p.Spec.Position != (plan.Position{Phase: "gradual", Percent: 10}) {
		t.Errorf("position %s", p.Spec.Position)
	}
}

func TestEmptyDocumentsAreNone(t *testing.T) {
	good(t, "---\n# nothing here\n---\n"+base+"---\n# nor here\n")
}

// YAML 1.1 would read true and 10.
func TestWordsAndNumbersAreWhatTheyLookLike(t *testing.T) {
	p := good(t, strings.ReplaceAll(with(t, "percents: [10, 50]", "percents: [10, 50.10]"), "setup", "on"))
	if p.Spec.Phases[0].Name != "on" || p.Spec.Phases[1].Percents[1] != 50.1 {
		t.Errorf("phases %+v", p.Spec.Phases)
	}
}

func TestABadPlanStillHasAPlan(t *testing.T) {
	for name, src := range map[string]string{
		"nothing":       "",
		"no YAML":       "{",
		"no object":     "- a",
		"other bytes":   "\xff\xfe",
		"unknown field": with(t, "bake: 1h", "bakes: 1h"),
	} {
		d, problems := plan.Decode("plan.yaml", []byte(src))
		if d == nil || d.Plan == nil || d.Plan.Metadata.Namespace != "default" || !plan.HasErrors(problems) {
			t.Errorf("%s: document %+v, problems %v", name, d, problems)
		}
	}
	d, _ := plan.Decode("plan.yaml", []byte(with(t, "percents: [10, 50]", "percents: [10, many, 50]")))
	if got := d.Plan.Itinerary(); len(got) != 4 || got[3].Percent != 50 {
		t.Errorf("itinerary %v: the good elements keep their places", got)
	}
}

func TestSizeAndNumberOfProblemsAreBounded(t *testing.T) {
	_, problems := plan.Decode("plan.yaml", []byte(base+"# "+strings.Repeat("x", plan.MaxSize)))
	if len(problems) != 1 || problems[0].Code != "too-large" {
		t.Errorf("problems of a large file: %v", problems)
	}
	for name, src := range map[string]string{
		"anchors":       base + "  more:\n" + strings.Repeat("    - &a b\n", 5000),
		"wrong types":   with(t, "percents: [10, 50]", "percents: ["+strings.Repeat("x, ", 900)+"]"),
		"wrong values":  with(t, "percents: [10, 50]", "percents: ["+strings.Repeat("5, ", 900)+"]"),
		"control bytes": base + "# " + strings.Repeat("\x01", 5000),
	} {
		_, problems := plan.Decode("plan.yaml", []byte(src))
		if last := problems[len(problems)-1]; len(problems) != 101 || last.Code != "too-many-problems" {
			t.Errorf("%s: %d problems, the last is %s", name, len(problems), last)
		}
	}
}

func TestLongTextsAndListsAreRefused(t *testing.T) {
	for code, route := range map[string]string{
		"respond":       "match: {path: /a}, respond: {status: 410, body: " + strings.Repeat("g", 65_537) + "}",
		"path":          "match: {path: /" + strings.Repeat("a", 1024) + "}, to: modern",
		"path-regex":    "match: {pathRegex: /" + strings.Repeat("a", 1024) + "}, to: modern",
		"header":        "match: {headers: {X-A: " + strings.Repeat("a", 1025) + "}}, to: modern",
		"name":          "match: {headers: {" + strings.Repeat("a", 129) + ": b}}, to: modern",
		"list-too-long": "match: {methods: [" + strings.Repeat("GET, ", 1001) + "]}, to: modern",
		"wrong-type":    "match: {headers: {" + strings.Repeat("a", 257) + ": b}}, to: modern",
	} {
		_, problems := plan.Decode("plan.yaml", []byte(with(t, "[{to: split}]", "[{"+route+"}, {to: split}]")))
		if len(problems) != 1 || problems[0].Code != code || len(problems[0].Message) > 200 || len(problems[0].Source) > 1000 {
			t.Errorf("%s: problems %v", code, problems)
		}
	}
}

func TestIsPlanKnowsWhatClaimsToBeOne(t *testing.T) {
	for name, c := range map[string]struct {
		src  string
		want bool
	}{
		"plan":                      {base, true},
		"another version":           {with(t, "v1alpha1", "v2"), true},
		"JSON":                      {`{"apiVersion": "changeover.dev/v1alpha1", "kind": "MigrationPlan"}`, true},
		"second document":           {"a: 1\n---\n" + base, true},
		"does not parse":            {base + "\t]", true},
		"JSON that does not parse":  {`{"kind": "MigrationPlan", "apiVersion": "changeover.dev/v1alpha1", `, true},
		"not UTF-8":                 {base + "# \xff", true},
		"byte order mark":           {"\ufeff" + base, true},
		"too large":                 {base + strings.Repeat("# more\n", 200_000), true},
		"another kind":              {with(t, "MigrationPlan", "Approval"), false},
		"another group":             {with(t, "changeover.dev/v1alpha1", "example.com/v1"), false},
		"two halves":                {"kind: MigrationPlan\n---\napiVersion: changeover.dev/v1alpha1\n", false},
		"a plan as a text in it":    {"kind: ConfigMap\nplan: |\n  " + strings.ReplaceAll(base, "\n", "\n  "), false},
		"nested":                    {"a:\n  kind: MigrationPlan\n  apiVersion: changeover.dev/v1alpha1\n", false},
		"prose that does not parse": {"# a MigrationPlan of changeover.dev/v1alpha1\n]", false},
		"empty":                     {"", false},
	} {
		if got := plan.IsPlan([]byte(c.src)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
