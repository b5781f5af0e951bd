package dir

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render"
)

func deployment(name string, replicas int) string {
	return fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %s}\nspec: {replicas: %d, template: {spec: {containers: [{name: web, image: \"web:1\"}]}}}", name, replicas)
}

func configMap(name string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {phase: \"1.10\", \"on\": \"yes\"}", name)
}

func all(docs ...string) string { return strings.Join(docs, "\n---\n") }

func TestLayout(t *testing.T) {
	b := inFolder(t, Options{})
	d := desired(t, "gradual@10", all(
		configMap("migration-position"), deployment("web", 2),
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop-ns, namespace: wrong}",
		"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\nspec: {group: example.com, scope: Namespaced, names: {kind: Thing, plural: things}}",
		"apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: one}\nspec: {size: 1.5, count: 3}",
		"apiVersion: other.example.com/v1\nkind: Unknown\nmetadata: {name: \"odd:Name\"}",
		"apiVersion: v1\nkind: Service\nmetadata: {name: same, namespace: other, uid: x, creationTimestamp: null, labels: {a: b}}\nstatus: {loadBalancer: {}}",
		"apiVersion: serving.example.com/v1\nkind: Service\nmetadata: {name: same, namespace: other}",
	))
	d.Mark.Holds = []plan.Revision{"1111111111111111111111111111111111111111"}
	b.must(b.Expand(t.Context(), d))
	b.must(b.SetMark(t.Context(), d))
	var got txtar.Archive
	files := b.files()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		got.Files = append(got.Files, txtar.File{Name: name, Data: []byte(files[name])})
	}
	golden := filepath.Join("testdata", "layout.txtar")
	text := txtar.Format(&got)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		b.must(os.WriteFile(golden, text, 0o644))
	}
	want, err := os.ReadFile(golden)
	b.must(err)
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("layout (-want +got); UPDATE_GOLDEN=1 writes it anew:\n%s", diff)
	}
}

// What kustomize builds of the folder is what was desired, in its order, with
// the marks.
func TestKustomizeBuildsWhatWasDesired(t *testing.T) {
	inBoth(t, func(t *testing.T, b *bench) {
		d := desired(t, "setup", all(configMap("migration-position"), deployment("b", 2), deployment("a", 1),
			"apiVersion: v1\nkind: Namespace\nmetadata: {name: x}", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j, namespace: other}\nspec: {template: {spec: {restartPolicy: Never}}}"))
		b.must(b.Expand(t.Context(), d))
		var want []render.Object
		for _, o := range d.Objects {
			o, err := ours(o, shop)
			b.must(err)
			if o.Kind() != "Namespace" && o.ID().Namespace == "" {
				o["metadata"].(map[string]any)["namespace"] = shop.Namespace
			}
			want = append(want, o)
		}
		if diff := cmp.Diff(want, b.built()); diff != "" {
			t.Errorf("built (-want +got):\n%s", diff)
		}
	})
}

func TestExpandTakesNothingAwayAndContractDoes(t *testing.T) {
	inBoth(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		first := desired(t, "setup", all(deployment("legacy", 5), deployment("web", 1), configMap("old")))
		next := desired(t, "gradual@10", all(deployment("web", 3), deployment("legacy", 2), configMap("new")))
		if m, err := b.Mark(ctx, shop); m != nil || err != nil {
			t.Errorf("a mark of nothing: %v, %v", m, err)
		}
		if err := b.SetMark(ctx, first); err == nil || !strings.Contains(err.Error(), "nothing is written there yet") {
			t.Errorf("mark of nothing: %v", err)
		}
		if st := b.observe(first); st.InSync || st.Healthy || !strings.Contains(st.Message, "is not written yet") {
			t.Errorf("before anything is written: %+v", st)
		}
		if ok, why, err := b.Healthy(ctx, first); ok || err != nil || !strings.Contains(why, "Deployment shop-ns/legacy is not written yet") {
			t.Errorf("before anything is written: %t %q %v", ok, why, err)
		}
		if err := b.Contract(ctx, first); err == nil || len(b.files()) != 0 {
			t.Errorf("contracted before anything is written: %v", err)
		}
		b.must(b.Expand(ctx, first))
		b.must(b.Contract(ctx, first))
		b.must(b.SetMark(ctx, first))
		b.wantList("Deployment/legacy=5 Deployment/web=1 ConfigMap/old")
		if st := b.observe(first); !st.InSync || !st.Healthy || st.Mark == nil || st.Mark.Stop != first.Mark.Stop {
			t.Errorf("at the first stop: %+v", st)
		}

		b.must(b.Expand(ctx, next))
		b.wantList("Deployment/web=3 Deployment/legacy=5 ConfigMap/new ConfigMap/old")
		if m, err := b.Mark(ctx, shop); err != nil || m.Stop != first.Mark.Stop {
			t.Errorf("expanding alone changed the mark: %+v, %v", m, err)
		}
		if ok, why, err := b.Healthy(ctx, next); !ok || err != nil || !strings.Contains(why, "left to gates") {
			t.Errorf("without a live cluster: %t %q %v", ok, why, err)
		}
		if st := b.observe(next); st.InSync || !strings.Contains(st.Message, "02-configmap-shop-ns-old.yaml should not be there") {
			t.Errorf("expanded and not contracted: %+v", st)
		}
		before := b.files()
		b.must(b.Expand(ctx, next))
		if diff := cmp.Diff(before, b.files()); diff != "" {
			t.Errorf("expanding twice is not expanding once:\n%s", diff)
		}
		b.must(b.Contract(ctx, next))
		b.must(b.SetMark(ctx, next))
		b.wantList("Deployment/web=3 Deployment/legacy=2 ConfigMap/new")
		st := b.observe(next)
		if m := next.Mark; !st.InSync || !st.Healthy || st.Mark.Stop != m.Stop || !st.Mark.Since.Equal(m.Since) || st.Mark.Revision != m.Revision || st.Mark.Key != m.Key {
			t.Errorf("at the next stop: %+v, mark %+v", st, st.Mark)
		}

		// And back.
		b.must(b.Expand(ctx, first))
		b.wantList("Deployment/legacy=5 Deployment/web=3 ConfigMap/old ConfigMap/new")
		b.must(b.Contract(ctx, first))
		b.wantList("Deployment/legacy=5 Deployment/web=1 ConfigMap/old")
	})
}

