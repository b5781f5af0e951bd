package kustomize_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/kustomize"
)

var only = plan.Position{Phase: "only"}

// build builds plans/k8s of a tree.
func build(t testing.TB, files fstest.MapFS) ([]render.Object, error) {
	t.Helper()
	doc := document(t, "plans/orders.yaml", []byte(onePhase))
	return kustomize.Build(files, doc.Plan, "plans/orders.yaml", only, revision)
}

// manifest is a tree with one manifest.
func manifest(text string) string {
	return kust("resources: [app.yaml]") + "-- plans/k8s/app.yaml --\n" + text
}

func TestBuildRefusesWhatCannotBeApplied(t *testing.T) {
	const one = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n"
	for _, c := range []struct{ name, tree, want string }{
		{"nothing", kust("resources: []\nnamePrefix: x-"), `build "plans/k8s": no objects came of it`},
		{"an empty file", manifest("# nothing\n"), `build "plans/k8s": no objects came of it`},
		{"everything deleted", kust("resources: [app.yaml]\npatches:\n- patch: |\n    {apiVersion: v1, kind: ServiceAccount, metadata: {name: app}, $patch: delete}"), `no objects came of it`},
		{"local config alone", manifest("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, annotations: {config.kubernetes.io/local-config: \"true\"}}\n"), `no objects came of it`},
		{"no apiVersion", manifest("kind: ServiceAccount\nmetadata: {name: a}\n"), `ServiceAccount a has no apiVersion`},
		{"no kind", manifest("apiVersion: v1\nmetadata: {name: a}\n"), "missing kind"},
		{"no name", manifest("apiVersion: v1\nkind: ServiceAccount\n"), "missing"},
		{"generated name", manifest("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, generateName: a-}\n"), `ServiceAccount a has metadata.generateName`},
		{"generated name alone", manifest("apiVersion: v1\nkind: ServiceAccount\nmetadata: {generateName: a-}\n"), `missing metadata.name`},
		{"a List", manifest("apiVersion: v1\nkind: List\nmetadata: {name: a}\n"), `a List is left`},
		{"twice", manifest(one + "---\n" + one), `already registered id`},
		{"twice in two versions", manifest("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\napiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: a}\n"), `Deployment.apps a is there twice`},
		{"twice in the plan's namespace", manifest(one + "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, namespace: shop}\n"), `ServiceAccount a is there twice`},
		{"the position, by a prefix", kust("namePrefix: migration-\nresources: [app.yaml]\npatches: []") + "-- plans/k8s/app.yaml --\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: position}\n---\n" + one, ""},
		{"a patch for what is not there", kust("resources: [app.yaml]\npatches:\n- patch: |\n    {apiVersion: v1, kind: ServiceAccount, metadata: {name: b}}"), `no resource matches strategic merge patch`},
		{"a replacement of what is not there", kust("resources: [app.yaml]\nreplacements:\n- source: {kind: ConfigMap, name: migration-position, fieldPath: data.nothing}\n  targets: [{select: {kind: ServiceAccount}, fieldPaths: [metadata.name]}]"),
			"fieldPath `data.nothing` is missing for replacement source"},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects, err := build(t, with(c.tree))
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && err == nil:
				t.Errorf("built %d objects, want an error with %q", len(objects), c.want)
			case c.want != "" && !strings.Contains(err.Error(), c.want):
				t.Errorf("got %q, want %q in it", err, c.want)
			}
		})
	}
}

func TestBuildNeedsAStopWithAKustomization(t *testing.T) {
	doc := document(t, "plan.yaml", []byte(strings.Replace(onePhase, "  - name: only", "  - {name: without}\n  - name: only", 1)))
	for stop, want := range map[plan.Position]string{
		{Phase: "gone"}:              `stop "gone" is not on its itinerary`,
		{Phase: "only", Percent: 10}: `stop "only@10" is not on its itinerary`,
		{Phase: "without"}:           `phase "without" has no ` + "`cluster`",
	} {
		if _, err := kustomize.Build(fstest.MapFS{}, doc.Plan, "plan.yaml", stop, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", stop, err, want)
		}
	}
}

