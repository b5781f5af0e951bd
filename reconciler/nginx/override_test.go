package nginx_test

import (
	"net/http"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

// TestListedCallersChooseTheSideOfASplit behind a proxy that nginx trusts, and
// which says who the caller is.
func TestListedCallersChooseTheSideOfASplit(t *testing.T) {
	s := nginxtest.New(t, nginxtest.Config{Server: "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;"})
	s.Run()
	none, all := plan.Percent(0), plan.Percent(100)
	m, modern := newMigration(t), newCopies(t)
	m.Spec.Backends.Modern.URL = modern.URL
	m.Spec.Override = &plan.Override{Header: "X-Force", From: []string{"10.0.0.0/8", "fd00::/8"}}
	m.Spec.Phases = []plan.Phase{{Name: "setup", Routes: []plan.Route{
		{Match: &plan.Match{Path: "/none"}, To: plan.ToSplit, Percent: &none, Mirror: &plan.Mirror{}},
		{Match: &plan.Match{Path: "/all"}, To: plan.ToSplit, Percent: &all, Mirror: &plan.Mirror{}},
		{Match: &plan.Match{Path: "/modern"}, To: plan.ToModern},
		{Match: &plan.Match{Path: "/gone"}, Respond: &plan.Respond{Status: 410}},
		{To: plan.ToLegacy},
	}}}
	apply(t, open(t, s), m.Plan, setup)
	const inside, outside = "10.1.2.3", "11.1.2.3"
	for _, c := range []struct {
		path, from, force, side string
		asked                   int // how often modern is
	}{
		{"/none", inside, "modern", "modern", 1},
		{"/none", "fd00::1", "modern\t", "modern", 1},
		{"/none", inside, "legacy", "legacy", 1},
		{"/none", inside, "MODERN", "legacy", 1},
		{"/none", inside, "modern, modern", "legacy", 1},
		{"/none", inside, "", "legacy", 1},
		{"/none", outside, "modern", "legacy", 1},
		{"/none", "fe00::1", "modern", "legacy", 1},
		{"/none", "", "modern", "legacy", 1}, // the proxy itself
		{"/all", inside, "legacy", "legacy", 1},
		{"/all", outside, "legacy", "modern", 1},
		{"/modern", inside, "legacy", "modern", 1},
		{"/gone", inside, "modern", "", 0},
		{"/else", inside, "modern", "legacy", 0},
	} {
		resp, _ := do(t, client, "GET", s.URL+c.path, http.Header{"X-Force": {c.force}, "X-Forwarded-For": {c.from}, "X-Changeover-Side": {"forged"}})
		if side := resp.Header.Get("X-Changeover-Side"); side != c.side || resp.Header.Get("Got-X-Force") != "" {
			t.Errorf("%s from %s with %q is on side %q, want %q; legacy got %q", c.path, c.from, c.force, side, c.side, resp.Header.Get("Got-X-Force"))
		}
		for _, line := range modern.take(t, c.asked) {
			if c.asked--; c.asked < 0 {
				t.Errorf("%s from %s with %q: modern is asked for %s", c.path, c.from, c.force, line)
			}
		}
	}
}