func TestReplicasAreNeverLoweredByExpand(t *testing.T) {
	unsaid := strings.Replace(deployment("web", 0), "replicas: 0, ", "", 1)
	for name, c := range map[string]struct{ was, next, want string }{
		"to fewer":                        {deployment("web", 5), deployment("web", 2), "Deployment/web=5"},
		"to more":                         {deployment("web", 2), deployment("web", 5), "Deployment/web=5"},
		"to none":                         {deployment("web", 2), deployment("web", 0), "Deployment/web=2"},
		"from unsaid, which is one":       {unsaid, deployment("web", 0), "Deployment/web=1"},
		"to unsaid, which is one":         {deployment("web", 3), unsaid, "Deployment/web=3"},
		"unsaid stays unsaid":             {unsaid, unsaid, "Deployment/web"},
		"of a kind without defaults":      {"apiVersion: x.io/v1\nkind: Rollout\nmetadata: {name: r}\nspec: {replicas: 4}", "apiVersion: x.io/v1\nkind: Rollout\nmetadata: {name: r}\nspec: {replicas: 1}", "Rollout/r=4"},
		"of one that says nothing of it":  {"apiVersion: x.io/v1\nkind: Rollout\nmetadata: {name: r}\nspec: {a: 1}", "apiVersion: x.io/v1\nkind: Rollout\nmetadata: {name: r}\nspec: {a: 2}", "Rollout/r"},
		"of one that is not there before": {configMap("other"), deployment("web", 1), "Deployment/web=1 ConfigMap/other"},
	} {
		t.Run(name, func(t *testing.T) {
			b := inFolder(t, Options{})
			b.must(b.Expand(t.Context(), desired(t, "setup", c.was)))
			next := desired(t, "gradual@10", c.next)
			b.must(b.Expand(t.Context(), next))
			b.wantList(c.want)
			b.must(b.Contract(t.Context(), next))
			want, err := prepare(next, false)
			b.must(err)
			if diff := cmp.Diff(want, b.built()); diff != "" {
				t.Errorf("contracted (-want +got):\n%s", diff)
			}
		})
	}
}