func TestLinksWithinTheRepositoryAreFollowed(t *testing.T) {
	files := with(kust("resources: [link.yaml, ../base-link]\nconfigMapGenerator:\n- {name: a, files: [key.txt]}") + `
-- plans/k8s/link.yaml --
-> ./app.yaml
-- plans/k8s/key.txt --
-> data/other.txt
-- plans/k8s/data --
-> ../../plans/k8s/real
-- plans/k8s/real/other.txt --
content
-- plans/base-link --
-> ../base
-- base/kustomization.yaml --
resources: [role.yaml]
-- base/role.yaml --
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: r}}
`)
	objects, err := build(t, files)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, o := range objects {
		ids = append(ids, o.ID().String())
		if data, ok := o["data"].(map[string]any); ok && o.ID().Name != kustomize.PositionName && data["key.txt"] != "content\n" {
			t.Errorf("the key of a link is not its own name: %v", data)
		}
	}
	if want := []string{"ServiceAccount app", "Role.rbac.authorization.k8s.io r", "ConfigMap a-6ftc87thm2", "ConfigMap shop/migration-position"}; !cmp.Equal(ids, want) {
		t.Errorf("got %q, want %q", ids, want)
	}
	paths, problems := kustomize.Reads(files, document(t, "plans/orders.yaml", []byte(onePhase)))
	want := []string{
		"base/kustomization.yaml", "base/role.yaml", "plans/base-link", "plans/k8s/app.yaml", "plans/k8s/data", "plans/k8s/key.txt",
		"plans/k8s/kustomization.yaml", "plans/k8s/link.yaml", "plans/k8s/real/other.txt",
	}
	if d := cmp.Diff(want, paths); d != "" || len(problems) > 0 {
		t.Errorf("reads (-want +got): %v\n%s", problems, d)
	}
}

// The rules of the package's comment about numbers.
func TestReplacementsKeepTheTypeOfAFieldThatIsThere(t *testing.T) {
	for _, c := range []struct {
		source, there, options string
		want                   any
	}{
		{"legacyWeight", "field: 1", "", int64(100)},
		{"legacyWeight", "field: 1", "create: true", int64(100)},
		{"legacyWeight", `field: "1"`, "", "100"},
		{"legacyWeight", "field: ''", "create: true", "100"},
		{"legacyWeight", "field: one", "", "100"},
		{"legacyWeight", "other: 1", "create: true", int64(100)},
		{"phase", "other: 1", "create: true", "only"},
		{"phase", "field: '1'", "", "only"},
	} {
		objects, err := build(t, with(kust(`resources: [app.yaml]
replacements:
- source: {kind: ConfigMap, name: migration-position, fieldPath: data.`+c.source+`}
  targets:
  - select: {kind: Intent}
    fieldPaths: [spec.field]
    options: {`+c.options+`}`)+"-- plans/k8s/app.yaml --\n{apiVersion: example.com/v1, kind: Intent, metadata: {name: a}, spec: {"+c.there+"}}\n"))
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		spec, _ := objects[len(objects)-1]["spec"].(map[string]any)
		if spec["field"] != c.want {
			t.Errorf("%+v: %#v", c, spec["field"])
		}
	}
}

func TestPositionSaysWhereThePlanStands(t *testing.T) {
	const phases = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: orders, namespace: shop}
