package route

import (
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

func TestListedCallersChooseTheSideOfASplit(t *testing.T) {
	none, all := plan.Percent(0), plan.Percent(100)
	c := sealed(t,
		bridge.Rule{Match: &plan.Match{Path: "/none"}, To: plan.ToSplit, Percent: &none, Mirror: &bridge.Mirror{Percent: 100}},
		bridge.Rule{Match: &plan.Match{Path: "/all"}, To: plan.ToSplit, Percent: &all, Mirror: &bridge.Mirror{Percent: 100}},
		bridge.Rule{Match: &plan.Match{Path: "/modern"}, To: plan.ToModern},
		bridge.Rule{Match: &plan.Match{Path: "/gone"}, Respond: &plan.Respond{Status: 410}},
	)
	c.Override = &plan.Override{Header: "x-force", From: []string{"10.0.0.0/8", "fd00::/8"}}
	c.Hash, _ = c.Sum()
	table, err := Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	const inside, outside = "10.1.2.3", "11.1.2.3"
	for _, c := range []struct {
		path, from, force string
		side              plan.Side
		mirror            bool
	}{
		{"/none", inside, "modern", plan.Modern, false},
		{"/none", "fd00::1", "\tmodern ", plan.Modern, false},
		{"/none", inside, "legacy", plan.Legacy, true},
		{"/none", inside, "Modern", plan.Legacy, true},
		{"/none", inside, "modern,modern", plan.Legacy, true},
		{"/none", inside, "", plan.Legacy, true},
		{"/none", outside, "modern", plan.Legacy, true},
		{"/none", "fe00::1", "modern", plan.Legacy, true},
		{"/none", "", "modern", plan.Legacy, true},
		{"/all", inside, "legacy", plan.Legacy, true},
		{"/all", outside, "legacy", plan.Modern, false},
		{"/modern", inside, "legacy", plan.Modern, false},
		{"/gone", inside, "modern", "", false},
		{"/else", inside, "modern", plan.Legacy, false},
	} {
		r := httptest.NewRequest("GET", c.path, nil)
		r.Header.Set("X-Force", c.force)
		client, _ := netip.ParseAddr(c.from)
		choice := table.Choose(r, client)
		if choice.Side != c.side || choice.Mirror != c.mirror {
			t.Errorf("%s from %s with %q: %+v, want %q and a copy: %v", c.path, c.from, c.force, choice, c.side, c.mirror)
		}
		if chosen := c.from == inside && (c.force == "modern" || c.force == "legacy"); chosen && choice.Split {
			t.Errorf("%s with %q counts for the share of the split: %+v", c.path, c.force, choice)
		}
		if table.Hide(r); r.Header.Values("X-Force") != nil {
			t.Errorf("the header stays")
		}
	}
}
