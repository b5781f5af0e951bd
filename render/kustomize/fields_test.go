package kustomize

import (
	"maps"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
)

// A later kustomize may have fields that name files, and plugins that read
// them: then these tests fail, and somebody looks.

func TestEveryFieldOfAKustomizationIsAllowedOrForbidden(t *testing.T) {
	known := slices.Sorted(maps.Keys(fieldsOf(reflect.TypeFor[types.Kustomization]())))
	ours := append(slices.Collect(maps.Keys(forbidden)), allowed...)
	slices.Sort(ours)
	if d := cmp.Diff(ours, known); d != "" {
		t.Errorf("fields (-ours +kustomize):\n%s", d)
	}
}

func TestEveryFieldBelowIsKnown(t *testing.T) {
	want := map[string]string{
		"configMapGenerator": "behavior env envs files literals name namespace options",
		"secretGenerator":    "behavior env envs files literals name namespace options type",
		"patches":            "options patch path target",
		"patchesJson6902":    "options patch path target",
		"replacements":       "path source sourceValue targets",
		"generatorOptions":   "annotations disableNameSuffixHash immutable labels",
		"images":             "digest name newName newTag tagSuffix",
		"imageTags":          "digest name newName newTag tagSuffix",
		"labels":             "fields includeSelectors includeTemplates pairs",
		"metadata":           "annotations labels name namespace",
		"replicas":           "count name",
		"sortOptions":        "legacySortOptions order",
		"vars":               "fieldref name objref",
	}
	got := map[string]string{}
	for name, ft := range fieldsOf(reflect.TypeFor[types.Kustomization]()) {
		for ft.Kind() == reflect.Slice || ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		if ft.Kind() == reflect.Struct && forbidden[name] == "" {
			got[name] = strings.Join(slices.Sorted(maps.Keys(fieldsOf(ft))), " ")
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("fields (-known +kustomize):\n%s", d)
	}
}

func TestEveryPluginIsKnown(t *testing.T) {
	got := slices.Sorted(slices.Values(krusty.GetBuiltinPluginNames()))
	ours := []string{"HelmChartInflationGenerator"}
	ours = slices.AppendSeq(slices.AppendSeq(ours, maps.Keys(generators)), maps.Keys(transformers))
	slices.Sort(ours)
	if d := cmp.Diff(ours, got); d != "" {
		t.Errorf("plugins (-ours +kustomize):\n%s", d)
	}
}

func TestWrittenPathsLeadWhereTheyShouldAndBeginWithADot(t *testing.T) {
	name := rapid.StringMatching(`[a-z.:-]{0,3}[a-z:]`)
	folder := rapid.Custom(func(t *rapid.T) string {
		return path.Join(append([]string{"."}, rapid.SliceOfN(name, 0, 4).Draw(t, "names")...)...)
	})
	rapid.Check(t, func(t *rapid.T) {
		dir, to := folder.Draw(t, "dir"), folder.Draw(t, "to")
		if rapid.Bool().Draw(t, "below") {
			to = path.Join(dir, to)
		}
		rel := relative(dir, to)
		if !strings.HasPrefix(rel, "./") && !strings.HasPrefix(rel, "../") {
			t.Fatalf("%q from %q is %q", to, dir, rel)
		}
		if got := path.Join(dir, rel); got != to {
			t.Fatalf("%q from %q leads to %q, not %q", rel, dir, got, to)
		}
		if u, err := url.Parse(rel); err == nil && (u.Scheme != "" || u.Host != "") {
			t.Fatalf("%q is an address: %+v", rel, u)
		}
	})
}

func TestCredentialsAreNotRepeated(t *testing.T) {
	for ref, want := range map[string]string{
		"https://joe:hunter2@example.com/x": "https://...@example.com/x",
		"git@example.com:x":                 "git@example.com:x",
		"joe@example.com:x":                 "...@example.com:x",
		"https://example.com/x?token=a":     "https://example.com/x?...",
		"https://a:b@c@example.com/x":       "https://...@example.com/x",
		"https://a:b?c@example.com/x":       "https://a:b?...",
		strings.Repeat("ä", 150):            strings.Repeat("ä", 100) + "...",
	} {
		if got := shown(ref); got != want {
			t.Errorf("%q is shown as %q, want %q", ref, got, want)
		}
	}
}