spec:
  position: {phase: setup}
  backends: {legacy: {url: http://127.0.0.1:8080}, modern: {url: http://127.0.0.1:8000}}
  gateway: {nginx: {}}
  identity: {header: X-ID}
  phases:
  - {name: setup, cluster: {path: k8s}, routes: [{to: legacy}]}
  - {name: trial, cluster: {path: k8s}, routes: [{to: split, percent: 0.5}]}
  - {name: gradual, percents: [10, 12.5], cluster: {path: k8s}, routes: [{match: {methods: [POST]}, to: legacy}, {to: split}]}
  - {name: sunset, cluster: {path: k8s}, routes: [{match: {methods: [POST]}, to: legacy}, {to: modern}]}
`
	doc := document(t, "plan.yaml", []byte(phases))
	files := archive("-- k8s/kustomization.yaml --\nresources: [a.yaml]\n-- k8s/a.yaml --\n{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}}\n")
	want := map[string][3]string{
		"setup": {"0", "100", "0"}, "trial": {"0", "9950", "50"}, "gradual@10": {"10", "90", "10"}, "gradual@12.5": {"12.5", "8750", "1250"}, "sunset": {"0", "0", "100"},
	}
	for _, stop := range doc.Plan.Itinerary() {
		objects, err := kustomize.Build(files, doc.Plan, "plan.yaml", stop, revision)
		if err != nil {
			t.Fatal(err)
		}
		w := want[stop.String()]
		expect := render.Object{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "migration-position", "namespace": "shop"},
			"data": map[string]any{"plan": "orders", "phase": stop.Phase, "percent": w[0], "legacyWeight": w[1], "modernWeight": w[2], "revision": string(revision)},
		}
		if d := cmp.Diff(expect, objects[1]); d != "" {
			t.Errorf("%s (-want +got):\n%s", stop, d)
		}
	}
}

// canary is data of a Secret, as an operator may have it.
const canary = "hunter2sword"

// account is a manifest to replace something in.
const account = "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: app}\n"

// outOfBounds is a kustomization that asks for a part of a Secret's data that
// there is not: kustomize's error repeats all of it.
func outOfBounds(text, data string) string {
	return "-- plans/k8s/kustomization.yaml --\n" + text + "\nreplacements:\n- source: {kind: Secret, fieldPath: " + data +
		".a, options: {delimiter: w, index: 7}}\n  targets: [{select: {kind: ServiceAccount}, fieldPaths: [metadata.name]}]\n"
}

func TestNoErrorHoldsDataOfASecret(t *testing.T) {
	secret := func(data string) string {
		return "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n" + data + "\n"
	}
	const generator = "secretGenerator:\n- name: s\n  "
	for name, tree := range map[string]string{
		"literal without a key":            kust(generator + "literals: [" + canary + "]"),
		"two literals of one key":          kust(generator + "literals: [\"a=" + canary + "\", \"a==" + canary + "\"]"),
		"literal in place of files":        kust(generator + "files: [\"a=" + canary + "\"]"),
		"literal in place of envs":         kust(generator + "envs: [\"a=" + canary + "\"]"),
		"literals as an object":            kust(generator + "literals: {a: " + canary + "}"),
		"unknown field":                    kust(generator + "literal: [a=" + canary + "]"),
		"tag":                              kust(generator + "literals: [!" + canary + " a]"),
		"alias":                            kust(generator + "literals: [*" + canary + "]"),
		"syntax":                           kust(generator + "literals: [a=" + canary + ", ] ]"),
		"env file with bad bytes":          kust(generator+"envs: [e]") + "-- plans/k8s/e --\na=" + canary + "\xff\n",
		"behavior":                         kust(generator + "behavior: merge\n  literals: [a=" + canary + "]"),
		"unknown behavior":                 kust(generator + "behavior: " + "x" + "\n  literals: [a=" + canary + "]\n  options: {immutable: 3}"),
		"manifest, syntax":                 manifest(secret("stringData: {a: " + canary + ", ] }")),
		"manifest, alias":                  manifest(secret("stringData: {a: *" + canary + "}")),
		"manifest, tag":                    manifest(secret("stringData: {a: !" + canary + "}")),
		"manifest, key twice":              manifest(secret("stringData:\n  a: " + canary + "\n  a: " + canary)),
		"manifest without a name":          manifest("apiVersion: v1\nkind: Secret\nstringData: {a: " + canary + "}\n"),
		"manifest with a strange name":     manifest("apiVersion: v1\nkind: Secret\nmetadata: {name: [" + canary + "]}\nstringData: {a: " + canary + "}\n"),
		"manifest with notes":              manifest("apiVersion: v1\nkind: Secret\nmetadata: {annotations: {last: " + canary + "}}\n"),
		"patch that is none":               kust("resources: [app.yaml]\npatches:\n- target: {kind: Secret}\n  patch: |\n    stringData: {a: " + canary + "}"),
		"patch of two forms":               kust("resources: [app.yaml]\npatches:\n- path: app.yaml\n  patch: |\n    kind: Secret\n    stringData: {a: " + canary + "}"),
		"patch without a target":           kust("resources: [app.yaml]\npatches:\n- patch: |\n    - {op: add, path: /data/x, value: " + canary + "}"),
		"test in a patch":                  manifest(secret("data: {a: b}")) + "-- plans/k8s/kustomization.yaml --\nresources: [app.yaml]\npatches:\n- target: {kind: Secret}\n  patch: |\n    - {op: test, path: /data/a, value: " + canary + "}\n",
		"old patch":                        kust("resources: [app.yaml]\npatchesStrategicMerge:\n- |\n  kind: Secret\n  stringData: {a: " + canary + "}"),
		"plugin":                           kust("generators:\n- |\n  {apiVersion: builtin, kind: SecretGenerator, metadata: {name: s}, literals: [" + canary + "]}"),
		"plugin with a wrong type":         kust("generators:\n- |\n  {apiVersion: builtin, kind: SecretGenerator, metadata: {name: s}, literals: [a=b, {a: " + canary + "}]}"),
		"plugin with a JSON patch":         kust("resources: [app.yaml]\ntransformers:\n- |\n  {apiVersion: builtin, kind: PatchJson6902Transformer, metadata: {name: s}, target: {name: app}, jsonOp: '[{\"op\":\"x\",\"value\":\"" + canary + "\"}]'}"),
		"replacement out of bounds":        manifest(secret("stringData: {a: "+canary+"}")+account) + outOfBounds("resources: [app.yaml]", "stringData"),
		"replacement of a literal":         manifest(account) + outOfBounds("resources: [app.yaml]\n"+generator+"literals: [a="+canary+"]", "data"),
		"replacement of a file":            manifest(account) + outOfBounds("resources: [app.yaml]\n"+generator+"files: [a]", "data") + "-- plans/k8s/a --\n" + canary,
		"replacement of an env file":       manifest(account) + outOfBounds("resources: [app.yaml]\n"+generator+"envs: [a]", "data") + "-- plans/k8s/a --\n#\nb=c\na=" + canary + "\n",
		"replacement of a plugin's":        manifest(account) + outOfBounds("resources: [app.yaml]\ngenerators:\n- |\n  {apiVersion: builtin, kind: SecretGenerator, metadata: {name: s}, literals: [a="+canary+"]}", "data"),
		"replacement of what is an anchor": "-- plans/k8s/app.yaml --\napiVersion: v1\nkind: Secret\nmetadata: {name: s, labels: {l: &a " + canary + "}}\nstringData: {a: *a}\n" + account + outOfBounds("resources: [app.yaml]", "stringData"),
		"replacement of what a patch of another kind brings": manifest(secret("data: {b: c}")+account) + outOfBounds("resources: [app.yaml]\npatches:\n- target: {kind: Secret}\n  patch: |\n    {apiVersion: v1, kind: ConfigMap, metadata: {name: s}, data: {a: "+canary+"}}", "data"),
		"replacement of what a patch brings":                 manifest(secret("data: {b: c}")+account) + outOfBounds("resources: [app.yaml]\npatches:\n- target: {kind: Secret}\n  patch: |\n    - {op: add, path: /data/a, value: "+canary+"}", "data"),
	} {
		t.Run(name, func(t *testing.T) {
			files := with(tree)
			_, err := build(t, files)
			_, problems := kustomize.Reads(files, document(t, "plans/orders.yaml", []byte(onePhase)))
			if err == nil {
				t.Fatal("the build did not fail: the case tests nothing")
			}
			said := err.Error() + fmt.Sprintf("%+v", problems)
			var refused *kustomize.Refused
			if errors.As(err, &refused) {
				said += fmt.Sprintf("%+v", refused.Problems)
			}
			t.Log(err)
			for _, form := range []string{canary, canary[:8], canary[4:], base64.StdEncoding.EncodeToString([]byte(canary))[:8]} {
				if strings.Contains(said, form) {
					t.Errorf("the Secret's data is in %q", said)
				}
			}
		})
	}
}

func TestErrorsThatHaveNothingToDoWithASecretAreShown(t *testing.T) {
	for _, data := range []string{"literals: [a=" + canary + "]", "envs: [a, b]", "files: [a, b]"} {
		_, err := build(t, with(kust("resources: [app.yaml, s.yaml]\nsecretGenerator:\n- {name: s, "+data+"}\npatches:\n- patch: |\n    {apiVersion: v1, kind: ServiceAccount, metadata: {name: b}}")+
			"-- plans/k8s/a --\na="+canary+"\n-- plans/k8s/b --\n# none\n\nb="+canary+"\n-- plans/k8s/s.yaml --\n{apiVersion: v1, kind: Secret, metadata: {name: t}, stringData: {a: "+canary+"}}\n"))
		if err == nil || !strings.Contains(err.Error(), "no resource matches strategic merge patch") {
			t.Errorf("%s: got %v", data, err)
		}
	}
}

// alone runs kustomize on a tree as it is.
func alone(t testing.TB, files map[string][]byte, dir string) []render.Object {
	t.Helper()
	disk := filesys.MakeFsInMemory()
	for name, data := range files {
		if err := disk.WriteFile("/"+name, data); err != nil {
			t.Fatal(err)
		}
	}
	m, err := krusty.MakeKustomizer(&krusty.Options{
		Reorder: krusty.ReorderOptionUnspecified, LoadRestrictions: types.LoadRestrictionsRootOnly, PluginConfig: types.DisabledPluginConfig(),
	}).Run(disk, "/"+dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []render.Object
	for _, r := range m.Resources() {
		b, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var o map[string]any
		if err := json.UnmarshalCaseSensitivePreserveInts(b, &o); err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}

// without leaves the ConfigMap with the position out.
func without(objects []render.Object) (out []render.Object) {
	for _, o := range objects {
		if data, ok := o["data"].(map[string]any); !ok || data["legacyWeight"] == nil {
			out = append(out, o)
		}
	}
	return out
}

func TestBuildEqualsKustomize(t *testing.T) {
	for dir, doc := range cases(t) {
		if filepath.Base(dir) == "position.in" {
			continue // it reads the position, which kustomize alone has not
		}
		files := map[string][]byte{}
		if err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			name, _ := filepath.Rel(dir, path)
			files[name], err = os.ReadFile(path)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for _, ph := range doc.Plan.Spec.Phases {
			got, err := kustomize.Build(os.DirFS(dir), doc.Plan, "plan.yaml", plan.Position{Phase: ph.Name}, revision)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(alone(t, files, ph.Cluster.Path), without(got)); d != "" {
				t.Errorf("%s, phase %s (-kustomize +build):\n%s", dir, ph.Name, d)
			}
		}
	}
}

func TestAPanicOfKustomizeIsAnError(t *testing.T) {
	_, err := build(t, with(kust("resources: [app.yaml]\npatchesJson6902:\n- patch: '[]'")))
	if err == nil || !strings.Contains(err.Error(), "a defect of kustomize: ") {
		t.Errorf("got %v", err)
	}
	if _, err := build(t, with(kust("resources: [app.yaml]"))); err != nil {
		t.Errorf("the next build: %v", err)
	}
}

func TestAFileOfTheUsersIsNotMistakenForThePosition(t *testing.T) {
	objects, err := build(t, with(kust("resources: [migration-position.changeover.json]")+
		"-- plans/k8s/migration-position.changeover.json --\n{\"apiVersion\": \"v1\", \"kind\": \"ServiceAccount\", \"metadata\": {\"name\": \"a\"}}"))
	if err != nil || len(objects) != 2 {
		t.Errorf("got %v, %v", objects, err)
	}
}

func TestLinksOnDiskDoNotLeadOut(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		filepath.Join(outside, "app.yaml"):                        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n",
		filepath.Join(outside, "kustomization.yaml"):              "resources: [app.yaml]\n",
		filepath.Join(root, "plans", "k8s", "kustomization.yaml"): "resources: [link.yaml, folder, in.yaml]\n",
		filepath.Join(root, "plans", "k8s", "app.yaml"):           "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	up, err := filepath.Rel(filepath.Join(root, "plans", "k8s"), outside)
	if err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link.yaml": filepath.Join(up, "app.yaml"), "folder": outside, "in.yaml": "app.yaml"} {
		if err := os.Symlink(to, filepath.Join(root, "plans", "k8s", link)); err != nil {
			t.Fatal(err)
		}
	}
	_, problems := kustomize.Reads(os.DirFS(root), document(t, "plans/orders.yaml", []byte(onePhase)))
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	want := []string{
		`plans/k8s/kustomization.yaml:1:13: symlink: "link.yaml": the symlink "plans/k8s/link.yaml" leads out of the repository`,
		`plans/k8s/kustomization.yaml:1:24: symlink: "folder": the symlink "plans/k8s/folder" leads out of the repository, to an absolute path`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("problems (-want +got):\n%s", d)
	}
}
