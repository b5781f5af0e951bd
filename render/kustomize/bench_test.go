package kustomize_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/kustomize/kyaml/openapi"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/kustomize"
)

// many is a base with n objects, and an overlay.
func many(n int) fstest.MapFS {
	files := with("")
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("o%d.yaml", i))
		files[fmt.Sprintf("plans/base/o%d.yaml", i)] = &fstest.MapFile{Mode: 0o644, Data: fmt.Appendf(nil, `apiVersion: apps/v1
kind: Deployment
metadata: {name: app-%d}
spec:
  replicas: 3
  selector: {matchLabels: {app: app-%d}}
  template:
    metadata: {labels: {app: app-%d}}
    spec:
      containers:
      - name: web
        image: example.com/app:1.0
        env: [{name: A, value: b}, {name: C, value: d}]
        resources: {requests: {cpu: 100m, memory: 64Mi}}
`, i, i, i)}
	}
	files["plans/base/kustomization.yaml"] = &fstest.MapFile{Mode: 0o644, Data: []byte("resources: [" + strings.Join(names, ", ") + "]\n")}
	files["plans/k8s/kustomization.yaml"] = &fstest.MapFile{Mode: 0o644, Data: []byte("namespace: so\nresources: [../base]\nimages: [{name: example.com/app, newTag: \"2\"}]\npatches: [{path: patch.yaml}]\n")}
	files["plans/k8s/patch.yaml"] = &fstest.MapFile{Mode: 0o644, Data: []byte("{apiVersion: apps/v1, kind: Deployment, metadata: {name: app-0}, spec: {minReadySeconds: 5}}\n")}
	return files
}

// BenchmarkFirstBuild reads kustomize's schemas first.
func BenchmarkFirstBuild(b *testing.B) {
	files := many(3)
	for b.Loop() {
		openapi.ResetOpenAPI()
		if _, err := build(b, files); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{3, 30, 300} {
		b.Run(fmt.Sprintf("objects=%d", n), func(b *testing.B) {
			files := many(n)
			for b.Loop() {
				if _, err := build(b, files); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/object")
		})
	}
}

func BenchmarkReads(b *testing.B) {
	for _, n := range []int{3, 30, 300} {
		b.Run(fmt.Sprintf("objects=%d", n), func(b *testing.B) {
			files, doc := many(n), document(b, "plans/orders.yaml", []byte(onePhase))
			for b.Loop() {
				if _, ps := kustomize.Reads(files, doc); len(ps) > 0 {
					b.Fatal(ps)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/object")
		})
	}
}

func BenchmarkCacheHit(b *testing.B) {
	repo := &repository{files: many(30)}
	c, v := kustomize.NewCache(1<<24), version(b, revision)
	for b.Loop() {
		if _, err := c.Build(b.Context(), v, only, repo.at); err != nil {
			b.Fatal(err)
		}
	}
	if repo.reads.Load() != 1 {
		b.Fatal("the cache was missed")
	}
}

// BenchmarkMemory compares what objects take with the length of their JSON, on
// which the bound of the cache is based.
func BenchmarkMemory(b *testing.B) {
	files := many(300)
	var kept [][]render.Object
	var before, after runtime.MemStats
	if _, err := build(b, files); err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	doc := document(b, "plans/orders.yaml", []byte(onePhase))
	for b.Loop() {
		objects, err := kustomize.Build(files, doc.Plan, "plans/orders.yaml", plan.Position{Phase: "only"}, revision)
		if err != nil {
			b.Fatal(err)
		}
		kept = append(kept, objects)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(kept))/300, "B/object")
	b.ReportMetric(float64(len(shown(b, kept[0])))/300, "YAML-B/object")
}