func annotated(text, value string) string {
	return strings.Replace(text, "metadata: {", "metadata: {annotations: {changeover.dev/prune: "+value+"}, ", 1)
}

func TestPrune(t *testing.T) {
	ns := "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}"
	crd := "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\nspec: {}"
	pvc := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}"
	first := all(configMap("stays"), annotated(configMap("kept"), "disabled"), configMap("gone"), ns, crd, pvc, annotated(strings.Replace(pvc, "name: data", "name: scratch", 1), "enabled"))
	inBoth(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		b.must(b.Expand(ctx, desired(t, "setup", first)))
		next := desired(t, "gradual@10", configMap("stays"))
		next.Prune = false
		b.must(b.Contract(ctx, next))
		b.wantList("ConfigMap/stays ConfigMap/kept ConfigMap/gone Namespace/team CustomResourceDefinition/things.example.com PersistentVolumeClaim/data PersistentVolumeClaim/scratch")
		if st := b.observe(next); !st.InSync || !strings.Contains(st.Message, "stays as prune is false") {
			t.Errorf("without pruning: %+v", st)
		}
		next.Prune, next.MaxPrune = true, 1
		err := b.Contract(ctx, next)
		if err == nil || !strings.Contains(err.Error(), "nothing is deleted: 2 objects") || !strings.Contains(err.Error(), "raise maxPrune of the phase's cluster to 2") {
			t.Errorf("more than may be pruned: %v", err)
		}
		if got := b.list(); strings.Count(got, " ") != 6 {
			t.Errorf("something was pruned: %s", got)
		}
		if st := b.observe(next); st.InSync || !strings.Contains(st.Message, "nothing is deleted: 2 objects") {
			t.Errorf("more than may be pruned: %+v", st)
		}
		next.MaxPrune = 2
		b.must(b.Contract(ctx, next))
		b.wantList("ConfigMap/stays ConfigMap/kept Namespace/team CustomResourceDefinition/things.example.com PersistentVolumeClaim/data")
		st := b.observe(next)
		if !st.InSync || !st.Healthy || !strings.Contains(st.Message, "annotated changeover.dev/prune: disabled") || !strings.Contains(st.Message, "may hold data") {
			t.Errorf("what was kept: %+v", st)
		}
		t.Run("what was taken out by hand is gone", func(t *testing.T) {
			b.del("00-namespace-team.yaml")
			b.must(b.Expand(ctx, next))
			b.must(b.Contract(ctx, next))
			b.wantList("ConfigMap/stays ConfigMap/kept CustomResourceDefinition/things.example.com PersistentVolumeClaim/data")
		})
		t.Run("an empty render prunes nothing", func(t *testing.T) {
			next := next
			next.Objects = nil
			for _, err := range []error{b.Expand(ctx, next), b.Contract(ctx, next)} {
				if err == nil || !strings.Contains(err.Error(), "empty render") {
					t.Errorf("got %v", err)
				}
			}
		})
	})
}

func TestWhatWasChangedByHandIsPutRight(t *testing.T) {
	inBoth(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		d := desired(t, "setup", all(configMap("a"), deployment("web", 2)))
		b.must(b.Expand(ctx, d))
		b.must(b.SetMark(ctx, d))
		want := b.files()
		for name, change := range map[string]func(){
			"a file more":             func() { b.put("mine.yaml", "x: 1\n") },
			"a file less":             func() { b.del("02-configmap-shop-ns-a.yaml") },
			"another kustomization":   func() { b.put("kustomization.yaml", "resources: []\n") },
			"an object changed":       func() { b.put("02-configmap-shop-ns-a.yaml", want["02-configmap-shop-ns-a.yaml"]+"other: 1\n") },
			"an object that is none":  func() { b.put("02-configmap-shop-ns-a.yaml", "[") },
			"an object that is empty": func() { b.put("02-configmap-shop-ns-a.yaml", "") },
		} {
			t.Run(name, func(t *testing.T) {
				change()
				if st := b.observe(d); st.InSync || st.Message == "" || st.Mark == nil {
					t.Errorf("not seen: %+v", st)
				}
				b.must(b.Expand(ctx, d))
				b.must(b.Contract(ctx, d))
				if diff := cmp.Diff(want, b.files()); diff != "" {
					t.Errorf("not put right (-want +got):\n%s", diff)
				}
			})
		}
		t.Run("but an object that has to stay is not lost", func(t *testing.T) {
			b.put("02-configmap-shop-ns-a.yaml", "[")
			before := b.files()
			next := desired(t, "gradual@10", deployment("web", 2))
			for _, err := range []error{b.Expand(ctx, next), b.Contract(ctx, next)} {
				if err == nil || !strings.Contains(err.Error(), "02-configmap-shop-ns-a.yaml: it is no YAML") {
					t.Errorf("got %v", err)
				}
			}
			if diff := cmp.Diff(before, b.files()); diff != "" {
				t.Errorf("something was written:\n%s", diff)
			}
			b.del("02-configmap-shop-ns-a.yaml")
			b.must(b.Expand(ctx, next))
			b.wantList("Deployment/web=2")
		})
	})
}

