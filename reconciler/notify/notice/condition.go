package notice

import (
	"cmp"
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Condition is something that holds for a plan, and for which a person must look
// until it is over. A condition is told by Name and plan: of each plan there is
// at most one of a name.
type Condition struct {
	Name     string // as in alerts: ChangeoverRolledBack
	Key      plan.Key
	Source   string
	Severity plan.Urgency
	Summary  string // one line without a clock
	Message  string
	Since    time.Time // zero: not known
	// quiet: the history says by itself when it is over.
	quiet bool
	plan  *plan.Plan
}

// ID tells conditions apart.
func (c Condition) ID() string { return c.Source + "\x00" + c.Key.String() + "\x00" + c.Name }

// WantsAlert reports whether the receiver is told of the condition.
func (r Receiver) WantsAlert(c Condition) bool { return r.wants(c.plan, c.Severity) }

// recent is for how long after a rollback people are kept told, where the plan
// has not gone forward since: its commits are held for longer.
const recent = time.Hour

// Conditions of a plan, in a fixed order. The same status gives the same ones
// after a restart of the daemon too.
func Conditions(s reconciler.Status, now time.Time) []Condition {
	var out []Condition
	add := func(name string, u plan.Urgency, quiet bool, since time.Time, summary, message string) {
		out = append(out, Condition{Name: "Changeover" + name, Key: s.Key, Source: s.Source, Severity: u, Summary: s.Key.String() + ": " + summary,
			Message: cmp.Or(message, s.Decision.Message, s.Error), Since: since, quiet: quiet, plan: s.Plan})
	}
	if at, why, evidence, on := rolledBack(s, now); on {
		add("RolledBack", worst(s, evidence, plan.P1), false, at, "rolled back to "+orNone(s.Effective), why)
	}
	if s.Halt != nil {
		add("Halted", plan.P1, false, s.Halt.At, fmt.Sprintf("halted (%s): a person must look", s.Halt.Reason), s.Halt.Message)
	} else if s.Decision.Verb == decide.Halt {
		add("Halted", worst(s, s.Decision.Evidence, plan.P1), false, time.Time{}, fmt.Sprintf("halted (%s): a person must look", s.Decision.Reason), s.Decision.Message)
	}
	if s.Blind != nil && s.Blind.Told {
		add("Blind", worst(s, unknown(s.Gates), plan.P2), true, s.Blind.Since, "gates of "+orNone(s.Effective)+" have no data", "")
	}
	if s.Unverified {
		add("Unverified", plan.P2, true, time.Time{}, "the branch's head is not signed as it must be, and not taken up", s.GitError)
	}
	if s.Observed.Split != "" {
		add("SplitMismatch", plan.P2, true, time.Time{}, "requests are not split as declared", s.Observed.Split)
	}
	switch s.State {
	case reconciler.StateDegraded:
		if s.Observed.Split == "" {
			add("Degraded", plan.P2, false, time.Time{}, "degraded at "+orNone(s.Effective), cmp.Or(s.Error, s.Waiting, s.Observed.Gateway.Message, s.Observed.Cluster.Message))
		}
	case reconciler.StateInvalid:
		add("Invalid", plan.P2, false, time.Time{}, "the plan's file at the branch's head is not valid", "")
	case reconciler.StateOrphaned:
		add("Orphaned", plan.P2, false, time.Time{}, "the plan's file is gone from the branch", "")
	default:
	}
	return out
}

// rolledBack reports a rollback that is under way, whose revert has yet to land,
// or that is recent.
func rolledBack(s reconciler.Status, now time.Time) (at time.Time, why string, evidence gates.Results, on bool) {
	if m := s.Move; m != nil && m.Verb == decide.Rollback {
		at, on = m.Started, true
	}
	if n := len(s.Holds); n > 0 {
		newest := s.Holds[n-1]
		evidence = newest.Evidence
		if now.Sub(newest.At) < recent {
			at, on = newest.At, true
		}
	}
	if p := s.Pending; p != nil {
		at, why, evidence, on = p.At, p.Message, p.Evidence, true
	}
	return at, why, evidence, on
}

func unknown(rs gates.Results) (out gates.Results) {
	for _, r := range rs {
		if r.Verdict == gates.NoData || r.Verdict == gates.Error {
			out = append(out, r)
		}
	}
	return out
}

// worst is the severity of the most urgent gate; or, where none has one.
func worst(s reconciler.Status, evidence gates.Results, or plan.Urgency) plan.Urgency {
	return cmp.Or(mostUrgent(s.Plan, evidence), or)
}

// Over is the notice that a condition is over. None is needed where the plan's
// history says so.
func Over(c Condition, now time.Time) (Notice, bool) {
	n := Notice{
		Kind: Resolved, Key: c.Key, Source: c.Source, Severity: c.Severity, Reason: c.Name, At: now, plan: c.plan,
		Title: "over: " + c.Summary, Message: "It was: " + c.Message,
	}
	n.ID = id(n, now.UTC().Format(time.RFC3339Nano))
	return n, !c.quiet
}
