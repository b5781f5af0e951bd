package kustomize_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/render/kustomize"
	"github.com/changeover-dev/changeover/test/counts"
)

// shuffled lists folders in any order.
type shuffled struct {
	fstest.MapFS
	seed uint64
}

func (s shuffled) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := s.MapFS.ReadDir(name)
	r := rand.New(rand.NewPCG(s.seed, 1))
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list, err
}

// drawTree makes a phase with bases, objects, generators, patches and images.
func drawTree(t *rapid.T) map[string][]byte {
	files := map[string][]byte{}
	folder := func(dir string, bases []string) {
		var k strings.Builder
		resources := append([]string(nil), bases...)
		var patches, maps []string
		for i := range rapid.IntRange(0, 3).Draw(t, "objects") {
			name := fmt.Sprintf("%s-%d", strings.ReplaceAll(dir, "/", "-"), i)
			kind := rapid.SampledFrom([]string{"Deployment", "ConfigMap", "Service", "Intent", "ClusterRole"}).Draw(t, "kind")
			version := map[string]string{"Deployment": "apps/v1", "Intent": "example.com/v1", "ClusterRole": "rbac.authorization.k8s.io/v1"}[kind]
			if version == "" {
				version = "v1"
			}
			body := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, labels: {a: \"%d\"}}\n", version, kind, name, i)
			if kind == "Deployment" {
				body += fmt.Sprintf("spec: {replicas: %d, template: {spec: {containers: [{name: c, image: \"x:%d\"}]}}}\n", i, i)
			}
			if kind == "ConfigMap" {
				body += "data: {a: b}\n"
			}
			file := name + ".yaml"
			files[dir+"/"+file] = []byte(body)
			resources = append(resources, rapid.SampledFrom([]string{"", "./", "../" + dir[strings.LastIndex(dir, "/")+1:] + "/"}).Draw(t, "form")+file)
			if rapid.Bool().Draw(t, "patched") {
				patches = append(patches, fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: %s, annotations: {p: \"1\"}}}", version, kind, name))
			}
		}
		if rapid.Bool().Draw(t, "generator") {
			files[dir+"/data.txt"] = []byte(rapid.StringMatching(`[a-z \n]{0,20}`).Draw(t, "data"))
			maps = append(maps, fmt.Sprintf("{name: %s, files: [data.txt, other=data.txt], literals: [a=b]}", strings.ReplaceAll(dir, "/", "-")))
		}
		list := func(name string, items []string, quote bool) {
			if len(items) == 0 {
				return
			}
			fmt.Fprintf(&k, "%s:\n", name)
			for _, item := range items {
				if quote {
					fmt.Fprintf(&k, "- patch: '%s'\n", item)
				} else {
					fmt.Fprintf(&k, "- %s\n", item)
				}
			}
		}
		list("resources", resources, false)
		list("configMapGenerator", maps, false)
		list("patches", patches, true)
		fmt.Fprintf(&k, "commonAnnotations: {dir: %q}\n", dir)
		if rapid.Bool().Draw(t, "images") {
			k.WriteString("images: [{name: x, newTag: \"9\"}]\n")
		}
		if rapid.Bool().Draw(t, "namespace") {
			k.WriteString("namespace: elsewhere\n")
		}
		files[dir+"/"+rapid.SampledFrom([]string{"kustomization.yaml", "kustomization.yml", "Kustomization"}).Draw(t, "file")] = []byte(k.String())
	}
	var bases []string
	for i := range rapid.IntRange(0, 3).Draw(t, "bases") {
		dir := fmt.Sprintf("plans/base%d", i)
		var below []string
		if i > 0 && rapid.Bool().Draw(t, "deep") {
			below, bases = []string{fmt.Sprintf("../base%d", i-1)}, bases[:len(bases)-1]
		}
		folder(dir, below)
		bases = append(bases, fmt.Sprintf("../base%d", i))
	}
	folder("plans/k8s", bases)
	files["plans/k8s/last.yaml"] = []byte("{apiVersion: v1, kind: ServiceAccount, metadata: {name: last}}")
	for _, name := range []string{"kustomization.yaml", "kustomization.yml", "Kustomization"} {
		if b, ok := files["plans/k8s/"+name]; ok {
			text := string(b)
			if strings.Contains(text, "resources:\n") {
				text = strings.Replace(text, "resources:\n", "resources:\n- last.yaml\n", 1)
			} else {
				text += "resources: [last.yaml]\n"
			}
			files["plans/k8s/"+name] = []byte(text)
		}
	}
	return files
}

func TestBuildDependsOnTheFilesAlone(t *testing.T) {
	counts.Rapid(t, 100, 30)
	doc := document(t, "plans/orders.yaml", []byte(onePhase))
	rapid.Check(t, func(rt *rapid.T) {
		tree := drawTree(rt)
		files := fstest.MapFS{}
		for name, data := range tree {
			files[name] = &fstest.MapFile{Data: data, Mode: 0o644}
		}
		want, err := kustomize.Build(files, doc.Plan, "plans/orders.yaml", only, revision)
		if err != nil {
			rt.Fatal(err)
		}
		again := shuffled{files, rapid.Uint64().Draw(rt, "seed")}
		got, err := kustomize.Build(again, doc.Plan, "plans/orders.yaml", only, revision)
		if err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			rt.Fatalf("the same files gave other objects:\n%s", d)
		}
		if d := cmp.Diff(alone(t, tree, "plans/k8s"), without(got)); d != "" {
			rt.Fatalf("kustomize alone gives other objects (-kustomize +build):\n%s", d)
		}
		paths, problems := kustomize.Reads(again, doc)
		if len(problems) > 0 || len(paths) != len(tree) && countRead(tree) != len(paths) {
			rt.Fatalf("reads %q, problems %v", paths, problems)
		}
		// What Reads does not list can be anything.
		for _, p := range paths {
			delete(files, p)
		}
		for name := range files {
			files[name].Data = []byte("changed")
		}
		for _, p := range paths {
			files[p] = &fstest.MapFile{Data: tree[p], Mode: 0o644}
		}
		if got, err = kustomize.Build(files, doc.Plan, "plans/orders.yaml", only, revision); err != nil || cmp.Diff(want, got) != "" {
			rt.Fatalf("a file that Reads does not list changes what is built: %v", err)
		}
	})
}

