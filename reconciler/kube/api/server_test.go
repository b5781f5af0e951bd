package api_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/api"
	"github.com/changeover-dev/changeover/schemas"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m, cluster.Options{})) }

// dryRun asks the API server whether it would take an object.
func dryRun(t *testing.T, k *kubetest.Kube, object map[string]any) error {
	t.Helper()
	u := &unstructured.Unstructured{Object: object}
	u.SetNamespace("default")
	if u.GetName() == "" {
		u.SetName("a-plan")
	}
	_, err := k.Dynamic.Resource(api.Resource).Namespace("default").Create(t.Context(), u,
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	return err
}

func read(t *testing.T, file string) map[string]any {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := yaml.Unmarshal(src, &object); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return object
}

// decoded is a file as the daemon writes it to the cluster: decoded, with its
// defaults, as JSON.
func decoded(t *testing.T, file string) map[string]any {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := plan.Decode(file, src)
	if len(problems) > 0 {
		t.Fatalf("decode %s: %v", file, problems)
	}
	b, err := json.Marshal(doc.Plan)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(b, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func install(t *testing.T) *kubetest.Kube {
	t.Helper()
	k := kubetest.Shared(t)
	k.Apply(t, "", string(schemas.Definition))
	return k
}

func TestTheServerTakesEveryGoodPlan(t *testing.T) {
	k := install(t)
	var files []string
	for _, pattern := range []string{"../../../plan/testdata/good/*.yaml", "../../../examples/*/*.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("found no files %s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	plans := 0
	for _, file := range files {
		object := read(t, file)
		if object["kind"] != plan.Kind {
			continue
		}
		plans++
		if err := dryRun(t, k, object); err != nil {
			t.Errorf("%s as it stands in the file: %v", file, err)
		}
		if err := dryRun(t, k, decoded(t, file)); err != nil {
			t.Errorf("%s as decoded: %v", file, err)
		}
	}
	if plans < 7 {
		t.Errorf("only %d plans were found", plans)
	}
}

// TestTheServerRefusesBadPlans names what the definition can see; the rest only
// the decoder of package plan knows.
func TestTheServerRefusesBadPlans(t *testing.T) {
	k := install(t)
	for name, says := range map[string]string{
		"api-version":            "v1beta1",
		"field-unknown-typo":     `unknown field "spec.phases[1].percnets"`,
		"gateway-none":           "give exactly one of gatewayAPI, nginx and bridge",
		"gateway-two":            "give exactly one of gatewayAPI, nginx and bridge",
		"identity-none":          "give exactly one of header, cookie, query and clientIP: true",
		"identity-two":           "give exactly one of header, cookie, query and clientIP: true",
		"position-unknown-phase": "it names no phase of the plan",
		"phase-name-twice":       "it names no phase of the plan",
		"missing-position":       "spec.position: Required value",
		"name-upper-case":        "lower",
		"list-empty":             "should have at least 1 items",
		"rollback-words":         "Unsupported value",
		"route-to-unknown":       `supported values: "legacy", "modern", "split"`,
		"percent-out-of-range":   "should be less than or equal to 100",
		"route-both":             "must validate one and only one schema (oneOf)",
		"route-nowhere":          "must validate one and only one schema (oneOf)",
		"type-quoted-number":     "must be of type",
		"type-object-for-list":   `unknown field "spec.phases[0].routes.to"`,
		"type-text-for-object":   "must be of type object",
	} {
		err := dryRun(t, k, read(t, "../../../plan/testdata/bad/"+name+".bad.yaml"))
		switch {
		case err == nil:
			t.Errorf("%s: the server takes it", name)
		case !strings.Contains(err.Error(), says):
			t.Errorf("%s: the server says %q, want %q", name, err, says)
		}
	}
}

func TestTheServerRefusesWhatNoDecodedPlanHas(t *testing.T) {
	k := install(t)
	for says, edit := range map[string]func(spec map[string]any){
		"should match '^([0-9]+y)?":                          func(spec map[string]any) { signal(spec)["maxAge"] = "1.5h" },
		"at least 2 chars long":                              func(spec map[string]any) { signal(spec)["maxAge"] = "" },
		`must be of type string: "number"`:                   func(spec map[string]any) { signal(spec)["maxAge"] = 60.5 },
		"at least 1 chars long":                              func(spec map[string]any) { signal(spec)["query"] = "" },
		"spec.signals.modernErrorRate.query: Required value": func(spec map[string]any) { delete(signal(spec), "query") },
		"may not be more than 63": func(spec map[string]any) {
			spec["position"].(map[string]any)["phase"] = strings.Repeat("a", 64)
		},
	} {
		object := decoded(t, "../../../plan/testdata/good/full.good.yaml")
		edit(object["spec"].(map[string]any))
		if err := dryRun(t, k, object); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got error %v, want %q", err, says)
		}
	}
}

func signal(spec map[string]any) map[string]any {
	return spec["signals"].(map[string]any)["modernErrorRate"].(map[string]any)
}

func TestTheServerRefusesANameThatIsNoLabel(t *testing.T) {
	k := install(t)
	object := read(t, "../../../plan/testdata/good/full.good.yaml")
	for name, ok := range map[string]bool{
		"a": true, "a-1": true, strings.Repeat("a", 63): true, "a.b": false, strings.Repeat("a", 64): false,
	} {
		u := unstructured.Unstructured{Object: object}
		u.SetName(name)
		err := dryRun(t, k, object)
		if ok != (err == nil) || err != nil && !apierrors.IsInvalid(err) {
			t.Errorf("name %q: got error %v, want to be taken: %v", name, err, ok)
		}
	}
}

func TestKubectlShowsThePlan(t *testing.T) {
	k := install(t)
	ns := k.Namespace(t)
	object := read(t, "../../../plan/testdata/good/full.good.yaml")
	b, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(b); err != nil {
		t.Fatal(err)
	}
	u.SetNamespace(ns)
	plans := k.Dynamic.Resource(api.Resource).Namespace(ns)
	u, err = plans.Create(t.Context(), u, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u.Object["status"] = map[string]any{
		"phase": "gradual", "percent": 12.5, "state": "Waiting", "reason": "Baking", "message": "bakes until noon",
		"declared": "gradual@25", "revision": "0123456789",
		"record": map[string]any{"anything": map[string]any{"deep": []any{"is", int64(1), nil, 0.5}}},
	}
	u, err = plans.UpdateStatus(t.Context(), u, metav1.UpdateOptions{FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := unstructured.NestedFieldNoCopy(u.Object, "status", "record", "anything", "deep")
	if want := "[is 1 <nil> 0.5]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("the record came back as %v, %v, want %s", got, err, want)
	}
	table := k.Kubectl(t, "get", "mplan", "--namespace="+ns)
	wide := k.Kubectl(t, "get", "changeover", "--namespace="+ns, "--output=wide")
	t.Logf("\n%s\n%s", table, wide)
	row := func(out string, columns ...string) {
		t.Helper()
		lines := strings.Split(out, "\n")
		for i, line := range []string{strings.Join(columns, " "), u.GetName() + " gradual 12.5 Waiting Baking "} {
			if got := strings.Join(strings.Fields(lines[i]), " "); !strings.HasPrefix(got, line) {
				t.Errorf("line %d: got %q, want %q", i, got, line)
			}
		}
	}
	row(table, "NAME", "PHASE", "PERCENT", "STATE", "REASON", "AGE")
	row(wide, "NAME", "PHASE", "PERCENT", "STATE", "REASON", "AGE", "DECLARED", "REVISION", "MESSAGE")
	if !strings.Contains(wide, "gradual@25   0123456789   bakes until noon") {
		t.Errorf("the wide columns are missing:\n%s", wide)
	}
}
