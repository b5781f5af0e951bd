package record

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// The types of conditions.
const (
	condReady       = "Ready"       // the plan is where Git wants it, and serves
	condProgressing = "Progressing" // it moves, or goes on by itself once it may
	condDegraded    = "Degraded"    // something failed, or a person must act
	condBlind       = "Blind"       // a gate had no data for too long
	condInvalid     = "Invalid"     // the plan's file at head cannot be used
	condSticky      = "Sticky"      // a caller stays on one side
)

// conditions makes those of a plan. LastTransitionTime moves only where the
// status differs from that of the previous condition of the type.
func conditions(previous []metav1.Condition, s reconciler.Status, generation int64, now time.Time) []metav1.Condition {
	all := []metav1.Condition{ready(s), progressing(s), degraded(s), blind(s), invalid(s)}
	if c, ok := sticky(previous, s); ok {
		all = append(all, c)
	}
	for i := range all {
		c := &all[i]
		c.Message = clip(c.Message)
		c.Reason = cmp.Or(c.Reason, "Unknown")
		c.ObservedGeneration = generation
		c.LastTransitionTime = metav1.NewTime(now.Truncate(time.Second))
		if old := find(previous, c.Type); old != nil && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
	}
	return all
}

func find(all []metav1.Condition, kind string) *metav1.Condition {
	i := slices.IndexFunc(all, func(c metav1.Condition) bool { return c.Type == kind })
	if i < 0 {
		return nil
	}
	return &all[i]
}

func condition(kind string, is bool, reason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if is {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// why is the reason of the last decision, or what is known in its place.
func why(s reconciler.Status) string { return cmp.Or(string(s.Decision.Reason), string(s.State)) }

func ready(s reconciler.Status) metav1.Condition {
	at := s.State == reconciler.StateSteady || s.State == reconciler.StateComplete
	if at && s.Error != "" {
		return condition(condReady, false, "Failed", s.Error)
	}
	return condition(condReady, at, why(s), cmp.Or(s.Waiting, s.Decision.Message))
}

func progressing(s reconciler.Status) metav1.Condition {
	moves := s.Move != nil
	switch s.State {
	case reconciler.StateProgressing, reconciler.StateRollingBack, reconciler.StateRolledBackUnpushed:
		moves = true
	case reconciler.StateWaiting:
		moves = s.Decision.Reason != decide.Manual // a person has to name the phase
	case reconciler.StateSuspended:
		moves = false // also one that was begun
	default:
	}
	if !moves {
		return condition(condProgressing, false, why(s), "nothing is under way")
	}
	return condition(condProgressing, true, why(s), cmp.Or(s.Waiting, s.Decision.Message))
}

func degraded(s reconciler.Status) metav1.Condition {
	switch {
	case s.State == reconciler.StateHalted && s.Halt != nil:
		return condition(condDegraded, true, string(s.Halt.Reason), s.Halt.Message)
	case s.State == reconciler.StateHalted:
		return condition(condDegraded, true, why(s), s.Decision.Message)
	case s.Error != "":
		return condition(condDegraded, true, "Failed", s.Error)
	case s.State == reconciler.StateDegraded && s.Move != nil && s.Move.Error != "":
		return condition(condDegraded, true, "Failed", s.Move.Error)
	case s.State == reconciler.StateDegraded:
		var parts []string
		for _, part := range []decide.Part{s.Observed.Cluster, s.Observed.Gateway} {
			if part.Known && !part.Healthy && part.Message != "" {
				parts = append(parts, part.Message)
			}
		}
		if len(parts) == 0 && s.Observed.Split != "" {
			return condition(condDegraded, true, string(decide.SplitMismatch), s.Observed.Split)
		}
		return condition(condDegraded, true, string(decide.NotHealthy), cmp.Or(strings.Join(parts, "; "), s.Waiting, s.Decision.Message))
	case s.Unverified:
		return condition(condDegraded, true, string(decide.Unverified), s.GitError)
	}
	return condition(condDegraded, false, "AsExpected", "nothing failed")
}

// blind is true from when a person is paged until the gates are known again: the
// daemon's record says so, also after a restart.
func blind(s reconciler.Status) metav1.Condition {
	if s.Blind == nil || !s.Blind.Told {
		return condition(condBlind, false, string(decide.DataKnown), "no gate is without data for too long")
	}
	return condition(condBlind, true, string(decide.GateNoData),
		fmt.Sprintf("at %s since %s: %s", s.Blind.Stop, s.Blind.Since.UTC().Format(time.RFC3339), cmp.Or(decide.Unseen(s.Unknown()), "gates are not known")))
}

func invalid(s reconciler.Status) metav1.Condition {
	var problems []plan.Problem
	for _, p := range s.Problems {
		if p.Severity != plan.SeverityWarning {
			problems = append(problems, p)
		}
	}
	switch {
	case len(problems) > 0:
		p := problems[0]
		m := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
		if n := len(problems); n > 1 {
			m += fmt.Sprintf(" (and %d more)", n-1)
		}
		return condition(condInvalid, true, string(decide.Invalid), m)
	case s.State == reconciler.StateInvalid:
		return condition(condInvalid, true, string(decide.Invalid), s.Decision.Message)
	}
	return condition(condInvalid, false, "Valid", "the plan's file can be used")
}

// sticky is shown for gateways that split at random: there is no say in which
// side a caller gets.
func sticky(previous []metav1.Condition, s reconciler.Status) (metav1.Condition, bool) {
	if s.Plan == nil {
		if old := find(previous, condSticky); old != nil {
			return *old, true
		}
		return metav1.Condition{}, false
	}
	if g := s.Plan.Spec.Gateway; g == nil || g.GatewayAPI == nil || g.Bridged() {
		return metav1.Condition{}, false
	}
	return condition(condSticky, false, "RandomPerRequest", "the Gateway API splits each request anew: a caller does not stay on one side"), true
}
