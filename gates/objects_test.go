package gates_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// withObjects is gatePlan with the objects orders, edge, stale and gone.
func withObjects(effect plan.Effect, g plan.Gate) *plan.Plan {
	p := gatePlan(effect, g, nil)
	p.Spec.Objects = map[string]plan.ObjectRef{
		"orders": {APIVersion: "apps/v1", Kind: "Deployment", Namespace: "so", Name: "orchestrator"},
		"edge":   {APIVersion: "v1", Kind: "Service", Namespace: "so", Name: "edge"},
		"stale":  {APIVersion: "v1", Kind: "Node", Name: "other"},
		"gone":   {APIVersion: "v1", Kind: "Node", Name: "worker"},
	}
	return p
}

// live decodes JSON as it comes from an API server: whole numbers are int64.
func live(t testing.TB, src string) gates.Object {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(src))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return gates.Object{Value: numbers(v).(map[string]any)}
}

func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = numbers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = numbers(e)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	}
	return v
}

const deployment = `{"metadata": {"name": "orchestrator", "labels": {"app.kubernetes.io/version": "2.4"}, "annotations": {"note": "` + longText + `"}},
	"spec": {"replicas": 3, "paused": false, "ratio": 0.25, "nothing": null, "template": {"containers": [{"image": "shop:v2"}]}},
	"status": {"availableReplicas": 2, "conditions": [{"type": "Progressing", "status": "True"}, {"type": "Available", "status": "True"}]}}`

const longText = "a text that is much longer than what a person wants to read in one line of a status"