// countRead is how many files of a drawn tree are read: all but those of bases
// that nothing names.
func countRead(tree map[string][]byte) int {
	n := 0
	for name := range tree {
		dir := name[:strings.LastIndex(name, "/")]
		named := dir == "plans/k8s"
		for other, data := range tree {
			if !strings.HasSuffix(other, ".txt") && strings.Contains(string(data), "- .."+dir[strings.LastIndex(dir, "/"):]+"\n") {
				named = true
			}
		}
		if named {
			n++
		}
	}
	return n
}

// FuzzResource: whatever is accepted as an entry of resources is the path of a
// file or folder that is there, and nothing is called.
func FuzzResource(f *testing.F) {
	for _, s := range []string{
		"app.yaml", "./app.yaml", "../base", "../k8s/app.yaml", "b/../app.yaml", "link", "link/", "app.yaml/", "a//app.yaml", "../base//", "github.com/org/repo",
		"./github.com/org/repo", "git@host:org", "https://127.0.0.1/x", "http:app.yaml", "HTTP:app.yaml", "file:app.yaml", "git::app.yaml", "app.yaml?ref=x", "a\x00b", "%2e%2e/x", "..%2f",
		"C:\\x", "\\\\host\\x", "~/x", "$HOME", "...", "..", ".", "/", "", " app.yaml", "host:22/x", "-", "{}", "[a]", "a: b", "s3::x", "x@y/app.yaml",
	} {
		f.Add(s)
	}
	wire := stretch(f)
	doc := document(f, "plans/orders.yaml", []byte(onePhase))
	base := archive(`
-- plans/k8s/app.yaml --
{apiVersion: v1, kind: ServiceAccount, metadata: {name: app}}
-- plans/k8s/b/kustomization.yaml --
resources: [app.yaml]
-- plans/k8s/b/app.yaml --
{apiVersion: v1, kind: ServiceAccount, metadata: {name: b}}
-- plans/k8s/http:app.yaml --
{apiVersion: v1, kind: ServiceAccount, metadata: {name: b}}
-- plans/k8s/github.com/org/repo/kustomization.yaml --
resources: [app.yaml]
-- plans/k8s/github.com/org/repo/app.yaml --
{apiVersion: v1, kind: ServiceAccount, metadata: {name: c}}
-- plans/k8s/link --
-> b
-- plans/k8s/out --
-> ../../../x
-- plans/base/kustomization.yaml --
resources: [app.yaml]
-- plans/base/app.yaml --
{apiVersion: v1, kind: ServiceAccount, metadata: {name: d}}
`)
	f.Fuzz(func(t *testing.T, ref string) {
		files := fstest.MapFS{}
		for name, file := range base {
			files[name] = file
		}
		quoted, err := json.Marshal(ref) // which is YAML too
		if err != nil || json.Unmarshal(quoted, &ref) != nil {
			t.Fatal(err)
		}
		files["plans/k8s/kustomization.yaml"] = &fstest.MapFile{Data: []byte("resources: [" + string(quoted) + "]\n"), Mode: 0o644}
		before := wire.touched()
		_, problems := kustomize.Reads(files, doc)
		_, err = kustomize.Build(files, doc.Plan, "plans/orders.yaml", only, revision)
		if wire.touched() != before {
			t.Fatalf("%q: something was called", ref)
		}
		if len(problems) > 0 {
			return
		}
		if err != nil {
			t.Fatalf("%q was accepted, but: %v", ref, err)
		}
		if _, err := fs.Stat(files, path.Join("plans/k8s", ref)); err != nil {
			t.Fatalf("%q was accepted and is not there: %v", ref, err)
		}
	})
}

// FuzzKustomization: no kustomization makes the scan panic, calls anything, or
// ends the process.
func FuzzKustomization(f *testing.F) {
	for _, c := range refusals {
		if b, ok := with(c.tree)["plans/k8s/kustomization.yaml"]; ok && len(b.Data) < 10000 {
			f.Add(string(b.Data), "a: b")
		}
	}
	f.Add("resources: [app.yaml]\npatches: [{path: other.yaml}]\n", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: app, labels: {a: b}}}")
	f.Add("resources: [app.yaml, other.yaml]\nconfigMapGenerator: [{name: a, behavior: merge, literals: [a=b]}]\n", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: x}")
	wire := stretch(f)
	doc := document(f, "plans/orders.yaml", []byte(onePhase))
	f.Fuzz(func(t *testing.T, kustomization, other string) {
		files := with("")
		files["plans/k8s/kustomization.yaml"] = &fstest.MapFile{Data: []byte(kustomization), Mode: 0o644}
		files["plans/k8s/other.yaml"] = &fstest.MapFile{Data: []byte(other), Mode: 0o644}
		before := wire.touched()
		_, problems := kustomize.Reads(files, doc)
		objects, err := kustomize.Build(files, doc.Plan, "plans/orders.yaml", only, revision)
		if wire.touched() != before {
			t.Fatal("something was called")
		}
		if len(problems) > 0 && err == nil {
			t.Fatalf("built in spite of %v", problems)
		}
		if err == nil && len(objects) < 2 {
			t.Fatalf("an empty build: %v", objects)
		}
	})
}
