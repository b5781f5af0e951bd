package gates_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// FuzzCompile compiles any text as an expression and, where that works,
// evaluates it: nothing panics, hangs, or is decided by what is unknown.
func FuzzCompile(f *testing.F) {
	for _, expr := range []string{
		"signal.a < 0.01", "signal.a > 0.03 || signal.b / signal.c >= 1.0", "!(signal.a > 1)", "has(signal.a)",
		"position.percent >= 10 && stop.age > duration('1h')", "health.cluster ? signal.a < 1.0 : false",
		"[signal.a, signal.b].all(x, x < 1.0)", "[signal.a, signal.b].map(x, x * 2.0).filter(x, x > 1.0).size() == 0",
		"lists.range(10).exists(i, double(i) > signal.a)", "math.greatest(signal.a, 1.0) > 0.5", "sets.contains([1.0], [signal.a])",
		"position.phase.matches('^g.*$')", "'%d %s'.format([1, 'x']).size() > 1", "{'a': signal.a}['a'] == 1.0",
		"timestamp('2026-01-01T00:00:00Z') < now", "dyn(signal.a) > 1", "signal.a <", "signal..a", "a.b.c", "'\\", "1 / 0 > 0 || signal.a > 1.0",
		"signal . a\n<\t1.0 // why", "[[1], [2]].flatten().sort().reverse()[0] == 2", "type(signal.a) == double", "((((true))))",
		"object.orders.status.availableReplicas >= 2", "has(object.edge.a) && object.gone.b == 'x'", "object.orders['metadata'].labels[\"a\"] != ''",
		"object.orders.status.conditions.exists(c, c.type == 'Available' && c.status == 'True')", "object.orders.status.conditions[0].type == 'x'",
		"object.orders == object.edge", "'%s'.format([object.orders]).size() > 10", "dyn(object.orders.spec).replicas / 0 > 1", "object.ordres.a == 1",
		"signal.a > 1.0 || object.orders.spec.paused", "[object.orders.a, 1].all(x, x > 0)", "object.orders.metadata.name.matches('^o.*$')",
		"quantile(series.a, 0.95) < 1.0", "quantile(series.a, 95.0) < 1.0", "quantile([], 0.5) > 0.0 || signal.a > 1.0", "wilsonUpper(signal.a, signal.b, 1.96) < 0.01",
		"mannWhitney(series.a, series.a.map(x, x + signal.b)) > 0.05", "series.a.all(x, x > baseline.then)", "signal.a > 1.5 * baseline.week", "series.a[3] == 1.0",
		"quantile(object.orders.status.conditions, 0.5) > 0.0", "mannWhitney(object.orders.spec, series.a) > 0.0", "wilsonUpper(object.orders.a, 1.0, 2.0) < 1.0", "!(quantile(series.a, signal.b) > 1.0)",
	} {
		f.Add(expr)
	}
	files, _ := filepath.Glob("testdata/*.bad.yaml")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		doc, _ := plan.Decode(file, src)
		for _, ph := range doc.Plan.Spec.Phases {
			for _, e := range plan.Effects {
				for _, g := range ph.GatesOf(e) {
					f.Add(g.Expr)
				}
			}
		}
	}
	r := []gates.Request{{Stop: only, Effects: plan.Effects, Since: noon.Add(-time.Hour)}}
	objects := map[string]gates.Object{"orders": live(f, deployment), "edge": {Err: errors.New("timed out")}, "gone": {}}
	f.Fuzz(func(t *testing.T, expr string) {
		hang := time.AfterFunc(20*time.Second, func() { panic("hangs on " + strconv.Quote(expr)) })
		defer hang.Stop()
		for _, window := range []time.Duration{0, time.Minute} {
			p := withObjects(plan.Pause, plan.Gate{Expr: expr, For: plan.Duration(window)})
			p.Spec.Signals["a"] = plan.Signal{Query: "a", Range: plan.Duration(4 * step), Step: plan.Duration(step)}
			p.Spec.Baselines = map[string]plan.Baseline{"then": {Signal: "a", At: "only"}, "week": {Signal: "a", Offset: plan.Duration(7 * 24 * time.Hour)}}
			prg, err := gates.Compile(p, gates.Options{})
			if err != nil {
				if !strings.HasPrefix(err.Error(), "compile gates") {
					t.Fatalf("unexpected error %v", err)
				}
				continue
			}
			for _, sample := range []gates.Sample{value(1), value(0), value(-math.MaxFloat64), unknown("no series"), series(step, 1, 0, math.NaN(), 2)} {
				s := gates.Snapshot{Now: noon, Samples: map[gates.Need]gates.Sample{}, Facts: gates.Facts{Objects: objects, Baselines: map[string]float64{"then": 1}}}
				for _, n := range prg.Needs(r) {
					s.Samples[n] = sample
				}
				for _, res := range prg.Eval("", r, s) {
					if res.Verdict != gates.Pass && res.Verdict != gates.Fail && res.Verdict != gates.NoData && res.Verdict != gates.Error {
						t.Fatalf("verdict %q", res.Verdict)
					}
					if len(res.Detail) > 4*maxDetail {
						t.Fatalf("a detail of %d bytes: %s", len(res.Detail), res.Detail)
					}
				}
			}
		}
	})
}

// maxDetail bounds what a verdict says of itself, in runes.
const maxDetail = 2000

// FuzzCheck checks any expression and query within a file: every problem is at
// a place that the file has.
func FuzzCheck(f *testing.F) {
	f.Add("signal.errors < 0.01", "errors")
	f.Add("signal.größe", "sum(rate(größe[5m])")
	f.Add("signal.errors\n  && bogus", "a\n/ b[")
	f.Add("", "")
	f.Add("object.errors.größe >= 2", "errors")
	f.Fuzz(func(t *testing.T, expr, query string) {
		src := onePlan("EXPR", "")
		src = strings.Replace(src, `"EXPR"`, yamlText(expr), 1)
		src = strings.Replace(src, "{query: errors}", "{query: "+yamlText(query)+"}", 1)
		doc, _ := plan.Decode("p.yaml", []byte(src))
		lines := strings.Split(src, "\n")
		for _, p := range gates.Check(doc) {
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > utf8.RuneCountInString(lines[p.Line-1])+1 {
				t.Errorf("%s is outside the file", p)
			}
			if strings.ContainsAny(p.Code, " \n") || p.Message == "" {
				t.Errorf("%s has no words", p)
			}
		}
	})
}

// yamlText quotes a text for YAML; one with control characters may still be
// refused, which is the decoder's to say.
func yamlText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(s) + `"`
}
