package git

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

func TestPlansListsThePlansBelowTheWatchedFolder(t *testing.T) {
	f := newFixture(t)
	named := func(name string) string { return shopPlan("setup", "name: shop", "name: "+name) }
	f.commit("more",
		"plans/deep/down/b.yml", named("b"),
		"plans/config.yaml", "kind: ConfigMap\n",
		"plans/notes.txt", named("text"),
		"plans/broken.yaml", "apiVersion: changeover.dev/v1alpha1\nkind: MigrationPlan\nmetadata: {name: broken}\nspec: {}\n",
		"elsewhere/c.yaml", named("c"),
		"plans-2/d.yaml", named("d"),
	)
	if err := os.Symlink("shop.yaml", f.work+"/plans/link.yaml"); err != nil {
		t.Fatal(err)
	}
	f.commit("link")
	f.git("update-index", "--add", "--cacheinfo", "160000,"+string(f.rev("HEAD"))+",plans/sub.yaml")
	f.git("commit", "-q", "-m", "submodule")
	f.push()
	for path, want := range map[string]string{
		"plans":      "plans/broken.yaml! plans/deep/down/b.yml plans/shop.yaml",
		"/plans/":    "plans/broken.yaml! plans/deep/down/b.yml plans/shop.yaml",
		"plans/deep": "plans/deep/down/b.yml",
		".":          "elsewhere/c.yaml plans-2/d.yaml plans/broken.yaml! plans/deep/down/b.yml plans/shop.yaml",
		"nowhere":    "",
		"README.md":  "",
	} {
		o := f.options()
		o.Path, o.Dir = path, ""
		r := openWith(t, o)
		files, err := r.Plans(t.Context(), r.Head())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, pf := range files {
			s := pf.Version.Path
			if plan.HasErrors(pf.Problems) {
				s += "!"
			} else if pf.Version.Revision != r.Head() || pf.Version.Content == "" || pf.Version.Live == "" || pf.Document.File != s {
				t.Errorf("%s: version %+v", s, pf.Version)
			}
			got = append(got, s)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("below %q: %s, want %s", path, got, want)
		}
	}
}

func TestPlansThatAreDeclaredTwiceAreAProblemInBothFiles(t *testing.T) {
	f := newFixture(t)
	f.commit("copy", "plans/copy.yaml", shopPlan("gradual@10"))
	f.push()
	r := f.open()
	files, err := r.Plans(t.Context(), r.Head())
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for i, other := range []string{shopFile, "plans/copy.yaml"} {
		ps := files[i].Problems
		if len(ps) != 1 || ps[0].Code != "duplicate-plan" || !strings.Contains(ps[0].Message, other) || ps[0].Line == 0 {
			t.Errorf("%s: %+v", files[i].Version.Path, ps)
		}
	}
	if _, err := r.Version(t.Context(), shop, r.Head()); !errors.Is(err, reconciler.ErrInvalidPlan) {
		t.Errorf("version: %v", err)
	}
}

func TestPlansBoundTheSizeOfAFile(t *testing.T) {
	f := newFixture(t)
	f.commit("large", shopFile, shopPlan("setup")+strings.Repeat("# padding\n", maxFile/10),
		"plans/crd.yaml", "kind: CustomResourceDefinition\n"+strings.Repeat("# padding\n", maxFile/10))
	f.push()
	r := f.open()
	files, err := r.Plans(t.Context(), r.Head())
	if err != nil || len(files) != 1 || len(files[0].Problems) != 1 || files[0].Problems[0].Code != "file-too-large" {
		t.Errorf("got %+v, %v", files, err)
	}
}

func TestVersionTellsGoneFromBroken(t *testing.T) {
	f := newFixture(t)
	raise := f.promote("gradual@10")
	broken := f.commit("break", shopFile, "apiVersion: [\n")
	other := f.commit("other", shopFile, shopPlan("setup", "name: shop", "name: other"))
	f.git("rm", "-q", shopFile)
	gone := f.commit("gone")
	f.push()
	r := f.open()
	v, err := r.Version(t.Context(), shop, raise)
	if err != nil || v.Revision != raise || v.Path != shopFile || v.Plan.Spec.Position != at("gradual@10") {
		t.Errorf("got %+v, %v", v, err)
	}
	for rev, want := range map[plan.Revision]error{broken: reconciler.ErrInvalidPlan, other: reconciler.ErrNoPlan, gone: reconciler.ErrNoPlan} {
		if _, err := r.Version(t.Context(), shop, rev); !errors.Is(err, want) {
			t.Errorf("at %s: %v, want %v", rev, err, want)
		}
	}
	if _, err := r.Version(t.Context(), plan.Key{Namespace: "prod", Name: "shop"}, raise); !errors.Is(err, reconciler.ErrNoPlan) {
		t.Errorf("another namespace: %v", err)
	}
	if _, err := r.Version(t.Context(), shop, "1111111111111111111111111111111111111111"); err == nil || errors.Is(err, reconciler.ErrNoPlan) {
		t.Errorf("an unknown revision: %v", err)
	}
}

func BenchmarkPollUnchanged(b *testing.B) {
	f := newFixture(b)
	r := f.open()
	for b.Loop() {
		poll(b, r)
	}
}

func BenchmarkBuildUndo(b *testing.B) {
	f := newFixture(b)
	f.fastHistory(500)
	bad := plan.Revision(f.git("log", "-1", "--format=%H", "--", shopFile))
	r := f.open()
	from := r.Head()
	v, err := r.Version(b.Context(), shop, from)
	if err != nil {
		b.Fatal(err)
	}
	before, err := r.Version(b.Context(), shop, plan.Revision(f.git("rev-parse", string(bad)+"^")))
	if err != nil {
		b.Fatal(err)
	}
	u := undo(v.Plan.Spec.Position.String(), before.Plan.Spec.Position.String(), bad)
	if _, err := r.preview(b.Context(), u); err == nil && v.Plan.Spec.Position == before.Plan.Spec.Position {
		b.Fatal("nothing to undo")
	}
	for b.Loop() {
		if _, err := r.preview(b.Context(), u); err != nil {
			b.Fatal(err)
		}
	}
}
