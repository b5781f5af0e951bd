package web

import (
	"fmt"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// place is a stop in words: "gradual 25 %".
func place(p plan.Position) string {
	switch {
	case p.IsZero():
		return "nowhere yet"
	case p.Percent == 0:
		return p.Phase
	}
	return p.Phase + " " + p.Percent.String() + " %"
}

// Doing says in one sentence what the daemon does with the plan.
func Doing(s reconciler.Status) string {
	at := place(s.Effective)
	if m := s.Move; m != nil {
		return moving(*m)
	}
	if p := s.Pending; p != nil {
		return fmt.Sprintf("Traffic is back at %s. The revert is not in Git yet.", at)
	}
	if s.Effective.IsZero() {
		return "Has not entered the first stop yet."
	}
	switch s.State {
	case reconciler.StateComplete:
		return fmt.Sprintf("Complete: the migration is done, at %s.", at)
	case reconciler.StateSuspended:
		return fmt.Sprintf("Suspended at %s: it watches and changes nothing.", at)
	case reconciler.StateHalted:
		return fmt.Sprintf("Halted at %s until a person acts.", at)
	case reconciler.StateQuarantined:
		return fmt.Sprintf("Holds at %s: what Git declares was rolled back.", at)
	case reconciler.StateInvalid:
		return fmt.Sprintf("Holds at %s: the plan's file at the branch's head is not valid.", at)
	case reconciler.StateOrphaned:
		return fmt.Sprintf("Holds at %s: the plan's file is gone from the branch.", at)
	case reconciler.StateDegraded:
		return fmt.Sprintf("Holds at %s, and something is wrong.", at)
	case reconciler.StateSteady:
		return fmt.Sprintf("Stays at %s, as Git declares.", at)
	default:
		return fmt.Sprintf("Holds at %s.", at)
	}
}

func moving(m decide.Move) string {
	from, to := place(m.From), place(m.To)
	switch {
	case m.Verb == decide.Rollback:
		return fmt.Sprintf("Rolls back from %s to %s.", from, to)
	case m.Verb == decide.Retreat:
		return fmt.Sprintf("Goes back from %s to %s, as Git declares.", from, to)
	case m.From.IsZero():
		return fmt.Sprintf("Enters %s.", to)
	case m.From == m.To:
		return fmt.Sprintf("Brings %s to its new content.", to)
	}
	return fmt.Sprintf("Moves from %s to %s.", from, to)
}

// steps of a move for people.
var steps = map[decide.Step]string{
	decide.StepPrepare:  "what the traffic returns to is prepared",
	decide.StepExpand:   "the cluster is given what the stop needs",
	decide.StepHealth:   "the cluster becomes ready",
	decide.StepTraffic:  "the traffic is moved",
	decide.StepContract: "what is not needed any more is taken away",
}

// wait is one thing that a plan waits for.
type wait struct {
	Reason  decide.Reason
	Message string
	Until   time.Time
}

// waits are all that a plan waits for, the move under way first.
func waits(s reconciler.Status) []wait {
	var out []wait
	if s.Waiting != "" {
		out = append(out, wait{Message: s.Waiting})
	} else if m := s.Move; m != nil && steps[m.Step] != "" {
		out = append(out, wait{Message: steps[m.Step]})
	}
	for _, b := range s.Decision.Blocks {
		out = append(out, wait{b.Reason, b.Message, b.Until})
	}
	return out
}

// foremost puts what a plan is held for first among what it waits for, and reports
// whether it is among it.
func foremost(all []wait, why decide.Reason) bool {
	i := slices.IndexFunc(all, func(w wait) bool { return w.Reason == why })
	if i > 0 {
		first := all[i]
		copy(all[1:i+1], all[:i])
		all[0] = first
	}
	return i >= 0
}

// effects of gates for people: what one is for, and what it does now.
var effects = map[plan.Effect]string{
	plan.Enter: "before entering", plan.Advance: "before leaving", plan.Pause: "pauses", plan.Breaches: "rolls back", plan.Verify: "verifies a rollback",
}

// gateSays is why a gate blocks, or that it does not.
func gateSays(r gates.Result) string {
	stop := place(r.Stop)
	switch r.Verdict {
	case gates.NoData:
		if alarm(r) {
			return "Not known: it can neither pause nor roll back, and nothing moves forward meanwhile."
		}
		return "Not known, which is never a pass."
	case gates.Error:
		return "It could not be evaluated, which is never a pass."
	case gates.Pass, gates.Fail:
	}
	yes := r.Verdict == gates.Pass
	switch r.Effect {
	case plan.Enter:
		return choose(yes, "Lets "+stop+" be entered.", "Blocks: must be true before "+stop+" is entered.")
	case plan.Advance:
		return choose(yes, "Lets the plan leave "+stop+".", "Blocks: must be true before the plan leaves "+stop+".")
	case plan.Pause:
		return choose(yes, "Blocks: nothing moves forward while it is true.", "Would pause if it were true.")
	case plan.Breaches:
		return choose(yes, "Breached: the plan goes back.", "Would roll back if it were true.")
	case plan.Verify:
		return choose(yes, "The rollback did what it should.", "Not true yet after the rollback.")
	case plan.Succeeds: // for reports alone
	}
	return ""
}

func choose(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

// blocking reports whether a gate keeps a plan from going forward.
func blocking(r gates.Result) bool {
	if alarm(r) {
		return r.Verdict != gates.Fail
	}
	return r.Verdict != gates.Pass
}

// need is how much a plan needs a person, worst first.
type need int

const (
	needsPerson need = iota
	underWay
	calm
)

// needOf sorts a plan into the list.
func needOf(s reconciler.Status) need {
	switch s.State {
	case reconciler.StateSteady, reconciler.StateComplete:
		if s.Error == "" && s.GitError == "" && len(s.Problems) == 0 && (s.Blind == nil || !s.Blind.Told) {
			return calm
		}
		return needsPerson
	case reconciler.StateProgressing, reconciler.StateWaiting, reconciler.StateSuspended, "":
		if s.Error != "" || s.Blind != nil && s.Blind.Told {
			return needsPerson
		}
		return underWay
	case reconciler.StateRollingBack, reconciler.StateRolledBackUnpushed, reconciler.StateQuarantined, reconciler.StateHalted,
		reconciler.StateInvalid, reconciler.StateOrphaned, reconciler.StateDegraded:
	}
	return needsPerson
}
