package render_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render"
)

func percent(p plan.Percent) *plan.Percent { return &p }

func planOf(phases ...plan.Phase) *plan.Plan {
	return &plan.Plan{Metadata: plan.Metadata{Name: "p", Namespace: "default"}, Spec: plan.Spec{Phases: phases}}
}

func TestResolve(t *testing.T) {
	writes := plan.Match{Methods: []string{"POST"}, Path: "/deployments"}
	gone := &plan.Respond{Status: 410, Body: "gone"}
	legacyRest := render.Rule{Side: plan.Legacy}
	mirror, rewrite := &plan.Mirror{AllowUnsafe: "why"}, &plan.Rewrite{Host: "a.b"}

	for _, c := range []struct {
		name  string
		phase plan.Phase
		stop  plan.Position
		want  []render.Rule
	}{
		{
			name:  "no routes send everything to legacy",
			phase: plan.Phase{Name: "setup"},
			stop:  plan.Position{Phase: "setup"},
			want:  []render.Rule{legacyRest},
		},
		{
			name:  "what matches nothing goes to legacy",
			phase: plan.Phase{Name: "new", Routes: []plan.Route{{Match: &writes, To: plan.ToModern}}},
			stop:  plan.Position{Phase: "new"},
			want:  []render.Rule{{Match: writes, Side: plan.Modern}, legacyRest},
		},
		{
			name:  "a split takes the percentage of the stop",
			phase: plan.Phase{Name: "g", Percents: []plan.Percent{10, 25}, Routes: []plan.Route{{To: plan.ToSplit}}},
			stop:  plan.Position{Phase: "g", Percent: 25},
			want:  []render.Rule{{Split: true, Percent: 25}},
		},
		{
			name: "a route's own percentage wins, zero too",
			phase: plan.Phase{Name: "g", Percents: []plan.Percent{10, 25}, Routes: []plan.Route{
				{Match: &writes, To: plan.ToSplit, Percent: percent(0)},
				{To: plan.ToSplit, Percent: percent(2.5)},
			}},
			stop: plan.Position{Phase: "g", Percent: 25},
			want: []render.Rule{{Match: writes, Split: true}, {Split: true, Percent: 2.5}},
		},
		{
			name: "nothing comes after a rule that matches everything",
			phase: plan.Phase{Name: "s", Routes: []plan.Route{
				{Match: &writes, Respond: gone}, {Match: &plan.Match{}, To: plan.ToModern}, {To: plan.ToLegacy},
			}},
			stop: plan.Position{Phase: "s"},
			want: []render.Rule{{Match: writes, Respond: gone}, {Side: plan.Modern}},
		},
		{
			name:  "a mirror and a rewrite stay with their route",
			phase: plan.Phase{Name: "s", Routes: []plan.Route{{To: plan.ToLegacy, Mirror: mirror, Rewrite: rewrite}}},
			stop:  plan.Position{Phase: "s"},
			want:  []render.Rule{{Side: plan.Legacy, Mirror: mirror, Rewrite: rewrite}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := render.Resolve(planOf(c.phase), c.stop)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("rules (-want +got):\n%s", d)
			}
			if last := got[len(got)-1]; !last.MatchesAll() {
				t.Errorf("the last rule %+v does not match everything", last)
			}
		})
	}
}

func TestResolveRefusesWhatItWouldHaveToGuess(t *testing.T) {
	for _, c := range []struct {
		name  string
		phase plan.Phase
		stop  plan.Position
		want  string
	}{
		{"a stop of no phase", plan.Phase{Name: "a"}, plan.Position{Phase: "b"}, "not on its itinerary"},
		{"a percentage between stops", plan.Phase{Name: "a", Percents: []plan.Percent{10, 25}}, plan.Position{Phase: "a", Percent: 20}, "not on its itinerary"},
		{"none", plan.Phase{Name: "a"}, plan.Position{}, "not on its itinerary"},
		{"a split without a percentage", plan.Phase{Name: "a", Routes: []plan.Route{{To: plan.ToSplit}}}, plan.Position{Phase: "a"}, "needs a percentage"},
		{"a percentage above 100", plan.Phase{Name: "a", Routes: []plan.Route{{To: plan.ToSplit, Percent: percent(101)}}}, plan.Position{Phase: "a"}, "from 0 to 100"},
		{"an unknown destination", plan.Phase{Name: "a", Routes: []plan.Route{{To: "both"}}}, plan.Position{Phase: "a"}, `"both"`},
		{"an owner of no entities", plan.Phase{Name: "a", Routes: []plan.Route{{To: plan.ToOwner}}}, plan.Position{Phase: "a"}, "needs spec.entities"},
		{"no destination", plan.Phase{Name: "a", Routes: []plan.Route{{}}}, plan.Position{Phase: "a"}, "want legacy, modern, split or owner"},
		{"two destinations", plan.Phase{Name: "a", Routes: []plan.Route{{To: plan.ToLegacy, Respond: &plan.Respond{Status: 410}}}}, plan.Position{Phase: "a"}, "both"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules, err := render.Resolve(planOf(c.phase), c.stop)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v; want an error with %q", rules, err, c.want)
			}
		})
	}
}
