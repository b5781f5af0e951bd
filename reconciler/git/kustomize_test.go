package git

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render/kustomize"
)

// manifest is an object that kustomize takes.
func manifest(kind, name, data string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: %s\nmetadata:\n  name: %s\ndata:\n  a: \"%s\"\n", kind, name, data)
}

// newKustomized has the shop's plan with a kustomization of many parts.
func newKustomized(t *testing.T) (*fixture, *Repository) {
	t.Helper()
	f := newOverlaid(t)
	f.write(overlayFile, `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../base, app.yaml, linked]
components: [../component]
patches: [{path: patch.yaml}]
configMapGenerator: [{name: generated, files: [settings.txt]}]
`)
	f.write(appFile, manifest("ConfigMap", "app", "1"))
	f.write(overlayDir+"/patch.yaml", manifest("ConfigMap", "app", "2"))
	f.write(overlayDir+"/settings.txt", "x\n")
	f.write("deploy/base/kustomization.yaml", "resources: [base.yaml]\n")
	f.write("deploy/base/base.yaml", manifest("ConfigMap", "base", "1"))
	f.write("deploy/component/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [part.yaml]\n")
	f.write("deploy/component/part.yaml", manifest("ConfigMap", "part", "1"))
	f.write("lib/kustomization.yaml", "resources: [file.yaml]\n")
	f.write("lib/file.yaml", manifest("ConfigMap", "linked", "1"))
	f.write("lib/notes.txt", "not read\n")
	f.link("../../lib", overlayDir+"/linked")
	f.commit("a kustomization of many parts")
	f.push()
	o := f.options()
	o.Reads = kustomize.Reads
	return f, openWith(t, o)
}

// With what kustomizations really read: each of the files counts, and a revert
// takes each of them back.
func TestEachFileOfAKustomizationIsThePlans(t *testing.T) {
	parts := map[string]string{
		overlayFile:                           "# changed\n",
		appFile:                               "# changed\n",
		overlayDir + "/patch.yaml":            "# changed\n",
		overlayDir + "/settings.txt":          "changed\n",
		"deploy/base/kustomization.yaml":      "# changed\n",
		"deploy/base/base.yaml":               "# changed\n",
		"deploy/component/kustomization.yaml": "# changed\n",
		"deploy/component/part.yaml":          "# changed\n",
		"lib/kustomization.yaml":              "# changed\n",
		"lib/file.yaml":                       "# changed\n",
	}
	f, r := newKustomized(t)
	for path, more := range parts {
		before := version(t, r, poll(t, r))
		was := f.shown(path)
		bad := f.commitOn("change "+path, path, was+more)
		f.push()
		now := version(t, r, poll(t, r))
		if now.Content == before.Content || now.Live == before.Live {
			t.Errorf("%s does not count", path)
		}
		wantChanges(t, r, before.Revision, bad, "setup>setup content live: change "+path)
		p := push(t, r, undo("setup", "setup", bad))
		if p.Outcome != reconciler.PushedHead || f.shown(path) != was || len(p.Notes) != 0 {
			t.Errorf("%s: got %+v", path, p)
		}
		if after := version(t, r, p.Head); after.Content != before.Content {
			t.Errorf("%s: not as before", path)
		}
	}
	before := version(t, r, poll(t, r))
	for _, path := range []string{"lib/notes.txt", overlayDir + "/README.md", "deploy/base/other.yaml"} {
		f.commitOn("elsewhere", path, "changed\n")
		f.push()
		if now := version(t, r, poll(t, r)); now.Content != before.Content || now.Live != before.Live {
			t.Errorf("%s counts, and is not read", path)
		}
	}
	paths := []string{}
	c, err := r.commitAt(r.Head())
	if err != nil {
		t.Fatal(err)
	}
	found, err := r.index.find(t.Context(), r.store, c.tree, shop)
	if err != nil {
		t.Fatal(err)
	}
	for path := range parts {
		paths = append(paths, path)
	}
	paths = append(paths, overlayDir+"/linked")
	slices.Sort(paths)
	got := found.readPaths()
	slices.Sort(got)
	if got := strings.Join(slices.Compact(got), "\n"); got != strings.Join(paths, "\n") {
		t.Errorf("reads\n%s\nwant\n%s", got, strings.Join(paths, "\n"))
	}
}

func TestTheProblemsOfAKustomizationAreThePlans(t *testing.T) {
	f, r := newKustomized(t)
	f.commit("remote base", overlayFile, "resources:\n- app.yaml\n- https://example.com/base\n")
	f.push()
	list, err := r.Plans(t.Context(), poll(t, r))
	if err != nil || len(list) != 1 || !slices.ContainsFunc(list[0].Problems, func(p plan.Problem) bool { return p.File == overlayFile && p.Line == 3 }) {
		t.Errorf("got %+v, %v", list, err)
	}
}

func BenchmarkFirstReadOf1000PlansWithKustomizations(b *testing.B) {
	f := newFixture(b)
	f.monorepo(1000, 0)
	r := f.open()
	for b.Loop() {
		r.index = newIndex("plans", kustomize.Reads)
		if _, err := r.Plans(b.Context(), r.Head()); err != nil {
			b.Fatal(err)
		}
	}
}
