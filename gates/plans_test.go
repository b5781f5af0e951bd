package gates_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// withRoles is gatePlan with the roles ops and release-managers, named shop.
func withRoles(effect plan.Effect, g plan.Gate) *plan.Plan {
	p := gatePlan(effect, g, nil)
	p.Metadata.Name = "shop"
	p.Spec.Roles = map[string]plan.Role{"ops": {}, "release-managers": {}}
	return p
}

func evalBeside(t *testing.T, expr string, facts gates.Facts) gates.Result {
	t.Helper()
	prg, err := gates.Compile(withRoles(plan.Advance, plan.Gate{Expr: expr}), gates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{t: t, prg: prg, effect: plan.Advance}
	return f.evalFacts(f.request(), map[string]gates.Sample{"a": value(0.5)}, facts)
}

func TestVerdictOverOtherPlansApprovalsAndTheCommit(t *testing.T) {
	facts := gates.Facts{
		Plans: map[string]gates.PlanState{
			"platform": {Position: plan.Position{Phase: "gradual", Percent: 25}, Declared: plan.Position{Phase: "gradual", Percent: 50}, State: "Progressing"},
			"onap-so":  {Position: plan.Position{Phase: "sunset"}, Declared: plan.Position{Phase: "sunset"}, State: "Complete", Complete: true},
			"fresh":    {Declared: plan.Position{Phase: "setup"}, State: "Waiting"},
			"gone":     {Unknown: "there is no such plan", Complete: true, State: "Complete"},
		},
		Approvals: gates.Approvals{By: map[string]int{"ops": 2, "release-managers": 0}},
		Commit:    gates.Commit{Revision: "0123456789abcdef", Author: "ann@example.com", Time: noon.Add(-2 * time.Hour)},
	}
	const (
		platform = "plans.platform is Progressing at gradual@25 (declared gradual@50)"
		onap     = `plans["onap-so"] is Complete at sunset (declared sunset)`
		gone     = "plans.gone unknown: there is no such plan"
		by       = "commit 0123456789 is by ann@example.com, of 2026-11-22T10:00:00Z"
	)
	for _, tc := range []struct {
		expr   string
		want   gates.Verdict
		detail string
	}{
		{`plans["onap-so"].complete && !plans.platform.complete`, gates.Pass, onap + "; " + platform},
		{"plans.platform.percent >= 25", gates.Pass, platform},
		{"plans.platform.percent > 25", gates.Fail, platform},
		{"plans.platform.declared.percent > plans.platform.percent", gates.Pass, platform},
		{`plans.platform.phase == "gradual" && plans["platform"].declared.phase == "gradual"`, gates.Pass, platform},
		{`plans.platform.state in ["Halted", "Progressing"]`, gates.Pass, platform},
		{"plans.platform.declared == position", gates.Fail, platform + "; position=none"},
		{`plans.fresh.phase == "" && plans.fresh.percent == 0.0 && !plans.fresh.complete`, gates.Pass, "plans.fresh is Waiting at none (declared setup)"},
		{"has(plans.platform)", gates.Pass, platform},

		{"plans.gone.complete", gates.NoData, gone},
		{"!plans.gone.complete", gates.NoData, gone},
		{"plans.gone.percent < 1", gates.NoData, gone},
		{`plans.gone.state != "Halted"`, gates.NoData, gone},
		{"plans.gone.declared.percent == 0.0", gates.NoData, gone},
		{`plans["gone"].phase == ""`, gates.NoData, gone},
		{"has(plans.gone)", gates.NoData, gone},
		{"plans.other.complete", gates.NoData, "plans.other unknown: not read"},
		{`plans["o-t"].percent < 1`, gates.NoData, `plans["o-t"] unknown: not read`},
		{"plans.gone.complete || plans.platform.percent == 25.0", gates.Pass, gone + "; " + platform},
		{"plans.gone.complete && plans.platform.percent == 26.0", gates.Fail, gone + "; " + platform},
		{"signal.a < 1.0 && plans.gone.complete", gates.NoData, "a=0.5; " + gone},

		{"approvals.ops >= 2", gates.Pass, "approvals.ops=2"},
		{"approvals.ops > 2", gates.Fail, "approvals.ops=2"},
		{`approvals.ops + approvals["release-managers"] == 2`, gates.Pass, `approvals.ops=2; approvals["release-managers"]=0`},

		{`commit.author == "ann@example.com"`, gates.Pass, by},
		{`commit.author.endsWith("@example.org")`, gates.Fail, by},
		{`now - commit.time >= duration("2h")`, gates.Pass, by},
		{`now - commit.time > duration("2h")`, gates.Fail, by},
	} {
		t.Run(tc.expr, func(t *testing.T) {
			got := evalBeside(t, tc.expr, facts)
			want := strings.Split(tc.detail, "; ")
			if diff := cmp.Diff(want, strings.Split(got.Detail, "; "), cmp.Transformer("sorted", sorted)); got.Verdict != tc.want || got.Now != tc.want || diff != "" {
				t.Errorf("got %s, now %s; want %s; detail (-want +got):\n%s", got.Verdict, got.Now, tc.want, diff)
			}
		})
	}
}

func sorted(ss []string) map[string]bool {
	out := map[string]bool{}
	for _, s := range ss {
		out[s] = true
	}
	return out
}

func TestWhatStandsBesideThePlanIsUnknownUntilItIsRead(t *testing.T) {
	for _, tc := range []struct {
		expr, detail string
		facts        gates.Facts
	}{
		{"plans.platform.percent == 0.0", "plans.platform unknown: not read", gates.Facts{}},
		{"approvals.ops == 0", "approvals.ops unknown: not read", gates.Facts{}},
		{`approvals["release-managers"] < 1`, `approvals["release-managers"] unknown: read the approvals: too many files`,
			gates.Facts{Approvals: gates.Approvals{Unknown: "read the approvals: too many files"}}},
		// A role that was not counted is not 0.
		{"approvals.ops == 0", "approvals.ops unknown: not read", gates.Facts{Approvals: gates.Approvals{By: map[string]int{"release-managers": 1}}}},
		{`commit.author != "bot@example.com"`, "commit unknown: not read", gates.Facts{}},
		{`now - commit.time > duration("1h")`, "commit unknown: not read", gates.Facts{}},
		{`commit.author != "bot@example.com"`, "commit 0123456789 is by an unknown author, of 2026-11-22T12:00:00Z", gates.Facts{Commit: gates.Commit{Revision: "0123456789abcdef", Time: noon}}},
		{"commit.time < now", "commit 0123456789 is by ann@example.com, of an unknown time", gates.Facts{Commit: gates.Commit{Revision: "0123456789abcdef", Author: "ann@example.com"}}},
	} {
		if got := evalBeside(t, tc.expr, tc.facts); got.Verdict != gates.NoData || got.Detail != tc.detail {
			t.Errorf("%s: got %s, %q; want NoData, %q", tc.expr, got.Verdict, got.Detail, tc.detail)
		}
	}
}

func TestWhichPlansAreReadIsKnown(t *testing.T) {
	p := withRoles(plan.Advance, plan.Gate{Expr: `plans.platform.complete && [1].all(x, plans["onap-so"].percent > x)`})
	p.Spec.Phases[0].Gates.Pause = []plan.Gate{{Name: "other", Expr: `plans.edge.state == "Halted" || signal.a > 1.0`}}
	p.Spec.Phases = append(p.Spec.Phases, plan.Phase{Name: "next", Gates: plan.Gates{Enter: []plan.Gate{{Name: "up", Expr: "plans.edge.percent >= 50 && approvals.ops > 0"}}}})
	prg, err := gates.Compile(p, gates.Options{})
	if err != nil {
		t.Fatal(err)
	}
	next := gates.Request{Stop: plan.Position{Phase: "next"}, Effects: []plan.Effect{plan.Enter}}
	for _, c := range []struct {
		reqs []gates.Request
		want []string
	}{
		{nil, nil},
		{[]gates.Request{{Stop: only, Effects: []plan.Effect{plan.Advance}}}, []string{"onap-so", "platform"}},
		{[]gates.Request{{Stop: only, Effects: plan.Effects}, next}, []string{"edge", "onap-so", "platform"}},
		{[]gates.Request{{Stop: only, Effects: []plan.Effect{plan.Breaches}}}, nil},
		{[]gates.Request{next, next}, []string{"edge"}},
	} {
		if diff := cmp.Diff(c.want, prg.Plans(c.reqs)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.reqs, diff)
		}
	}
	if _, ok := prg.Steady(next); !ok {
		t.Error("a gate over plans and approvals hangs on the time")
	}
}