func TestVerdictOverAnObject(t *testing.T) {
	objects := map[string]gates.Object{"orders": live(t, deployment), "edge": {Err: errors.New("get Service so/edge: forbidden")}, "gone": {},
		"stale": {Value: map[string]any{"a": int64(1)}, Err: errors.New("timed out")}}
	for _, tc := range []struct {
		expr   string
		want   gates.Verdict
		detail string
	}{
		{"object.orders.status.availableReplicas >= 2", gates.Pass, "object.orders.status.availableReplicas=2"},
		{"object.orders.status.availableReplicas >= 2.5", gates.Fail, "object.orders.status.availableReplicas=2"},
		{"object.orders.spec.ratio * 4.0 <= 1", gates.Pass, "object.orders.spec.ratio=0.25"},
		{"object.orders.spec.ratio < 1 && !object.orders.spec.paused", gates.Pass, "object.orders.spec.ratio=0.25; object.orders.spec.paused=false"},
		{"object.orders.status.availableReplicas == object.orders.spec.replicas", gates.Fail, "object.orders.status.availableReplicas=2; object.orders.spec.replicas=3"},
		{"object.orders.metadata.name == 'orchestrator'", gates.Pass, `object.orders.metadata.name="orchestrator"`},
		{"object.orders.spec.nothing == null", gates.Pass, "object.orders.spec.nothing=null"},
		{"object.orders.metadata.labels['app.kubernetes.io/version'] == '2.4'", gates.Pass, `object.orders.metadata.labels["app.kubernetes.io/version"]="2.4"`},
		{"object.orders.spec.template.containers[0].image.endsWith(':v2')", gates.Pass, `object.orders.spec.template.containers[0].image="shop:v2"`},
		{"object.orders.status.conditions.exists(c, c.type == 'Available' && c.status == 'True')", gates.Pass, ""},
		{"object.orders.metadata.annotations.note.size() > 80", gates.Pass, `object.orders.metadata.annotations.note="a text that is much longer than what a person wants to read ..."`},
		{"size(object.orders.metadata) == 3 && size(object.orders) == 3", gates.Pass, ""},
		{"signal.a < 1.0 && object.orders.status.availableReplicas > signal.a", gates.Pass, "a=0.5; object.orders.status.availableReplicas=2"},

		{"object.gone.status.ready", gates.Error, ""}, // not bool: see below
		{"object.gone.status.ready == true", gates.NoData, "no object Node worker"},
		{"has(object.gone.status)", gates.NoData, "no object Node worker"},
		{"has(object.gone)", gates.NoData, "no object Node worker"},
		{"object.gone.status.ready == true && object.orders.spec.paused", gates.Fail, "no object Node worker; object.orders.spec.paused=false"},
		{"object.gone.status.ready == true || object.orders.spec.replicas == 3", gates.Pass, "no object Node worker; object.orders.spec.replicas=3"},
		{"object.gone.list.all(x, x > 0)", gates.NoData, "no object Node worker"},
		{"object.gone == object.orders", gates.NoData, "no object Node worker"},
		{"[object.gone.a, 1].exists(x, x == 1)", gates.NoData, "no object Node worker"},

		{"object.edge.spec.type == 'ClusterIP'", gates.Error, "object edge failed: get Service so/edge: forbidden"},
		{"object.edge.a == 1 || object.orders.spec.replicas == 3", gates.Pass, "object edge failed: get Service so/edge: forbidden; object.orders.spec.replicas=3"},
		{"object.edge.a == 1 && object.gone.a == 1", gates.Error, "object edge failed: get Service so/edge: forbidden; no object Node worker"},

		{"object.stale.a == 1", gates.Error, "object stale failed: timed out"},

		{"has(object.orders.spec.replicas)", gates.Pass, ""},
		{"object.orders.status.readyReplicas >= 2", gates.Error, `object.orders.status has no field "readyReplicas": ask for it first, as in has(object.orders.status.readyReplicas)`},
		{"object.orders.state.ready.deep == 1", gates.Error, `object.orders has no field "state": ask for it first, as in has(object.orders.state)`},
		{"has(object.orders.state.ready)", gates.Error, `object.orders has no field "state": ask for it first, as in has(object.orders.state)`},
		{"has(object.orders.status.readyReplicas) && object.orders.status.readyReplicas >= 2", gates.Fail, ""},
		{"has(object.orders.status.availableReplicas) && object.orders.status.availableReplicas >= 2", gates.Pass, "object.orders.status.availableReplicas=2"},
		{"object.orders.metadata.labels['a b'] == ''", gates.Error, `object.orders.metadata.labels has no field "a b": ask for it first, as in "a b" in object.orders.metadata.labels`},
		{"object.orders.status.conditions.all(c, c.message == '')", gates.Error, "no such key: message: ask for it first with has()"},
		{"object.orders.status.conditions[7].type == 'x'", gates.Error, "index out of bounds: 7"},
		{"object.orders.metadata.name >= 2", gates.Error, `object.orders.metadata.name="orchestrator"; a field is of another type than the expression wants (no such overload)`},
		{"object.orders.spec.nothing >= 2", gates.Error, "object.orders.spec.nothing=null; a field is of another type than the expression wants (no such overload: _>=_)"},
		{"object.orders.spec.replicas / 0 > 1", gates.Error, "object.orders.spec.replicas=3; division by zero"},
		{"object.orders.spec.ratio / 0.0 > 1", gates.NoData, "object.orders.spec.ratio=0.25; the expression divides by zero or leaves the numbers"},
	} {
		t.Run(tc.expr, func(t *testing.T) {
			prg, err := gates.Compile(withObjects(plan.Advance, plan.Gate{Expr: tc.expr}), gates.Options{})
			if tc.detail == "" && tc.want == gates.Error {
				if err == nil {
					t.Error("compiled")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			f := fixture{t: t, prg: prg, effect: plan.Advance}
			got := f.evalFacts(f.request(), map[string]gates.Sample{"a": value(0.5)}, gates.Facts{Objects: objects})
			if got.Verdict != tc.want || got.Now != tc.want || got.Detail != tc.detail {
				t.Errorf("got %s, now %s, %q; want %s, %q", got.Verdict, got.Now, got.Detail, tc.want, tc.detail)
			}
		})
	}
}

func TestAnObjectThatNobodyReadIsUnknown(t *testing.T) {
	prg, err := gates.Compile(withObjects(plan.Pause, plan.Gate{Expr: "object.orders.spec.replicas > 1"}), gates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{t: t, prg: prg, effect: plan.Pause}
	for _, facts := range []gates.Facts{{}, {Objects: map[string]gates.Object{"edge": live(t, "{}")}}} {
		if got := f.evalFacts(f.request(), nil, facts); got.Verdict != gates.NoData || got.Detail != "object orders unknown: not read" {
			t.Errorf("got %s, %q", got.Verdict, got.Detail)
		}
	}
	// An object with nothing in it is there.
	if got := f.evalFacts(f.request(), nil, gates.Facts{Objects: map[string]gates.Object{"orders": live(t, "{}")}}); got.Verdict != gates.Error {
		t.Errorf("an empty object: %s, %q", got.Verdict, got.Detail)
	}
}

func TestWhichObjectsAreReadIsKnown(t *testing.T) {
	p := withObjects(plan.Advance, plan.Gate{Expr: "object.orders.spec.replicas > 1 && [1].all(x, object.edge.spec.ports.size() > x)"})
	p.Spec.Phases[0].Gates.Pause = []plan.Gate{{Name: "other", Expr: "has(object.gone) || signal.a > 1.0"}, {Name: "none", Expr: "health.cluster"}}
	p.Spec.Phases = append(p.Spec.Phases, plan.Phase{Name: "next", Gates: plan.Gates{Enter: []plan.Gate{{Name: "up", Expr: "object.edge.a == 1"}}}})
	prg, err := gates.Compile(p, gates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	next := gates.Request{Stop: plan.Position{Phase: "next"}, Effects: []plan.Effect{plan.Enter}}
	for _, c := range []struct {
		reqs []gates.Request
		want []string
	}{
		{nil, nil},
		{[]gates.Request{{Stop: only, Effects: []plan.Effect{plan.Advance}}}, []string{"edge", "orders"}},
		{[]gates.Request{{Stop: only, Effects: plan.Effects}, next}, []string{"edge", "gone", "orders"}},
		{[]gates.Request{{Stop: only, Effects: []plan.Effect{plan.Breaches}}}, nil},
		{[]gates.Request{next, next}, []string{"edge"}},
	} {
		if diff := cmp.Diff(c.want, prg.Objects(c.reqs)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.reqs, diff)
		}
	}
	if got := prg.Needs([]gates.Request{next}); len(got) != 0 {
		t.Errorf("an object is asked for as a signal: %v", got)
	}
}

func TestLargeObjectsAreCutOffAndNotRepeated(t *testing.T) {
	var items []any
	for i := range 5000 {
		items = append(items, map[string]any{"n": int64(i), "text": strings.Repeat("x", 200)})
	}
	large := gates.Object{Value: map[string]any{"items": items, "text": strings.Repeat("secret ", 1<<17), "name": "orders"}}
	for expr, want := range map[string]gates.Verdict{
		"object.orders.items.all(i, i.n >= 0)":            gates.Error,
		"object.orders.text.matches('(a|b|s)*x$')":        gates.Error,
		"object.orders.text.contains('public')":           gates.Error,
		"timestamp(object.orders.text) < now":             gates.Error,
		"int(object.orders.text) > 0":                     gates.Error,
		"{'a': 1}[object.orders.text] > 0":                gates.Error,
		"object.orders.items[object.orders.text] > 0":     gates.Error,
		"object.orders.items == object.orders.text":       gates.Fail,
		"object.orders.text != object.orders.items":       gates.Pass,
		"object.orders == object.orders":                  gates.Pass,
		"size(object.orders.items) == 5000":               gates.Pass,
		"object.orders.items[4999].n == 4999":             gates.Pass,
		"object.orders.items.map(i, i.text).size() > 0":   gates.Error,
		"'%s'.format([object.orders.name]) == 'orders'":   gates.Pass,
		"'%d'.format([object.orders.items]).size() > 100": gates.Error,
	} {
		prg, err := gates.Compile(withObjects(plan.Enter, plan.Gate{Expr: expr}), gates.Options{})
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		f := fixture{t: t, prg: prg, effect: plan.Enter}
		got := f.evalFacts(f.request(), nil, gates.Facts{Objects: map[string]gates.Object{"orders": large}})
		if got.Verdict != want {
			t.Errorf("%s is %s (%.100s), want %s", expr, got.Verdict, got.Detail, want)
		}
		t.Logf("%s is %s: %.200s", expr, got.Verdict, got.Detail)
		if len(got.Detail) > 1000 {
			t.Errorf("%s has a detail of %d bytes: %.100s", expr, len(got.Detail), got.Detail)
		}
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("object.orders.f%d == 'x'", i))
		large.Value[fmt.Sprintf("f%d", i)] = strings.Repeat("y", 1000)
	}
	prg, err := gates.Compile(withObjects(plan.Enter, plan.Gate{Expr: "(" + strings.Join(many, " || ") + ")"}), gates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{t: t, prg: prg, effect: plan.Enter}
	got := f.evalFacts(f.request(), nil, gates.Facts{Objects: map[string]gates.Object{"orders": large, "edge": {Err: errors.New(strings.Repeat("long ", 1000))}}})
	if got.Verdict != gates.Fail || len(got.Detail) > 1000 {
		t.Errorf("a hundred texts: %s, detail of %d bytes", got.Verdict, len(got.Detail))
	}
}

// TestUnknownObjectsNeverFlip is law 3 for objects: a verdict that is given
// although an object is absent or was not read would be the same whatever it
// holds.
func TestUnknownObjectsNeverFlip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		signals := condition(rt, 3)
		expr := strings.NewReplacer("signal.b", "object.orders.status.n", "signal.c", "object.edge.n").Replace(signals)
		facts := gates.Facts{Objects: map[string]gates.Object{}}
		value := func(name string, v float64) gates.Object {
			if name == "orders" {
				return gates.Object{Value: map[string]any{"status": map[string]any{"n": v}}}
			}
			return gates.Object{Value: map[string]any{"n": v}}
		}
		var open []string
		failed := false
		for _, name := range []string{"orders", "edge"} {
			read := strings.Contains(expr, "object."+name)
			switch rapid.IntRange(0, 4).Draw(rt, name) {
			case 0:
				facts.Objects[name] = gates.Object{}
			case 1:
				facts.Objects[name] = gates.Object{Err: errors.New("timed out")}
				failed = failed || read
			case 2: // not read
			default:
				facts.Objects[name] = value(name, rapid.SampledFrom(levels).Draw(rt, "value"))
				continue
			}
			if read {
				open = append(open, name)
			}
		}
		prg, err := gates.Compile(withObjects(plan.Advance, plan.Gate{Expr: expr}), gates.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		f := fixture{t: t, prg: prg, effect: plan.Advance}
		a := map[string]gates.Sample{"a": {Last: gates.Point{Time: noon, Value: rapid.SampledFrom(levels).Draw(rt, "a")}}}
		got := f.evalFacts(f.request(), a, facts)
		if again := f.evalFacts(f.request(), a, facts); !cmp.Equal(got, again) {
			rt.Fatalf("two evaluations differ:\n%s", cmp.Diff(got, again))
		}
		if got.Verdict == gates.Error && !failed || got.Verdict == gates.NoData && failed {
			rt.Fatalf("%s is %s, failed %v: %s", expr, got.Verdict, failed, got.Detail)
		}
		if got.Verdict != gates.Pass && got.Verdict != gates.Fail {
			return
		}
		var complete func(int)
		complete = func(i int) {
			if i < len(open) {
				for _, v := range levels {
					facts.Objects[open[i]] = value(open[i], v)
					complete(i + 1)
				}
				return
			}
			if v := f.evalFacts(f.request(), a, facts).Verdict; v != got.Verdict && v != gates.NoData {
				rt.Fatalf("%s is %s, but %s in a completion", expr, got.Verdict, v)
			}
		}
		complete(0)
	})
}
