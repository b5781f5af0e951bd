package transform_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/gates/celjson"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/transform"
)

var update = flag.Bool("update", false, "write the golden files anew")

var key = plan.Key{Namespace: "nephoran-system", Name: "intents"}

func read(t testing.TB, src string) map[string]any {
	t.Helper()
	b, err := yaml.YAMLToJSON([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	v, err := celjson.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

func compiled(t testing.TB, x plan.Transform) *transform.Transform {
	t.Helper()
	out, err := transform.Compile(x)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// one is a transform to one target.
func one(object string) plan.Transform {
	return plan.Transform{Name: "t", To: []plan.TransformTarget{{Name: "x", Object: object}}}
}

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
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("(-want +got), -update writes it anew:\n%s", d)
	}
}

func TestEveryFaultIsToldWithItsPlace(t *testing.T) {
	src, err := os.ReadFile("testdata/bad.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode("bad.yaml", src)
	if len(problems) > 0 {
		t.Fatalf("the file must be bad in its expressions alone: %v", problems)
	}
	var b strings.Builder
	for _, p := range transform.Check(doc) {
		b.WriteString(p.Render())
	}
	golden(t, "testdata/bad.txt", b.String())
	for _, x := range doc.Plan.Spec.Phases[0].Transforms {
		if _, err := transform.Compile(x); err == nil {
			t.Errorf("Compile takes %s, which Check refuses", x.Name)
		}
	}
}

// nephoran is the transform of the example.
func nephoran(t testing.TB) *transform.Transform {
	t.Helper()
	src, err := os.ReadFile("../../examples/nephoran/intents.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode("intents.yaml", src)
	if problems = append(problems, transform.Check(doc)...); len(problems) > 0 {
		t.Fatalf("%v", problems)
	}
	return compiled(t, doc.Plan.Spec.Phases[1].Transforms[0])
}

const intent = `
apiVersion: nephoran.com/v1
kind: NetworkIntent
metadata: {name: amf, namespace: core, uid: 1-2}
spec: {intent: Deploy an AMF, priority: high}
status:
  phase: Completed
  completedAt: "2026-01-01T00:00:00Z"
  extractedParameters: {replicas: 3}
  resources: {memory: 4Gi, cpu: 2}
  manifests: ["kind: Deployment"]
  deployment: {repository: "https://git.example.com/amf.git"}
`

func TestANetworkIntentBecomesTheFiveKinds(t *testing.T) {
	tr := nephoran(t)
	made, err := tr.Map(t.Context(), read(t, intent), key)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range made {
		transform.Mark(m.Object, transform.Origin{UID: "1-2", Namespace: "core", Name: "amf", Transform: "intents"}, key)
	}
	b, err := yaml.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/intent.yaml", string(b))
	if len(tr.Kinds()) != 5 {
		t.Errorf("kinds %v", tr.Kinds())
	}

	bare, err := tr.Map(t.Context(), read(t, "{metadata: {name: bare, namespace: core}, spec: {intent: x}}"), key)
	if err != nil || len(bare) != 1 || bare[0].Target != "processing" {
		t.Errorf("an intent without a status becomes %v, error %v", bare, err)
	}
}

func TestVerifyTellsWhatDoesNotHold(t *testing.T) {
	tr := nephoran(t)
	source := read(t, intent)
	live := map[string]map[string]any{"processing": read(t, "{spec: {intentRef: amf}}"), "verification": read(t, "{spec: {intentRef: amf}}")}
	if broken, err := tr.Verify(t.Context(), source, live, key); err != nil || len(broken) > 0 {
		t.Errorf("%v, error %v", broken, err)
	}
	delete(live, "verification")
	broken, err := tr.Verify(t.Context(), source, live, key)
	if err != nil || len(broken) != 1 || !strings.HasPrefix(broken[0], "has(targets.verification) ==") {
		t.Errorf("%v, error %v", broken, err)
	}
	delete(live, "processing")
	var f *transform.Failure
	if _, err := tr.Verify(t.Context(), source, live, key); !errors.As(err, &f) || f.Field != "verify[0]" {
		t.Errorf("error %v, want a failure of verify[0]", err)
	}
}

func TestEqualSourcesBecomeEqualObjects(t *testing.T) {
	tr := compiled(t, one(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "spec": {
		"a": object.m.map(k, k),
		"b": object.m.transformList(k, v, k + v),
		"c": object.m.transformMap(k, v, v).map(k, k),
		"d": cel.bind(y, object.m.transformMap(k, v, v), y.map(k, k)),
		"e": {"z": 1, "y": 2, "x": 3, "w": 4, "v": 5, "u": 6}.map(k, k)}}`))
	source := read(t, "m: {f: '6', e: '5', d: '4', c: '3', b: '2', a: '1'}")
	for range 200 {
		made, err := tr.Map(t.Context(), source, key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := celjson.Encode(made[0].Object["spec"], 1<<20)
		const want = `{"a":["a","b","c","d","e","f"],"b":["a1","b2","c3","d4","e5","f6"],"c":["a","b","c","d","e","f"],"d":["a","b","c","d","e","f"],"e":["u","v","w","x","y","z"]}`
		if err != nil || string(got) != want {
			t.Fatalf("%s, error %v, want %s", got, err, want)
		}
	}
}

func TestWhatFailsNamesTheFieldAndNoValue(t *testing.T) {
	const secret = "hunter2"
	big := "[" + strings.Repeat("[1,2,3],", 3000) + "1]"
	source := read(t, `{"metadata": {"name": "a"}, "secret": "`+secret+`", "list": ["a"], "zero": 0, "n": 1, "big": `+big+`, "text": "`+strings.Repeat("x", 600_000)+`"}`)
	head := `{"apiVersion": "v1", "kind": "ConfigMap", `
	for object, want := range map[string]string{
		head + `"metadata": {"name": object.missing}}`:                                              "is not there",
		head + `"metadata": {"name": object.secret}, "x": object.list[7]}`:                          "a list is shorter",
		head + `"metadata": {"name": object.secret}, "x": object.n / object.zero}`:                  "divides by zero",
		head + `"metadata": {"name": object.secret}, "x": int(object.secret)}`:                      "could not be read",
		head + `"metadata": {"name": object.secret}, "x": object.secret + object.n}`:                "not of the type",
		head + `"metadata": {"name": object.n}}`:                                                    "no metadata.name",
		head + `"metadata": {"name": ""}}`:                                                          "no metadata.name",
		head + `"spec": {}}`:                                                                        "no metadata.name",
		head + `"metadata": {"name": object.secret + "/" + object.secret}}`:                         "cannot be the name",
		head + `"metadata": {"name": "a", "uid": object.secret}}`:                                   "metadata.uid is not set",
		head + `"metadata": {"name": "a", "labels": {"a": 1}}}`:                                     "use string(...)",
		head + `"metadata": {"name": "a", "labels": [1]}}`:                                          "is no map",
		head + `"metadata": {"name": "a", "namespace": ""}}`:                                        "is no text",
		head + `"metadata": {"name": "a", "annotations": {"changeover.dev/transformed-from": ""}}}`: "writes itself",
		head + `"metadata": {"name": "a"}, "status": {}}`:                                           "only the controller",
		head + `"metadata": {"name": "a"}, "x": 18446744073709551615u}`:                             "does not fit 64 bits",
		head + `"metadata": {"name": "a"}, "x": [object.text, object.text]}`:                        "larger than",
		head + `"metadata": {"name": "a"}, "x": object.big.map(x, object.big.map(y, y))}`:           "steps",
		head + `"metadata": {"name": "a"}, "x": object.list.transformMapEntry(i, v, {"k": v}).size() + object.big.transformMapEntry(i, v, {"k": i}).size()}`: "one key",
	} {
		tr := compiled(t, one(object))
		_, err := tr.Map(context.Background(), source, key)
		var f *transform.Failure
		switch {
		case !errors.As(err, &f):
			t.Errorf("%s: error %v, want a failure", object, err)
		case want == "steps" && f.Why == "it took too long": // on a busy machine
		case f.Field != "to[0].object" || !strings.Contains(f.Why, want):
			t.Errorf("%s: %v, want %q", object, err, want)
		case strings.Contains(err.Error(), secret):
			t.Errorf("%s: %v shows a value", object, err)
		}
	}
}

func TestAnOriginIsReadAsItIsWritten(t *testing.T) {
	for _, o := range []transform.Origin{{UID: "1-2", Namespace: "core", Name: "amf", Transform: "intents"}, {UID: "1", Name: "a.b", Transform: "t"}} {
		if got, ok := transform.ParseOrigin(o.String()); !ok || got != o {
			t.Errorf("%s is read as %+v, %t", o, got, ok)
		}
	}
	for _, s := range []string{"", "@", "a/b/c", "a/b@c", "/b/c@d", "a/b/@d", "a/b/c/d@e", "a/b/c@"} {
		if _, ok := transform.ParseOrigin(s); ok {
			t.Errorf("%q is read", s)
		}
	}
	long := plan.Key{Namespace: strings.Repeat("n", 40), Name: strings.Repeat("p", 40)}
	if v := transform.PlanValue(long); len(v) > 63 || v == transform.PlanValue(plan.Key{Namespace: long.Namespace, Name: long.Name + "q"}) {
		t.Errorf("label %q", v)
	}
}
