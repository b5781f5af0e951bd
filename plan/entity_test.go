package plan_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
)

func TestAnEntityPathFindsTheID(t *testing.T) {
	for _, c := range []struct{ template, path, id string }{
		{"/deployments/{id}", "/deployments/7", "7"},
		{"/deployments/{id}", "/deployments/7/", "7"},
		{"/deployments/{id}", "/deployments/7/logs/1", "7"},
		{"/deployments/{id}", "/deployments/", ""},
		{"/deployments/{id}", "/deployments", ""},
		{"/deployments/{id}", "/deploymentsx/7", ""},
		{"/deployments/{id}", "/v2/deployments/7", ""},
		{"/{id}", "/7", "7"},
		{"/{id}", "/", ""},
		{"/v2/{id}/lines", "/v2/7/lines", "7"},
		{"/v2/{id}/lines", "/v2/7/lines/3", "7"},
		{"/v2/{id}/lines/", "/v2/7/lines", "7"},
		{"/v2/{id}/lines", "/v2/7/linesx", ""},
		{"/v2/{id}/lines", "/v2/7", ""},
		{"/v2/{id}/lines", "/v2//lines", ""},
	} {
		p, err := plan.ParseEntityPath(c.template)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.ID(c.path); got != c.id {
			t.Errorf("%s finds %q in %s, want %q", c.template, got, c.path, c.id)
		}
	}
}

func TestAnEntityPathHasOneID(t *testing.T) {
	for _, s := range []string{"", "/", "/a", "a/{id}", "/{id}/{id}", "/x{id}", "/{id}x", "/{id}/{name}", "/{name}/{id}", "{id}"} {
		if _, err := plan.ParseEntityPath(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
	for _, s := range []string{"", "body", "body.", "id", "body..id", "body.a b", "body.[0]", "body." + strings.Repeat("a.", 20) + "a"} {
		if _, err := plan.ParseIDPath(s); err == nil {
			t.Errorf("%q is taken for a place in an answer", s)
		}
	}
}

// TestAnIDIsFoundWhereItIsPut: what is written in place of {id} is what is found.
func TestAnIDIsFoundWhereItIsPut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		segment := rapid.StringMatching(`[a-z0-9.~-]{1,6}`)
		before := rapid.SliceOfN(segment, 0, 3).Draw(t, "before")
		after := rapid.SliceOfN(segment, 0, 2).Draw(t, "after")
		below := rapid.SliceOfN(segment, 0, 2).Draw(t, "below")
		id := rapid.StringMatching(`[^/\x00-\x1f]{1,20}`).Draw(t, "id")
		path := func(id string) string {
			return "/" + strings.Join(append(append(append([]string{}, before...), id), after...), "/")
		}
		p, err := plan.ParseEntityPath(path("{id}"))
		if err != nil {
			t.Fatal(err)
		}
		request := strings.Join(append([]string{path(id)}, below...), "/")
		if got := p.ID(request); got != id {
			t.Fatalf("%s finds %q in %s, want %q", path("{id}"), got, request, id)
		}
	})
}

func TestEntitiesCountForWhatIsApplied(t *testing.T) {
	doc := func(file string) *plan.Plan {
		d, ps := plan.Decode(file, read(t, file))
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		return d.Plan
	}
	p := doc("testdata/good/entities-default.good.yaml")
	if b := p.Spec.Entities.Born; b == nil || b.Path != "/orders" || b.ID != "body.id" || len(b.Methods) != 1 || b.Methods[0] != "POST" {
		t.Errorf("births are seen by %+v, want POST /orders and body.id", b)
	}
	q := doc("testdata/good/entities-default.good.yaml")
	q.Spec.Entities.Match.Path = "/orders/x/{id}"
	if plan.LiveDigest(p) == plan.LiveDigest(q) {
		t.Error("other entities are no live change")
	}
}
