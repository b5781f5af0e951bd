package plan_test

import (
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

const told = `apiVersion: changeover.dev/v1alpha1
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
    - NOTIFICATION
  phases:
    - name: setup
      routes: [{to: legacy}]
    - name: gradual
      percents: [10, 50]
      NOTBEFORE
      routes: [{to: split}]
      gates:
        EFFECT: [{name: high, expr: "signal.errors > 0.03", SEVERITY}]
`

func toldPlan(notification, notBefore, effect, severity string) string {
	return strings.NewReplacer("NOTIFICATION", notification, "NOTBEFORE", notBefore, "EFFECT", effect, "SEVERITY", severity).Replace(told)
}

func TestNotificationsNameReceiversAndSeverities(t *testing.T) {
	src := toldPlan("{receiver: on-call, severities: [P0, P1], remind: [24h, 1h]}", `notBefore: "2026-12-01T09:00:00Z"`, "rollback", "severity: P0")
	d, problems := plan.Decode("p.yaml", []byte(src))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	n := d.Plan.Spec.Notifications[0]
	if !n.Wants(plan.P1) || n.Wants(plan.P2) || len(n.Remind) != 2 {
		t.Errorf("read %+v", n)
	}
	if got := d.Plan.UrgencyOf(plan.Position{Phase: "gradual", Percent: 50}, plan.Breaches, "high"); got != plan.P0 {
		t.Errorf("the gate's severity is %q", got)
	}
	if got := d.Plan.UrgencyOf(plan.Position{Phase: "gradual", Percent: 50}, plan.Pause, "high"); got != "" {
		t.Errorf("another gate's severity is %q", got)
	}
}

func TestNotificationsThatSayNothingAreRefused(t *testing.T) {
	const before = `notBefore: "2026-12-01T09:00:00Z"`
	for name, c := range map[string]struct{ src, tells string }{
		"severity of a gate": {toldPlan("{receiver: a}", before, "rollback", "severity: P4"), "write one of P0, P1, P2, P3"},
		"empty severity":     {toldPlan("{receiver: a}", before, "rollback", `severity: ""`), "the text is empty"},
		"enter gate":         {toldPlan("{receiver: a}", before, "enter", "severity: P1"), "nobody is paged for it"},
		"severity":           {toldPlan("{receiver: a, severities: [high]}", before, "rollback", "message: m"), "write one of P0, P1, P2, P3"},
		"severity twice":     {toldPlan("{receiver: a, severities: [P1, P1]}", before, "rollback", "message: m"), "already in the list"},
		"receiver":           {toldPlan("{receiver: 'https://hooks.example.com/x'}", before, "rollback", "message: m"), "the name of a receiver"},
		"no receiver":        {toldPlan("{severities: [P1]}", before, "rollback", "message: m"), "receiver"},
		"receiver twice":     {toldPlan("{receiver: a}\n    - {receiver: a}", before, "rollback", "message: m"), "already at line"},
		"no time":            {toldPlan("{receiver: a, remind: [1h]}", "", "rollback", "message: m"), "no phase has a notBefore"},
		"no lead":            {toldPlan("{receiver: a, remind: [0s]}", before, "rollback", "message: m"), "more than 0"},
		"long lead":          {toldPlan("{receiver: a, remind: [91d]}", before, "rollback", "message: m"), "at most 90d"},
	} {
		_, problems := plan.Decode("p.yaml", []byte(c.src))
		var all []string
		for _, p := range problems {
			all = append(all, p.Render())
		}
		if got := strings.Join(all, "\n"); !strings.Contains(got, c.tells) {
			t.Errorf("%s: want %q, got\n%s", name, c.tells, got)
		}
	}
}
