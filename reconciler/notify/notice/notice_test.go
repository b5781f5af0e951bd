package notice_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/notify/notice"
)

const shopPlan = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: setup}
  backends:
    legacy: {url: "http://127.0.0.1:8080"}
    modern: {url: "http://127.0.0.1:8000"}
  gateway: {nginx: {}}
  identity: {header: X-User}
  signals: {errors: {query: errors}}
  notifications:
    - {receiver: team, severities: [P0, P2], remind: [24h, 1h]}
  phases:
    - name: setup
      routes: [{to: legacy}]
    - name: gradual
      percents: [10, 50]
      notBefore: "2026-12-01T09:00:00Z"
      routes: [{to: split}]
      gates:
        rollback: [{name: high, expr: "signal.errors > 0.03", severity: P0}, {name: plain, expr: "signal.errors > 0.02"}]
`

func shop(t *testing.T) *plan.Plan {
	t.Helper()
	d, problems := plan.Decode("shop.yaml", []byte(shopPlan))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return d.Plan
}

var stop = plan.Position{Phase: "gradual", Percent: 50}

func evidence(names ...string) (out gates.Results) {
	for _, n := range names {
		out = append(out, gates.Result{Key: gates.Key{Stop: stop, Effect: plan.Breaches, Name: n}, Verdict: gates.NoData})
	}
	return out
}

func TestTheMostUrgentGateGivesTheSeverity(t *testing.T) {
	p := shop(t)
	for _, c := range []struct {
		e    reconciler.Entry
		page bool
		want plan.Urgency
	}{
		{reconciler.Entry{Verb: decide.Rollback, Evidence: evidence("plain", "high"), Plan: p}, true, plan.P0},
		{reconciler.Entry{Verb: decide.Rollback, Evidence: evidence("plain"), Plan: p}, true, plan.P1},
		{reconciler.Entry{Verb: decide.Rollback, Evidence: evidence("high")}, true, plan.P1}, // the plan is not known
		{reconciler.Entry{Verb: decide.Halt, Plan: p}, true, plan.P1},
		{reconciler.Entry{Verb: decide.Hold, Reason: decide.Blind, Plan: p}, true, plan.P2},
		{reconciler.Entry{Verb: decide.Hold, Reason: decide.DataKnown, Evidence: evidence("high"), Plan: p}, false, plan.P3},
		{reconciler.Entry{Verb: decide.Advance, Plan: p}, false, plan.P3},
	} {
		if got := notice.Of(p.Key(), c.e, c.page).Severity; got != c.want {
			t.Errorf("%s %s: %s, want %s", c.e.Verb, c.e.Reason, got, c.want)
		}
	}
}

func TestPlansNameReceiversAndTheDaemonThoseOfAll(t *testing.T) {
	p := shop(t)
	n := func(page bool, gate string) notice.Notice {
		return notice.Of(p.Key(), reconciler.Entry{Verb: decide.Rollback, Evidence: evidence(gate), Plan: p}, page)
	}
	p0, p1, p3 := n(true, "high"), n(true, "plain"), n(false, "plain")
	for _, c := range []struct {
		name string
		r    notice.Receiver
		want [3]bool
	}{
		{"named by the plan", notice.Receiver{Name: "team"}, [3]bool{true, false, false}},
		{"not named", notice.Receiver{Name: "other"}, [3]bool{}},
		{"of all plans", notice.Receiver{Name: "other", Default: true}, [3]bool{true, true, true}},
		{"of all plans, some severities", notice.Receiver{Name: "other", Default: true, Severities: []plan.Urgency{plan.P1}}, [3]bool{false, true, false}},
		{"the plan narrows", notice.Receiver{Name: "team", Default: true}, [3]bool{true, false, false}},
		{"the daemon narrows", notice.Receiver{Name: "team", Severities: []plan.Urgency{plan.P2}}, [3]bool{}},
	} {
		if got := [3]bool{c.r.Wants(p0), c.r.Wants(p1), c.r.Wants(p3)}; got != c.want {
			t.Errorf("%s: P0, P1, P3: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestConditionsComeAndGo(t *testing.T) {
	p, now := shop(t), time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	base := reconciler.Status{Key: p.Key(), Plan: p, State: reconciler.StateSteady, Effective: stop}
	with := func(edit func(*reconciler.Status)) reconciler.Status { s := base; edit(&s); return s }
	for _, c := range []struct {
		what, want string
		s          reconciler.Status
	}{
		{"steady", "", base},
		{"breach", "ChangeoverRolledBack P0", with(func(s *reconciler.Status) {
			s.Pending = &decide.Pending{Evidence: evidence("high"), At: now, Message: "high"}
		})},
		{"rolling back", "ChangeoverRolledBack P1", with(func(s *reconciler.Status) { s.Move = &decide.Move{Verb: decide.Rollback} })},
		{"a person lowers", "", with(func(s *reconciler.Status) { s.Move = &decide.Move{Verb: decide.Retreat} })},
		{"held since a minute", "ChangeoverRolledBack P1", with(func(s *reconciler.Status) {
			s.Holds = []decide.HoldOf{{At: now.Add(-time.Minute), Evidence: evidence("plain")}}
		})},
		{"held since two hours", "", with(func(s *reconciler.Status) { s.Holds = []decide.HoldOf{{At: now.Add(-2 * time.Hour)}} })},
		{"halted", "ChangeoverHalted P1", with(func(s *reconciler.Status) { s.Halt = &decide.HaltOf{Reason: decide.VerifyFailed, At: now} })},
		{"frozen", "ChangeoverHalted P0", with(func(s *reconciler.Status) {
			s.Decision = decide.Decision{Verb: decide.Halt, Reason: decide.BreachFrozen, Evidence: evidence("high")}
		})},
		{"blind", "ChangeoverBlind P0", with(func(s *reconciler.Status) { s.Blind = &decide.Blindness{Told: true}; s.Gates = evidence("high") })},
		{"blind for a moment", "", with(func(s *reconciler.Status) { s.Blind = &decide.Blindness{} })},
		{"unverified", "ChangeoverUnverified P2", with(func(s *reconciler.Status) { s.Unverified = true })},
		{"split", "ChangeoverSplitMismatch P2", with(func(s *reconciler.Status) {
			s.Observed.Split, s.State = "30% in place of 50%", reconciler.StateDegraded
		})},
		{"degraded", "ChangeoverDegraded P2", with(func(s *reconciler.Status) { s.State = reconciler.StateDegraded })},
		{"invalid", "ChangeoverInvalid P2", with(func(s *reconciler.Status) { s.State = reconciler.StateInvalid })},
		{"orphaned", "ChangeoverOrphaned P2", with(func(s *reconciler.Status) { s.State = reconciler.StateOrphaned })},
	} {
		var got []string
		for _, k := range notice.Conditions(c.s, now) {
			got = append(got, k.Name+" "+string(k.Severity))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %v, want %s", c.what, got, c.want)
		}
	}
}

func TestRemindersComeOnceAtTheirLeadTimes(t *testing.T) {
	p := shop(t)
	begin := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	s := reconciler.Status{Key: p.Key(), Plan: p, Itinerary: p.Itinerary(), Effective: plan.Position{Phase: "setup"},
		Decision: decide.Decision{Blocks: []decide.Block{{Reason: decide.NotBefore, Message: "later"}, {Reason: decide.ApprovalMissing, Message: "ops has not approved"}}}}
	var titles []string
	ids := map[string]bool{}
	for at := begin.Add(-48 * time.Hour); at.Before(begin.Add(time.Hour)); at = at.Add(7 * time.Minute) {
		for _, n := range notice.Reminders(s, at.Add(-7*time.Minute), at) {
			titles = append(titles, n.Title)
			ids[n.ID] = true
			if n.Receiver != "team" || !strings.Contains(n.Message, "ops has not approved") || strings.Contains(n.Message, "later") {
				t.Errorf("got %+v", n)
			}
			if (notice.Receiver{Name: "other", Default: true}).Wants(n) || !(notice.Receiver{Name: "team"}).Wants(n) {
				t.Error("a reminder goes to whom the plan names, alone")
			}
		}
	}
	want := []string{
		"default/shop: gradual@10 may be entered from Tue 1 Dec 2026 09:00 UTC, 1d from now",
		"default/shop: gradual@10 may be entered from Tue 1 Dec 2026 09:00 UTC, 1h from now",
	}
	if !slices.Equal(titles, want) || len(ids) != 2 {
		t.Errorf("got %d ids and\n%s", len(ids), strings.Join(titles, "\n"))
	}
	s.Effective = stop
	if got := notice.Reminders(s, begin.Add(-72*time.Hour), begin.Add(-time.Minute)); len(got) > 0 {
		t.Errorf("reminded of a stop that was entered: %+v", got)
	}
}
