package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
)

func TestWhatAPlanReadsIsContentAndLive(t *testing.T) {
	p := good(t, base)
	bare := plan.Version{Content: plan.ContentDigest(p), Live: plan.LiveDigest(p), Plan: p}
	if got := bare.Reading(nil); !cmp.Equal(got, bare) {
		t.Errorf("without files: %+v, want %+v", got, bare)
	}
	a, b := plan.Read{Path: "a.yaml", ID: "100644 1"}, plan.Read{Path: "b.yaml", ID: "100644 2"}
	both := bare.Reading([]plan.Read{a, b})
	for _, files := range [][]plan.Read{{b, a}, {a, b, a}} {
		if got := bare.Reading(files); got.Content != both.Content || got.Live != both.Live {
			t.Errorf("the order or a repetition of %v counts", files)
		}
	}
	seen := map[plan.Digest]string{bare.Content: "nothing", bare.Live: "nothing"}
	for name, files := range map[string][]plan.Read{
		"both": {a, b}, "one": {a}, "the other": {b},
		"another content": {a, {Path: "b.yaml", ID: "100644 3"}},
		"another path":    {a, {Path: "c.yaml", ID: "100644 2"}},
		"swapped":         {{Path: "a.yaml", ID: "100644 2"}, {Path: "b.yaml", ID: "100644 1"}},
		"run together":    {{Path: "a.yaml", ID: "100644 1b.yaml 100644 2"}},
		"quotes in names": {{Path: "a.yaml", ID: "100644 1\"\n\"b.yaml\" \"100644 2"}},
	} {
		got := bare.Reading(files)
		for _, d := range []plan.Digest{got.Content, got.Live} {
			if other, twice := seen[d]; twice {
				t.Errorf("%s has the digest of %s", name, other)
			}
			seen[d] = name
		}
	}
}
