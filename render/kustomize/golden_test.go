package kustomize_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/kustomize"
)

var update = flag.Bool("update", false, "write the golden files anew")

const revision plan.Revision = "0123456789abcdef0123456789abcdef01234567"

// document decodes a plan that must be without a fault.
func document(t testing.TB, file string, src []byte) *plan.Document {
	t.Helper()
	doc, problems := plan.Decode(file, src)
	for _, p := range problems {
		t.Fatal(p.Render())
	}
	return doc
}

// cases are the folders with inputs, and their plans.
func cases(t testing.TB) map[string]*plan.Document {
	t.Helper()
	dirs, err := filepath.Glob("testdata/*.in")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	out := map[string]*plan.Document{}
	for _, dir := range dirs {
		src, err := os.ReadFile(filepath.Join(dir, "plan.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		out[dir] = document(t, "plan.yaml", src)
	}
	return out
}

// shown writes objects as YAML.
func shown(t testing.TB, objects []render.Object) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, o := range objects {
		y, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "---\n%s", y)
	}
	return b.Bytes()
}

func TestGolden(t *testing.T) {
	for dir, doc := range cases(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var got bytes.Buffer
			files := os.DirFS(dir)
			paths, problems := kustomize.Reads(files, doc)
			for _, p := range problems {
				t.Fatal(p.Render())
			}
			fmt.Fprintf(&got, "# Reads %s\n", strings.Join(paths, "\n#       "))
			for _, stop := range doc.Plan.Itinerary() {
				objects, err := kustomize.Build(files, doc.Plan, "plan.yaml", stop, revision)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&got, "\n# %s\n%s", stop, shown(t, objects))
			}
			file := strings.TrimSuffix(dir, ".in") + ".out.yaml"
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got.String()); d != "" {
				t.Errorf("build (-want +got); -update writes it anew:\n%s", d)
			}
		})
	}
}
