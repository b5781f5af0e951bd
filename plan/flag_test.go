package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
)

const flagged = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: orders}
spec:
  position: {phase: setup}
  phases:
    - name: setup
    - name: gradual
      percents: [10, 100]
      flags: {checkout: position}
    - name: cleanup
      flags: {metrics: 12.5}
    - name: sunset
  flags:
    - {name: checkout, description: New checkout, targeting: [{attribute: tier, operator: in, values: [gold]}]}
    - {name: metrics, default: modern, conflictsWith: [search]}
    - {name: search, percent: position, prerequisites: [checkout]}
    - {name: banner, percent: 50, expiresAt: "2027-01-01T00:00:00Z"}
`

func TestCompareSaysWhatChangedOfFlags(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		live     bool
		field    string
	}{
		"a percentage":       {"percent: 50", "percent: 60", true, "spec.flags[banner].percent"},
		"a phase's":          {"metrics: 12.5", "metrics: 13", true, "spec.phases[cleanup].flags.metrics"},
		"a rule":             {"[gold]", "[silver]", true, "spec.flags[checkout].targeting[0].values[0]"},
		"when it expires":    {"2027", "2028", true, "spec.flags[banner].expiresAt"},
		"the kill switch":    {"percent: 50", "percent: 50, killSwitch: true", false, "spec.flags[banner].killSwitch"},
		"what apps are told": {"New checkout", "The checkout", true, "spec.flags[checkout].description"},
	} {
		got := plan.Compare(good(t, flagged), good(t, strings.Replace(flagged, c.old, c.new, 1)))
		if !got.Content || got.Live != c.live || !cmp.Equal(got.Fields, []string{c.field}) {
			t.Errorf("%s: %+v, want %s, live %v", name, got, c.field, c.live)
		}
	}
}

// flagsAt shows the flags of a stop in short.
func flagsAt(t *testing.T, src, stop, at string) (out []string) {
	t.Helper()
	now, err := time.Parse(time.RFC3339, at)
	if err != nil {
		t.Fatal(err)
	}
	pos, err := plan.ParsePosition(stop)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range good(t, src).FlagsAt(pos, now) {
		text := s.Flag.Name + " " + s.Percent.String()
		if s.Off != "" {
			text += " " + string(s.Off)
		}
		if s.By != "" {
			text += " by " + s.By
		}
		if len(s.Needs) > 0 {
			text += " needs " + strings.Join(s.Needs, ",")
		}
		out = append(out, text)
	}
	return out
}

func TestFlagsAtAStop(t *testing.T) {
	const before, after = "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"
	killed := func(name string) string {
		return strings.Replace(flagged, "{name: "+name, "{name: "+name+", killSwitch: true", 1)
	}
	for _, c := range []struct {
		name, src, stop, at string
		want                []string
	}{
		{"before any phase names a flag", flagged, "setup", before, []string{"checkout 0", "metrics 100", "search 0 conflict by metrics", "banner 50"}},
		{"the position's percent", flagged, "gradual@10", before, []string{"checkout 10", "metrics 100", "search 0 conflict by metrics", "banner 50"}},
		{"a percentage of the phase", flagged, "cleanup", before, []string{"checkout 100", "metrics 12.5", "search 0 conflict by metrics", "banner 50"}},
		{"a phase that names none is as the one before", flagged, "sunset", before, []string{"checkout 100", "metrics 12.5", "search 0 conflict by metrics", "banner 50"}},
		{"it expires at that instant", flagged, "gradual@10", after, []string{"checkout 10", "metrics 100", "search 0 conflict by metrics", "banner 0 expired"}},
		{"one that is killed conflicts with nothing", killed("metrics"), "gradual@10", before, []string{"checkout 10", "metrics 0 killSwitch", "search 10 needs checkout", "banner 50"}},
		{"nothing is left of a prerequisite that is killed", strings.Replace(killed("checkout"), ", conflictsWith: [search]", "", 1), "gradual@10", before,
			[]string{"checkout 0 killSwitch", "metrics 100", "search 0 prerequisite by checkout", "banner 50"}},
		{"a rule to legacy keeps no flag on at 0 %", strings.Replace(flagged, ", values: [gold]", ", to: legacy, values: [gold]", 1), "setup", before,
			[]string{"checkout 0 zeroPercent", "metrics 100", "search 0 prerequisite by checkout", "banner 50"}},
	} {
		if diff := cmp.Diff(c.want, flagsAt(t, c.src, c.stop, c.at)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestPrerequisitesOfPrerequisitesAreNeededToo(t *testing.T) {
	const head = "apiVersion: changeover.dev/v1alpha1\nkind: MigrationPlan\nmetadata: {name: a}\nspec:\n  position: {phase: setup}\n  phases: [{name: setup}]\n  flags:\n"
	chain := head + `    - {name: a, percent: 100, prerequisites: [d, b]}
    - {name: b, percent: 20, prerequisites: [c]}
    - {name: c, percent: 30}
    - {name: d, percent: 40, prerequisites: [c]}
`
	want := []string{"a 100 needs b,c,d", "b 20 needs c", "c 30", "d 40 needs c"}
	if diff := cmp.Diff(want, flagsAt(t, chain, "setup", "2026-12-01T00:00:00Z")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheNextFlagToExpire(t *testing.T) {
	p := good(t, flagged)
	end := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	if at := p.FlagExpires(end.Add(-time.Hour)); !at.Equal(end) {
		t.Errorf("the next expires at %s", at)
	}
	if at := p.FlagExpires(end); !at.IsZero() {
		t.Errorf("after all expired, the next expires at %s", at)
	}
}