func TestAFolderThatIsNotOursIsNotReplaced(t *testing.T) {
	inBoth(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		d := desired(t, "setup", configMap("a"))
		b.must(b.Expand(ctx, d))
		meta := b.files()[metaFile]
		for want, text := range map[string]string{
			"is damaged":                         "{",
			`belongs to plan "shop-ns/somebody"`: strings.Replace(meta, "shop-ns/shop", "shop-ns/somebody", 1),
		} {
			b.put(metaFile, text)
			for _, err := range []error{b.Expand(ctx, d), b.Contract(ctx, d), b.SetMark(ctx, d)} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if _, err := b.Mark(ctx, shop); err == nil {
				t.Errorf("a mark of what %s", want)
			}
		}
		b.del(metaFile)
		if err := b.Expand(ctx, d); err == nil || !strings.Contains(err.Error(), "was not written by Changeover") {
			t.Errorf("got %v", err)
		}
	})
}

func TestSecretsAreRefused(t *testing.T) {
	const value = "hunter2"
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {password: " + value + "}"
	list := "apiVersion: v1\nkind: List\nmetadata: {name: l}\nitems: [{apiVersion: v1, kind: Secret, metadata: {name: t}, stringData: {p: " + value + "}}]"
	inBoth(t, func(t *testing.T, b *bench) {
		for _, text := range []string{secret, list} {
			d := desired(t, "setup", all(configMap("a"), text))
			for _, err := range []error{b.Expand(t.Context(), d), b.Contract(t.Context(), d)} {
				if err == nil || !strings.Contains(err.Error(), "a Secret is not written as a manifest") || strings.Contains(err.Error(), value) {
					t.Errorf("got %v", err)
				}
			}
			if _, err := b.Observe(t.Context(), d); err == nil || strings.Contains(err.Error(), value) {
				t.Errorf("observe: %v", err)
			}
		}
		if len(b.files()) != 0 {
			t.Errorf("something was written")
		}
	})
	t.Run("unless a folder may have them", func(t *testing.T) {
		b := inFolder(t, Options{AllowSecrets: true})
		d := desired(t, "setup", all(configMap("a"), secret))
		b.must(b.Expand(t.Context(), d))
		b.wantList("ConfigMap/a Secret/token")
		info, err := os.Stat(filepath.Join(b.o.Folder, shop.Namespace, shop.Name, "02-secret-shop-ns-token.yaml"))
		if err != nil || info.Mode().Perm()&0o007 != 0 {
			t.Errorf("everybody may read it: %v, %v", info.Mode(), err)
		}
		// What is wrong with a file is told without its content.
		b.put("02-secret-shop-ns-token.yaml", "stringData: {password: "+value+"\n")
		err = b.Expand(t.Context(), desired(t, "setup", configMap("a")))
		if err == nil || strings.Contains(err.Error(), value) {
			t.Errorf("got %v", err)
		}
	})
}

