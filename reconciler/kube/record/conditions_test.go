package record

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

func TestConditionsTellTheStatus(t *testing.T) {
	type is map[string]string // by type: status and reason; what is not named is False
	gatewayAPI := &plan.Plan{Spec: plan.Spec{Gateway: &plan.Gateway{GatewayAPI: &plan.GatewayAPIGateway{}}}}
	nginx := &plan.Plan{Spec: plan.Spec{Gateway: &plan.Gateway{NGINX: &plan.NGINXGateway{}}}}
	ill := decide.Observed{Gateway: decide.Part{Known: true, Message: "nginx serves another config"}}
	d := func(r decide.Reason) decide.Decision {
		return decide.Decision{Reason: r, Message: "because of " + string(r)}
	}
	for name, c := range map[string]struct {
		s        reconciler.Status
		want     is
		messages map[string]string
	}{
		"steady":   {reconciler.Status{State: reconciler.StateSteady, Decision: d(decide.Steady)}, is{"Ready": "True Steady"}, nil},
		"complete": {reconciler.Status{State: reconciler.StateComplete, Decision: d(decide.Completed)}, is{"Ready": "True Completed"}, nil},
		"baking": {reconciler.Status{State: reconciler.StateWaiting, Decision: d(decide.Baking)},
			is{"Ready": "False Baking", "Progressing": "True Baking"}, map[string]string{"Ready": "because of Baking", "Progressing": "because of Baking"}},
		"a person must name the phase": {reconciler.Status{State: reconciler.StateWaiting, Decision: d(decide.Manual)}, is{"Progressing": "False Manual"}, nil},
		"a move": {reconciler.Status{State: reconciler.StateProgressing, Decision: d(decide.GatesPassed), Move: &decide.Move{}, Waiting: "Deployment is not ready"},
			is{"Progressing": "True GatesPassed"}, map[string]string{"Progressing": "Deployment is not ready"}},
		"rolling back": {reconciler.Status{State: reconciler.StateRollingBack, Decision: d(decide.Breach), Move: &decide.Move{}}, is{"Progressing": "True Breach"}, nil},
		"unpushed":     {reconciler.Status{State: reconciler.StateRolledBackUnpushed, Decision: d(decide.Quarantined)}, is{"Progressing": "True Quarantined"}, nil},
		"quarantined":  {reconciler.Status{State: reconciler.StateQuarantined, Decision: d(decide.Quarantined)}, is{"Ready": "False Quarantined", "Progressing": "False Quarantined"}, nil},
		"suspended":    {reconciler.Status{State: reconciler.StateSuspended, Decision: d(decide.Suspended), Move: &decide.Move{}}, is{"Progressing": "False Suspended"}, nil},
		"orphaned":     {reconciler.Status{State: reconciler.StateOrphaned, Decision: d(decide.Orphaned)}, is{"Ready": "False Orphaned"}, nil},
		"halted": {reconciler.Status{State: reconciler.StateHalted, Decision: d(decide.Halted), Halt: &decide.HaltOf{Reason: decide.BreachFrozen, Message: "errors are high"}},
			is{"Ready": "False Halted", "Degraded": "True BreachFrozen"}, map[string]string{"Degraded": "errors are high"}},
		"a halt that is just decided": {reconciler.Status{State: reconciler.StateHalted, Decision: d(decide.HistoryRewritten)}, is{"Degraded": "True HistoryRewritten"}, nil},
		"an effect failed": {reconciler.Status{State: reconciler.StateDegraded, Decision: d(decide.Resuming), Move: &decide.Move{Error: "reload nginx"}},
			is{"Progressing": "True Resuming", "Degraded": "True Failed"}, map[string]string{"Degraded": "reload nginx"}},
		"the split is not as declared": {reconciler.Status{State: reconciler.StateDegraded, Decision: d(decide.Steady), Observed: decide.Observed{Split: "all went to legacy"}},
			is{"Ready": "False Steady", "Degraded": "True SplitMismatch"}, map[string]string{"Degraded": "all went to legacy"}},
		"the gateway is ill": {reconciler.Status{State: reconciler.StateDegraded, Decision: d(decide.Steady), Observed: ill},
			is{"Ready": "False Steady", "Degraded": "True NotHealthy"}, map[string]string{"Degraded": "nginx serves another config"}},
		"steady with an error": {reconciler.Status{State: reconciler.StateSteady, Decision: d(decide.Steady), Error: "save the record: no space"},
			is{"Ready": "False Failed", "Degraded": "True Failed"}, map[string]string{"Ready": "save the record: no space"}},
		"a head that is not signed": {reconciler.Status{State: reconciler.StateSteady, Decision: d(decide.Steady), Unverified: true, GitError: "it is not signed"},
			is{"Ready": "True Steady", "Degraded": "True Unverified"}, map[string]string{"Degraded": "it is not signed"}},
		"a revert waits for such a head": {reconciler.Status{State: reconciler.StateRolledBackUnpushed, Decision: d(decide.Quarantined), Unverified: true, GitError: "it is not signed"},
			is{"Progressing": "True Quarantined", "Degraded": "True Unverified"}, map[string]string{"Degraded": "it is not signed"}},
		"invalid": {reconciler.Status{State: reconciler.StateInvalid, Decision: d(decide.Invalid),
			Problems: []plan.Problem{{Severity: plan.SeverityWarning}, {File: "a.yaml", Line: 3, Column: 7, Severity: plan.SeverityError, Message: "unknown field", Source: "secret"}, {}}},
			is{"Ready": "False Invalid", "Invalid": "True Invalid"}, map[string]string{"Invalid": "a.yaml:3:7: unknown field (and 1 more)"}},
		"invalid without a file": {reconciler.Status{State: reconciler.StateInvalid, Decision: d(decide.Invalid)}, is{"Invalid": "True Invalid"}, nil},
		"a warning":              {reconciler.Status{State: reconciler.StateSteady, Problems: []plan.Problem{{Severity: plan.SeverityWarning}}}, is{"Ready": "True Steady"}, nil},
		"the Gateway API":        {reconciler.Status{State: reconciler.StateSteady, Plan: gatewayAPI}, is{"Ready": "True Steady", "Sticky": "False RandomPerRequest"}, nil},
		"nginx":                  {reconciler.Status{State: reconciler.StateSteady, Plan: nginx}, is{"Ready": "True Steady"}, nil},
		"nothing is known":       {reconciler.Status{}, is{"Ready": "False Unknown"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := conditions(nil, c.s, 5, noon)
			for kind, want := range c.want {
				if g := find(got, kind); g == nil || string(g.Status)+" "+g.Reason != want {
					t.Errorf("%s is %+v, want %s", kind, g, want)
				}
			}
			for kind, want := range c.messages {
				if g := find(got, kind); g == nil || g.Message != want {
					t.Errorf("message of %s is %+v, want %q", kind, g, want)
				}
			}
			var kinds []string
			for _, g := range got {
				kinds = append(kinds, g.Type)
				if c.want[g.Type] == "" && g.Status != metav1.ConditionFalse {
					t.Errorf("%s is %s", g.Type, g.Status)
				}
				if g.ObservedGeneration != 5 || g.Reason == "" || g.Message == "" && c.s.State != "" && c.s.Decision.Message != "" || strings.Contains(g.Message, "secret") {
					t.Errorf("%s lacks something: %+v", g.Type, g)
				}
			}
			want := []string{"Ready", "Progressing", "Degraded", "Blind", "Invalid"}
			if c.want["Sticky"] != "" {
				want = append(want, "Sticky")
			}
			if diff := cmp.Diff(want, kinds); diff != "" {
				t.Errorf("types (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTransitionTimesMoveOnlyWhereAStatusFlips(t *testing.T) {
	s := reconciler.Status{State: reconciler.StateWaiting, Decision: decide.Decision{Reason: decide.Baking, Message: "a"}}
	first := conditions(nil, s, 1, noon)
	s.Decision = decide.Decision{Reason: decide.GateFailed, Message: "b"}
	second := conditions(first, s, 2, noon.Add(time.Hour))
	s.State = reconciler.StateSteady
	third := conditions(second, s, 2, noon.Add(2*time.Hour))
	for _, kind := range []string{"Ready", "Progressing", "Degraded", "Blind", "Invalid"} {
		a, b, c := find(first, kind), find(second, kind), find(third, kind)
		if !b.LastTransitionTime.Equal(&a.LastTransitionTime) {
			t.Errorf("%s: the time moved with the reason", kind)
		}
		flipped := kind == "Ready" || kind == "Progressing"
		if moved := !c.LastTransitionTime.Equal(&b.LastTransitionTime); moved != flipped {
			t.Errorf("%s: the time moved: %v, want %v", kind, moved, flipped)
		}
		if flipped && !c.LastTransitionTime.Time.Equal(noon.Add(2*time.Hour).Truncate(time.Second)) {
			t.Errorf("%s: flipped at %s", kind, c.LastTransitionTime)
		}
	}
	if b := find(second, "Ready"); b.ObservedGeneration != 2 || b.Reason != "GateFailed" || b.Message != "b" {
		t.Errorf("Ready is stale: %+v", b)
	}
}

func TestAPlanThatIsGoneKeepsWhatItsGatewayWas(t *testing.T) {
	before := []metav1.Condition{{Type: "Sticky", Status: "False", Reason: "RandomPerRequest", Message: "m"}}
	if c := find(conditions(before, reconciler.Status{State: reconciler.StateOrphaned}, 1, noon), "Sticky"); c == nil || c.Reason != "RandomPerRequest" {
		t.Errorf("Sticky is %+v", c)
	}
}

func result(name string, v gates.Verdict) gates.Result {
	return gates.Result{Key: gates.Key{Stop: at10, Effect: plan.Breaches, Name: name}, Verdict: v}
}

func TestBlindIsWhatTheRecordSays(t *testing.T) {
	since := &decide.Blindness{Stop: at10, Since: noon}
	told := &decide.Blindness{Stop: at10, Since: noon, Told: true}
	without := gates.Results{result("errors", gates.NoData), result("latency", gates.Pass), result("up", gates.Error)}
	without[0].Detail = "errors: no series"
	const stamp = "2026-03-01T12:00:00Z"
	for name, c := range map[string]struct {
		s                       reconciler.Status
		status, reason, message string
	}{
		"nothing":                   {reconciler.Status{}, "False", "DataKnown", "no gate is without data for too long"},
		"not for long":              {reconciler.Status{Effective: at10, Gates: without, Blind: since}, "False", "DataKnown", "no gate is without data for too long"},
		"for long":                  {reconciler.Status{Effective: at10, Gates: without, Blind: told}, "True", "GateNoData", "at gradual@10 since " + stamp + ": rollback gate errors (errors: no series); rollback gate up (cannot be evaluated)"},
		"after a restart":           {reconciler.Status{Effective: at10, Blind: told}, "True", "GateNoData", "at gradual@10 since " + stamp + ": gates are not known"},
		"on the way to another one": {reconciler.Status{Effective: at25, Gates: without, Blind: told}, "True", "GateNoData", "at gradual@10 since " + stamp + ": gates are not known"},
	} {
		p := &object{}
		must(t, p.setStatus(c.s, noon))
		b := find(p.status.Conditions, "Blind")
		if string(b.Status) != c.status || b.Reason != c.reason || b.Message != c.message {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

func TestNumbersAreMasked(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "errors is 0.071, 12 samples": "errors is #, # samples", "a.b": "a.b", "1.": "#", "gradual@12.5": "gradual@#", "ü1ü": "ü#ü",
	} {
		if got := masked(in); got != want {
			t.Errorf("masked(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTextsAreCutAtAWholeCharacter(t *testing.T) {
	for _, n := range []int{0, maxText - 1, maxText, maxText + 1, 3 * maxText} {
		for _, c := range []string{"a", "ü", "€", "😀"} {
			s := strings.Repeat(c, n)
			got := clip(s)
			if len(got) > maxText || strings.ToValidUTF8(got, "") != got || len(s) <= maxText && got != s {
				t.Errorf("clip of %d %q has %d bytes", n, c, len(got))
			}
		}
	}
}
