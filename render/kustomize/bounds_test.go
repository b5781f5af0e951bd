package kustomize_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/kustomize"
)

func TestBoundsHold(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }
	chain := func(n, times int) fstest.MapFS {
		files := with(kust("resources: [../d0]"))
		for i := range n {
			files[fmt.Sprintf("plans/d%d/kustomization.yaml", i)] = file("resources: [" + strings.Repeat(fmt.Sprintf("../d%d, ", i+1), times) + "]\nnamePrefix: x\n")
		}
		files[fmt.Sprintf("plans/d%d/kustomization.yaml", n)] = file("namePrefix: x\n")
		return files
	}
	data := func(n, size int) fstest.MapFS {
		files, names := fstest.MapFS{}, []string{}
		for i := range n {
			name := fmt.Sprintf("f%d", i)
			names = append(names, name)
			files["plans/k8s/"+name] = file(strings.Repeat("x", size))
		}
		files["plans/k8s/kustomization.yaml"] = file("configMapGenerator:\n- {name: a, files: [" + strings.Join(names, ", ") + "]}\n")
		return files
	}
	doc := document(t, "plans/orders.yaml", []byte(onePhase))
	for _, c := range []struct {
		name  string
		files fstest.MapFS
		want  string // empty: none
	}{
		{"31 bases", chain(30, 1), ""},
		{"33 bases", chain(32, 1), "plans/d30/kustomization.yaml:1:13: too-deep: "},
		{"a base that is used 2^25 times", chain(25, 2), "too-large: the kustomizations of this phase read the same files too often"},
		{"4,999 files beside the kustomization", data(4999, 1), ""},
		{"5,000 files beside the kustomization", data(5000, 1), "too-many-files: the plan reads more than 5000 files"},
		{"files of 1 MiB", data(15, 1<<20), ""},
		{"16 files of 1 MiB", data(16, 1<<20), "too-large: the plan's phases read more than 16777216 bytes in all"},
		{"a path of 2,000 bytes", with(kust("resources: [" + strings.Repeat("x", 2000) + "]")), "path: the path has 2000 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			begun := time.Now()
			_, problems := kustomize.Reads(c.files, doc)
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("it took %s", took)
			}
			switch {
			case c.want == "" && len(problems) > 0:
				t.Error(problems[0])
			case c.want != "" && (len(problems) == 0 || !strings.Contains(problems[0].String(), c.want)):
				t.Errorf("got %v, want %q", problems, c.want)
			}
		})
	}
}

func TestProblemsAreCappedAndSorted(t *testing.T) {
	var entries []string
	for i := range 300 {
		entries = append(entries, fmt.Sprintf("- gone-%d.yaml", i))
	}
	_, problems := kustomize.Reads(with(kust("resources:\n"+strings.Join(entries, "\n"))), document(t, "plans/orders.yaml", []byte(onePhase)))
	if len(problems) != 101 || problems[100].Code != "too-many-problems" {
		t.Errorf("%d problems, the last is %v", len(problems), problems[len(problems)-1])
	}
	for i, p := range problems[:100] {
		if p.Line != i+2 {
			t.Fatalf("problem %d is %s", i, p)
		}
	}
}

func TestReadsLooksAtEveryPhaseOnce(t *testing.T) {
	const phases = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: orders}
spec:
  position: {phase: a}
  phases:
  - {name: a, cluster: {path: ../cluster/a}}
  - {name: b}
  - {name: c, cluster: {path: ../cluster/c}}
  - {name: d, cluster: {path: ../cluster/gone}}
  - {name: e, cluster: {path: ../cluster/a/x.yaml}}
`
	doc := document(t, "plans/p.yaml", []byte(phases))
	paths, problems := kustomize.Reads(archive(`
-- cluster/base/kustomization.yaml --
resources:
- x.yaml
- gone.yaml
-- cluster/base/x.yaml --
{apiVersion: v1, kind: ServiceAccount, metadata: {name: x}}
-- cluster/a/kustomization.yaml --
resources: [../base]
-- cluster/a/x.yaml --
-- cluster/c/kustomization.yaml --
resources: [../base]
components: [../gone]
`), doc)
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	want := []string{
		`cluster/base/kustomization.yaml:3:3: missing: there is no file or folder "cluster/base/gone.yaml"`,
		`cluster/c/kustomization.yaml:2:14: missing: there is no file or folder "cluster/gone"`,
		`plans/p.yaml:10:31: missing: there is no file or folder "cluster/gone"`,
		`plans/p.yaml:11:31: not-a-folder: "cluster/a/x.yaml" is a file`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("problems (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"cluster/a/kustomization.yaml", "cluster/base/kustomization.yaml", "cluster/base/x.yaml", "cluster/c/kustomization.yaml"}, paths); d != "" {
		t.Errorf("paths (-want +got):\n%s", d)
	}
}

func TestLinesThatMayHoldASecretAreNotShown(t *testing.T) {
	doc := document(t, "plans/orders.yaml", []byte(onePhase))
	for text, want := range map[string]string{
		"resources: [gone.yaml]":                                "resources: [gone.yaml]",
		"resources: [gone.yaml] # for the Secret":               "",
		"resources: [gone.yaml]\npatches: [{patch: x}]":         "",
		"resources: ['https://ada:hunter2@example.com/b']":      "",
		"resources: ['https://example.com/b?token=hunter2']":    "",
		"resources: [gone.yaml] # " + strings.Repeat("x", 1000): "",
	} {
		_, problems := kustomize.Reads(with(kust(text)), doc)
		if len(problems) == 0 || problems[0].Source != want {
			t.Errorf("%.60q: %+v, want %q", text, problems, want)
		}
	}
}

// broken fails to open one file.
type broken struct {
	fstest.MapFS
	name string
}

var errBroken = errors.New("the object is missing from the store")

func (b broken) Open(name string) (fs.File, error) {
	if name == b.name {
		return nil, errBroken
	}
	return b.MapFS.Open(name)
}

func TestFilesThatCannotBeReadAreNamed(t *testing.T) {
	doc := document(t, "plans/orders.yaml", []byte(onePhase))
	files := broken{with(kust("resources:\n- app.yaml")), "plans/k8s/app.yaml"}
	_, err := kustomize.Build(files, doc.Plan, "plans/orders.yaml", plan.Position{Phase: "only"}, revision)
	const want = `plans/k8s/kustomization.yaml:2:3: unreadable: "plans/k8s/app.yaml": the object is missing from the store`
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