func TestObjectsThatCannotBeWrittenAreRefused(t *testing.T) {
	for want, text := range map[string]string{
		"stands in the kustomization twice": all(configMap("a"), strings.Replace(configMap("a"), "{name: a}", "{name: a, namespace: shop-ns}", 1)),
	} {
		b := inFolder(t, Options{})
		if err := b.Expand(t.Context(), desired(t, "setup", text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	b := inFolder(t, Options{})
	d := desired(t, "setup", configMap("a"))
	d.Objects = []render.Object{{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"generateName": "x-"}}}
	if err := b.Expand(t.Context(), d); err == nil || !strings.Contains(err.Error(), "has no name") {
		t.Errorf("got %v", err)
	}
	for _, key := range []plan.Key{{Namespace: "..", Name: "x"}, {Namespace: "a", Name: "../b"}, {Namespace: "", Name: "x"}, {Namespace: "a", Name: "b_c"}} {
		d := desired(t, "setup", configMap("a"))
		d.Mark.Key = key
		if err := b.Expand(t.Context(), d); err == nil {
			t.Errorf("plan %q was written", key)
		}
	}
}

func TestNewRefusesWhatDoesNotFit(t *testing.T) {
	for want, o := range map[string]Options{
		"name a folder or a branch": {},
		"not to both":               {Folder: t.TempDir(), Branch: "x"},
		"no repository":             {Branch: "x"},
		"never go to a branch":      {Branch: "x", Publisher: nowhere{}, AllowSecrets: true},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

type nowhere struct{ Publisher }

// Whatever an object holds, it is read back as it was written: else it would
// never count as written.
func TestObjectsAreReadBackAsTheyWereWritten(t *testing.T) {
	scalar := rapid.OneOf(
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.SampledFrom([]string{"on", "no", "~", "null", "1.10", "0x1f", "1e3", "2026-03-01", " a ", "a: b", "# x", "|", "\u0085", "a\nb\n", "\t"}), func(s string) any { return s }),
		rapid.Map(rapid.Int64(), func(n int64) any { return n }),
		rapid.Map(rapid.Float64Range(-1e12, 1e12), func(n float64) any { return n }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Just[any](nil),
	)
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		if depth == 0 {
			return scalar
		}
		return rapid.OneOf(scalar,
			rapid.Map(rapid.MapOfN(rapid.String(), value(depth-1), 0, 3), func(m map[string]any) any { return m }),
			rapid.Map(rapid.SliceOfN(value(depth-1), 0, 3), func(l []any) any { return l }))
	}
	rapid.Check(t, func(t *rapid.T) {
		o := render.Object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x"}, "data": value(3).Draw(t, "data")}
		o, err := ours(o, shop)
		if err != nil {
			t.Fatal(err)
		}
		files, err := encode(shop, []render.Object{o}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w, err := decode(shop, files)
		if err != nil || len(w.objects) != 1 {
			t.Fatalf("%v, broken %v", err, w.broken)
		}
		next, err := signed(o)
		if err != nil {
			t.Fatal(err)
		}
		if !sameContent(next, w.objects[0]) {
			t.Fatalf("read back otherwise: %s", cmp.Diff(o, w.objects[0]))
		}
	})
}

// A failed write is an error, and the next try is as good as the first.
func TestABranchThatCannotBeWrittenIsAnError(t *testing.T) {
	p := &failing{}
	c, err := New(Options{Branch: "rendered", Publisher: p})
	if err != nil {
		t.Fatal(err)
	}
	d := desired(t, "setup", configMap("a"))
	for range 2 {
		if err := c.Expand(t.Context(), d); !errors.Is(err, errGone) || !strings.Contains(err.Error(), "folder shop-ns/shop of branch rendered") {
			t.Errorf("got %v", err)
		}
	}
	if _, err := c.Mark(t.Context(), shop); !errors.Is(err, errGone) {
		t.Errorf("got %v", err)
	}
}

func TestWithoutAKubeconfigThatIsSaid(t *testing.T) {
	c := inFolder(t, Options{})
	p := &plan.Plan{}
	got := c.Read(t.Context(), p, []string{"db"})
	if err := got["db"].Err; err == nil || !strings.Contains(err.Error(), "no kubeconfig was given") {
		t.Errorf("got %+v", got)
	}
	if unmet, err := c.Unmet(t.Context(), p); err != nil || len(unmet) != 0 {
		t.Errorf("a plan that requires nothing: %v, %v", unmet, err)
	}
	p.Spec.Requires = &plan.Requires{Kubernetes: ">=1.25"}
	if unmet, err := c.Unmet(t.Context(), p); err != nil || len(unmet) != 1 || !strings.Contains(unmet[0], "no kubeconfig was given") {
		t.Errorf("got %v, %v", unmet, err)
	}
}

var _ reconciler.Cluster = (*bench)(nil)
