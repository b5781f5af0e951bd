package install

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTheShippedRolesAreEnoughAndEachRightIsMissed goes there and back with the
// shipped roles. Then it takes each of their verbs away in turn, has the daemon
// need it, and waits until it says which permission is missing. The full counts
// take all of them, else it is a sample with one of each kind.
func TestTheShippedRolesAreEnoughAndEachRightIsMissed(t *testing.T) {
	r := newRig(t)
	out, _ := r.preflight()
	for _, line := range strings.Split(out, "\n") {
		// preflight asks without a name, and this role has names.
		if strings.Contains(line, " failed ") && !strings.Contains(line, "customresourcedefinitions") {
			t.Errorf("preflight: %s", line)
		}
	}
	r.StartDaemon()
	r.at("setup")
	for _, stop := range []string{"shadow", "gradual@10", "gradual@25", "shadow", "setup", "shadow", "gradual@10"} {
		r.Declare(stop)
		r.at(stop)
	}
	if _, said := r.said(0); strings.Contains(said, "permission") || strings.Contains(said, "cannot") {
		t.Errorf("the daemon lacks something:\n%s", said)
	}
	roles := r.roles()
	for _, role := range roles {
		r.grant(role, nil) // as this test writes them
	}
	total, taken := 0, 0
	var longest time.Duration
	for _, role := range roles {
		for _, c := range rights([]shippedRole{role}) {
			total++
			if _, ok := r.provocation(c); !ok {
				t.Errorf("this test does not know what is for: %s", c)
			}
			if !accept() && !slices.Contains(sample, c.String()) {
				continue
			}
			taken++
			t.Run(strings.ReplaceAll(c.String(), " ", "_"), func(t *testing.T) {
				took := r.without(t, role, c)
				t.Logf("said after %s", took.Round(time.Millisecond))
				longest = max(longest, took)
			})
		}
	}
	t.Logf("%d of %d rights were taken away; the longest wait for the daemon's word was %s", taken, total, longest.Round(time.Millisecond))
	if !accept() && taken != len(sample) {
		t.Errorf("%d rights of the sample were found, of %d: the roles have changed", taken, len(sample))
	}
}

// sample has one right of each kind of provocation.
var sample = []string{
	"changeover: list migrationplans",
	"changeover-namespace: create migrationplans",
	"changeover-namespace: update migrationplans/status",
	"changeover-namespace: create events",
	"changeover-account: impersonate serviceaccounts by name",
	"changeover-lease: update leases by name",
	"changeover-gateway-api: patch httproutes",
	"changeover-overlay: get deployments",
	"changeover-overlay: create services",
	"changeover-overlay: delete jobs",
	"changeover-overlay: patch ledgers",
}
