package web_test

import (
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/web"
)

func TestAdviceNamesTheCommandThatHelps(t *testing.T) {
	for reason, want := range map[decide.Reason]string{
		decide.Suspended: "spec.suspend to false", decide.Invalid: "changeover validate plans/shop.yaml",
		decide.BreachFrozen: "changeover resume default/shop", decide.TooManyRollbacks: "changeover resume default/shop",
		decide.Manual: "changeover advance default/shop", decide.GateNoData: "changeover gates default/shop",
		decide.GateFailed: "changeover rollback default/shop", decide.Steady: "The next stop is gradual@25",
		decide.Baking: "Nothing.", decide.GitStale: "Git remote", decide.NotHealthy: "gateway 2 of 4 workers",
	} {
		s := waiting()
		s.Decision.Reason = reason
		s.Observed.Gateway = decide.Part{Known: true, Message: "2 of 4 workers"}
		if got := strings.Join(web.Advice(s), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s: advice %q lacks %q", reason, got, want)
		}
	}
}

func TestAdviceOnAHoldARefusedPushAndAHalt(t *testing.T) {
	s := waiting()
	s.Decision.Reason = decide.Quarantined
	s.Holds = []decide.HoldOf{{Commit: "abcdef0123456789"}}
	wantAll(t, strings.Join(web.Advice(s), "\n"), "changeover unhold default/shop abcdef0123", "raise the position")
	s.Pending = &decide.Pending{Branch: "changeover/rollback-shop-abc"}
	wantAll(t, web.Advice(s)[0], "Merge changeover/rollback-shop-abc")
	s.Pending = &decide.Pending{Error: "no route to host"}
	wantAll(t, web.Advice(s)[0], "no route to host", "keeps trying")
	s.Halt = &decide.HaltOf{Reason: decide.HistoryRewritten}
	wantAll(t, strings.Join(web.Advice(s), "\n"), "rewritten", "nothing moves forward", "changeover resume default/shop")
}

func TestAdviceToWhoWasPagedForBlindness(t *testing.T) {
	s := waiting()
	s.Blind = &decide.Blindness{Stop: stops[1], Since: now}
	if got := strings.Join(web.Advice(s), "\n"); got != "Nothing." {
		t.Errorf("before anybody was told: %s", got)
	}
	s.Blind.Told = true
	wantAll(t, web.Advice(s)[0], "no data", "changeover gates default/shop")
}

func TestAWarningIsNoInvalidPlan(t *testing.T) {
	s := waiting()
	s.Problems = []plan.Problem{{File: "plans/approvals/shop/ann.yaml", Severity: plan.SeverityWarning, Code: "position", Message: "no stop"}}
	if got := strings.Join(web.Advice(s), "\n"); strings.Contains(got, "does not validate") {
		t.Errorf("got %s", got)
	}
	s.Problems[0].Severity = plan.SeverityError
	wantAll(t, web.Advice(s)[0], "does not validate")
}

func TestVerdictsOfAlarmsAreNotCalledPass(t *testing.T) {
	for _, tc := range []struct {
		effect  plan.Effect
		verdict gates.Verdict
		want    string
	}{
		{plan.Advance, gates.Pass, "Pass"}, {plan.Enter, gates.Fail, "Fail"}, {plan.Pause, gates.Pass, "Breach"},
		{plan.Breaches, gates.Pass, "Breach"}, {plan.Breaches, gates.Fail, "Quiet"}, {plan.Breaches, gates.NoData, "NoData"}, {plan.Pause, gates.Error, "Error"},
	} {
		if got := web.VerdictWord(gates.Result{Key: gates.Key{Effect: tc.effect}, Verdict: tc.verdict}); got != tc.want {
			t.Errorf("%s %s: %s, want %s", tc.effect, tc.verdict, got, tc.want)
		}
	}
}

func TestSpanShowsTheTwoUnitsThatMatter(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 150 * time.Second: "2m30s", 45 * time.Minute: "45m",
		3 * time.Hour: "3h", 5*time.Hour + 10*time.Minute: "5h10m", 76 * time.Hour: "3d4h", 30 * 24 * time.Hour: "30d",
	} {
		if got := web.Span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestAdviceIsNeverNothingWhereAnAttemptFailed(t *testing.T) {
	moving, drifting := waiting(), waiting()
	moving.Decision.Reason = decide.Resuming
	moving.Move = &decide.Move{Verb: decide.Advance, Attempts: 6, Error: "test config: unknown directive"}
	drifting.Decision.Reason, drifting.Error = decide.Steady, "save the record: no space left on device"
	for name, s := range map[string]reconciler.Status{"a move": moving, "what is kept as it is": drifting} {
		got := strings.Join(web.Advice(s), "\n")
		wantAll(t, got, "The last attempt failed", "mend the cause")
		if strings.Contains(got, "Nothing") || strings.Contains(got, "changeover advance") {
			t.Errorf("%s: %q speaks as if nothing were wrong", name, got)
		}
	}
}

func TestAdviceAfterARollbackIsNotToAdvance(t *testing.T) {
	s := waiting()
	s.Decision.Reason = decide.Steady
	s.Holds = []decide.HoldOf{{Commit: "1111111111111111"}, {Commit: "abcdef0123456789"}}
	got := strings.Join(web.Advice(s), "\n")
	wantAll(t, got, "abcdef0123 was rolled back", "Mend the cause")
	if strings.Contains(got, "Nothing") || strings.Contains(got, "changeover advance") {
		t.Errorf("%q sends people forward again", got)
	}
}
