package git

import (
	"fmt"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

// monorepo has many plans, each with a kustomization of its own above a base
// of each ten, and then commits elsewhere.
func (f *fixture) monorepo(plans, commits int) []plan.Revision {
	f.t.Helper()
	for i := range plans {
		dir := fmt.Sprintf("plans/team%d/p%d", i/10, i)
		text := shopPlan("setup", "name: shop", fmt.Sprintf("name: p%d", i),
			"routes: [{to: legacy}]", "routes: [{to: legacy}]\n      cluster: {path: overlay}")
		f.write(dir+"/plan.yaml", text)
		f.write(dir+"/overlay/kustomization.yaml", "resources:\n- deployment.yaml\n- ../../base\n")
		f.write(dir+"/overlay/deployment.yaml", fmt.Sprintf("kind: Deployment # %d\n", i))
		base := fmt.Sprintf("plans/team%d/base", i/10)
		f.write(base+"/kustomization.yaml", "resources:\n- a.yaml\n- b.yaml\n- c.yaml\n")
		for _, n := range []string{"a", "b", "c"} {
			f.write(base+"/"+n+".yaml", "kind: Service # "+n+base+"\n")
		}
	}
	revs := []plan.Revision{f.commit("monorepo")}
	for i := range commits {
		revs = append(revs, f.commit("elsewhere", "src/main.go", strings.Repeat("// x\n", i)))
	}
	f.push()
	return revs
}

// With a hook and without.
func benchMonorepo(b *testing.B, ask func(*testing.B, *Repository, plan.Revision) error) {
	f := newFixture(b)
	revs := f.monorepo(1000, 20)
	for name, r := range map[string]*Repository{"no hook": f.open(), "hook": f.openReading(&overlays{})} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if err := ask(b, r, revs[i%len(revs)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPlansOf1000AfterACommitElsewhere(b *testing.B) {
	benchMonorepo(b, func(b *testing.B, r *Repository, rev plan.Revision) error {
		_, err := r.Plans(b.Context(), rev)
		return err
	})
}

func BenchmarkVersionOfOneOf1000AfterACommitElsewhere(b *testing.B) {
	benchMonorepo(b, func(b *testing.B, r *Repository, rev plan.Revision) error {
		_, err := r.Version(b.Context(), plan.Key{Namespace: "default", Name: "p500"}, rev)
		return err
	})
}

func BenchmarkFirstReadOf1000Plans(b *testing.B) {
	f := newFixture(b)
	f.monorepo(1000, 0)
	for _, hook := range []readsFunc{nil, (&overlays{}).reads} {
		r := f.open()
		b.Run(map[bool]string{true: "no hook", false: "hook"}[hook == nil], func(b *testing.B) {
			for b.Loop() {
				r.index = newIndex("plans", hook)
				if _, err := r.Plans(b.Context(), r.Head()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
