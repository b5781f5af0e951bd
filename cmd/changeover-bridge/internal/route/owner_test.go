package route_test

import (
	"net/http/httptest"
	"testing"

	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/route"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// owners is a table of owners.
type owners struct {
	of    map[string]plan.Side
	unfit bool
}

func (o owners) Ready() bool { return !o.unfit }

func (o owners) Owner(id string) (plan.Side, bool) { side, known := o.of[id]; return side, known }

func (o owners) ModernOwns() bool {
	for _, side := range o.of {
		if side == plan.Modern {
			return true
		}
	}
	return false
}

func drawOwners(t *rapid.T) owners {
	return owners{of: rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.SampledFrom([]plan.Side{plan.Legacy, plan.Modern}), 0, 3).Draw(t, "owners")}
}

func ownerTable(t testing.TB, o route.Owners, p *plan.Plan, at plan.Position) *route.Table {
	t.Helper()
	table := tableOf(t, p, at)
	table.Ask(o)
	return table
}

func entitiesOf(paths ...string) *plan.Entities {
	return &plan.Entities{Match: plan.EntityMatch{Paths: paths}}
}

// TestModernKeepsItsEntitiesAtEveryStop is law 9: whatever the routes of a stop
// are, a request for an entity of modern's goes there; and while modern owns any,
// none for an entity of legacy's does.
func TestModernKeepsItsEntitiesAtEveryStop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := planOf(&plan.Identity{Header: "x-tenant"}, rapid.SliceOfN(rapid.Custom(drawRoute), 0, 6).Draw(t, "routes")...)
		p.Spec.Entities = entitiesOf("/{id}")
		if rapid.Bool().Draw(t, "deep") {
			p.Spec.Entities = entitiesOf("/c/{id}", "/a/{id}/b")
		}
		at := rapid.SampledFrom(p.Itinerary()).Draw(t, "stop")
		c, err := bridge.Render(p, at)
		if err != nil {
			t.Fatal(err)
		}
		table, plain := compiled(t, c), compiled(t, c)
		o := drawOwners(t)
		table.Ask(o)
		for range 10 {
			r := drawRequest(t)
			path, _ := route.Path(r.URL)
			id := ""
			for _, s := range p.Spec.Entities.Match.All() {
				e, err := plan.ParseEntityPath(s)
				if err != nil {
					t.Fatal(err)
				}
				if id == "" {
					id = e.ID(path)
				}
			}
			got, routes := table.Choose(r, client), plain.Choose(r, client)
			side, known := o.of[id]
			switch {
			case known && side == plan.Modern:
				if got.Side != plan.Modern || got.Respond != nil || got.Split || got.Mirror {
					t.Fatalf("%s %s of modern's entity %q went to %+v", r.Method, path, id, got)
				}
			case known && o.ModernOwns() && routes.Respond == nil:
				if got.Side != plan.Legacy || got.Split {
					t.Fatalf("%s %s of legacy's entity %q went to %+v", r.Method, path, id, got)
				}
			case got.Rule != routes.Rule || got.Side != routes.Side || (got.Respond == nil) != (routes.Respond == nil):
				t.Fatalf("%s %s went to %+v, the routes say %+v", r.Method, path, got, routes)
			}
		}
	})
}

func compiled(t *rapid.T, c bridge.Config) *route.Table {
	table, err := route.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestToOwnerIsTheOwnersSideOrLegacy(t *testing.T) {
	p := planOf(nil, plan.Route{Match: &plan.Match{PathPrefix: "/orders"}, To: plan.ToOwner}, plan.Route{To: plan.ToModern})
	p.Spec.Entities = entitiesOf("/orders/{id}")
	known := owners{of: map[string]plan.Side{"l": plan.Legacy, "m": plan.Modern, "ä b": plan.Modern}}
	for _, c := range []struct {
		target string
		o      owners
		side   plan.Side
		lookup route.Lookup
	}{
		{"/orders/m", known, plan.Modern, route.Owned},
		{"/orders/m/lines?x=/orders/l", known, plan.Modern, route.Owned},
		{"/orders/%6d", known, plan.Modern, route.Owned},
		{"//orders/./m", known, plan.Modern, route.Owned},
		{"/x/../orders/m", known, plan.Modern, route.Owned},
		{"/orders/%C3%A4%20b", known, plan.Modern, route.Owned},
		{"/orders/l", known, plan.Legacy, route.Owned},
		{"/orders/M", known, plan.Legacy, route.Unowned},
		{"/orders/%FF", known, plan.Legacy, route.Unowned},
		{"/orders/", known, plan.Legacy, route.NoEntity},
		{"/orders", known, plan.Legacy, route.NoEntity},
		{"/else/m", known, plan.Modern, route.NoEntity},
		// Also while modern owns nothing.
		{"/orders/l", owners{of: map[string]plan.Side{"l": plan.Legacy}}, plan.Legacy, route.Owned},
		{"/orders/m", owners{unfit: true}, plan.Legacy, route.NotReady},
		{"/orders", owners{unfit: true}, plan.Legacy, route.NoEntity},
	} {
		table := ownerTable(t, c.o, p, stop)
		got := table.Choose(httptest.NewRequest("GET", c.target, nil), client)
		if got.Side != c.side || got.Entity != c.lookup {
			t.Errorf("%s goes to %q, lookup %d, want %q, %d", c.target, got.Side, got.Entity, c.side, c.lookup)
		}
	}
}

func TestAnAnswerOfTheGatewayStandsForAllButModernsEntities(t *testing.T) {
	p := planOf(nil, plan.Route{Match: &plan.Match{Methods: []string{"DELETE"}}, Respond: &plan.Respond{Status: 410}}, plan.Route{To: plan.ToLegacy})
	p.Spec.Entities = entitiesOf("/orders/{id}")
	table := ownerTable(t, owners{of: map[string]plan.Side{"l": plan.Legacy, "m": plan.Modern}}, p, stop)
	for target, side := range map[string]plan.Side{"/orders/m": plan.Modern, "/orders/l": "", "/orders/x": "", "/orders": ""} {
		got := table.Choose(httptest.NewRequest("DELETE", target, nil), client)
		if got.Side != side || (got.Respond == nil) != (side != "") {
			t.Errorf("DELETE %s: %+v, want side %q", target, got, side)
		}
	}
}

func BenchmarkChooseOwner(b *testing.B) {
	p := planOf(&plan.Identity{Header: "X-Tenant-ID"}, plan.Route{Match: &plan.Match{PathPrefix: "/orders/"}, To: plan.ToOwner}, plan.Route{To: plan.ToSplit})
	p.Spec.Entities = entitiesOf("/orders/{id}")
	table := ownerTable(b, owners{of: map[string]plan.Side{"7": plan.Modern}}, p, stop)
	r := httptest.NewRequest("GET", "/orders/7", nil)
	b.ReportAllocs()
	for b.Loop() {
		table.Choose(r, client)
	}
}
