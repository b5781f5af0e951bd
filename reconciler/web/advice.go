package web

import (
	"fmt"
	"strings"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// alarm reports whether true is what nobody wants of the gate.
func alarm(r gates.Result) bool { return r.Effect == plan.Pause || r.Effect == plan.Breaches }

// VerdictWord is the verdict in the words of the gate's effect: a pause or
// rollback gate whose expression is true is a breach, not a pass.
func VerdictWord(r gates.Result) string {
	switch {
	case r.Verdict == gates.Pass && alarm(r):
		return "Breach"
	case r.Verdict == gates.Fail && alarm(r):
		return "Quiet"
	}
	return string(r.Verdict)
}

// Why is the reason that matters to people, and its message: a halt stands
// until a person acts, whatever was decided since.
func Why(s reconciler.Status) (decide.Reason, string) {
	if s.Halt != nil {
		return s.Halt.Reason, s.Halt.Message
	}
	return s.Decision.Reason, s.Decision.Message
}

// Advice says what a person can do now, in whole sentences, most important
// first. It is never empty: where nothing is to be done it says so.
func Advice(s reconciler.Status) []string {
	var out []string
	if s.Error != "" || s.Move != nil && s.Move.Error != "" {
		out = append(out, "The last attempt failed, and the error says why. It is tried again by itself; mend the cause.")
	}
	switch {
	case s.Unverified:
		out = append(out, fmt.Sprintf("The branch's head is not taken up (%s). See who made that commit and whether it is meant. If it is: put a commit signed by a trusted key on top (--verify head), "+
			"or put its key into the file of trusted keys, which needs no restart. If not: revert it. Going back works meanwhile; reverts reach the branch after that.", s.GitError))
	case s.GitError != "" && s.Decision.Reason != decide.GitStale:
		out = append(out, fmt.Sprintf("Git could not be read at the last try (%s). What was last read stays in force, and going back works; see that the host is up and the credentials are good.", s.GitError))
	}
	if s.Pending != nil {
		out = append(out, pendingAdvice(s))
	}
	if s.Blind != nil && s.Blind.Told {
		out = append(out, fmt.Sprintf("Gates have had no data for too long, so nothing would go back by them. `changeover gates %s` shows which; see that Prometheus is up and has their series.", s.Key))
	}
	if plan.HasErrors(s.Problems) && s.Decision.Reason != decide.Invalid {
		out = append(out, invalidAdvice(s))
	}
	if s.Halt != nil {
		return append(out, haltAdvice(s, s.Halt.Reason)...)
	}
	if s.Observed.Split != "" {
		out = append(out, fmt.Sprintf("Requests do not go where %s sends them. See what the gateway serves, and look for another route, proxy or cache before it. To go back: `changeover rollback %s --reason TEXT`.", s.Effective, s.Key))
	}
	if out = append(out, reasonAdvice(s)...); len(out) == 0 {
		out = append(out, "Nothing.")
	}
	return out
}

func pendingAdvice(s reconciler.Status) string {
	p := s.Pending
	if p.Branch != "" {
		return fmt.Sprintf("The branch refused the revert. Merge %s into the watched branch; until then Git declares %s and traffic stays at %s.", p.Branch, s.Declared, s.Effective)
	}
	if p.Error != "" {
		return fmt.Sprintf("The revert is not in Git yet (%s). The daemon keeps trying; see that the Git host is up and that it may push.", p.Error)
	}
	return "The revert is being pushed; nothing to do."
}

func invalidAdvice(s reconciler.Status) string {
	return fmt.Sprintf("The plan's file at the branch's head does not validate; the last valid revision governs and nothing moves forward. Mend it: `changeover validate %s`.", s.Path)
}

func haltAdvice(s reconciler.Status, why decide.Reason) []string {
	resume := fmt.Sprintf("To let it go forward again once that is settled: `changeover resume %s --reason TEXT`, or commit another position.", s.Key)
	back := fmt.Sprintf("To go back: `changeover rollback %s --reason TEXT`.", s.Key)
	switch why {
	case decide.HistoryRewritten:
		return []string{"The watched branch was rewritten and lost commits that the daemon had seen. See that the branch declares what you want; nothing moves forward meanwhile.", resume}
	case decide.StateMismatch:
		return []string{"What the data plane serves is not what the record says, and no move explains it. Find out who changed it.", resume}
	case decide.RevertMismatch, decide.NothingToUndo:
		return []string{"The daemon could not undo the change in Git by itself. Lower the position by a commit.", resume}
	default:
		return []string{back, resume}
	}
}

// reasonAdvice is by the reason of the decision; empty where nobody is needed,
// such as while it waits for time or for a move under way.
func reasonAdvice(s reconciler.Status) []string {
	key := s.Key.String()
	switch s.Decision.Reason {
	case decide.Suspended:
		return []string{"Set spec.suspend to false in Git to let the plan act again."}
	case decide.Orphaned:
		return []string{"The plan's file is gone from the branch. Bring it back to go on; until then nothing is changed or pruned."}
	case decide.Invalid:
		return []string{invalidAdvice(s)}
	case decide.Quarantined:
		if s.Pending != nil {
			return nil
		}
		return quarantineAdvice(s)
	case decide.OffItinerary:
		return []string{fmt.Sprintf("The stop in effect, %s, is not on the declared itinerary. Put it back into the plan, or lower the position to a stop that it has.", s.Effective)}
	case decide.BreachFrozen, decide.Halted, decide.TooManyRollbacks, decide.HistoryRewritten, decide.StateMismatch, decide.RevertMismatch, decide.NothingToUndo:
		return haltAdvice(s, s.Decision.Reason)
	case decide.GatewayChanged:
		return []string{"The plan names another gateway. Lower the position to the first stop, where no traffic is on modern, and it is taken up there; or name the old one again."}
	case decide.GitStale:
		if s.Unverified {
			return nil
		}
		return []string{"The daemon cannot read the Git remote. See that the host is up and the credentials are good; going back works meanwhile."}
	case decide.Manual:
		return []string{fmt.Sprintf("The next phase is entered by hand only: `changeover advance %s` names it in Git.", key)}
	case decide.ApprovalMissing:
		return []string{fmt.Sprintf("Who may approve the next stop does it by `changeover approve %s --role ROLE`.", key)}
	case decide.ChecklistOpen:
		return []string{fmt.Sprintf("Who did what the checklist asks says so: `changeover approve %s --role ROLE --item TEXT`, or `--all-items`.", key)}
	case decide.GateNoData, decide.GateError:
		return []string{fmt.Sprintf("A signal that the next stop needs is not known. `changeover gates %s` names it; ask its query in Prometheus.", key)}
	case decide.Paused, decide.GateFailed, decide.Breaching:
		return []string{fmt.Sprintf("The gates do not allow the next stop. `changeover gates %s` shows the values; to go back: `changeover rollback %s --reason TEXT`.", key, key)}
	case decide.Unmet:
		return []string{"The cluster does not offer what the plan requires: " + s.Decision.Message + ". Install it, or mend spec.requires; `changeover preflight` looks again."}
	case decide.Resuming:
		return waitingAdvice(s)
	case decide.NotHealthy:
		return []string{"What the stop needs is not healthy: " + healthDetail(s.Observed) + "."}
	case decide.Steady:
		return steadyAdvice(s)
	default:
	}
	return nil
}

// waitingAdvice is for a move that waits for the cluster.
func waitingAdvice(s reconciler.Status) []string {
	if s.Waiting == "" {
		return nil
	}
	return []string{fmt.Sprintf("The traffic moves when this is ready: %s. Mend it by a commit, which is taken up at once, or lower the position to %s.", s.Waiting, s.Effective)}
}

// steadyAdvice names the next stop, but not as if nothing were wrong where the
// way there was rolled back or fails now.
func steadyAdvice(s reconciler.Status) []string {
	next, ok := s.Itinerary.Next(s.Effective)
	switch {
	case len(s.Holds) > 0:
		return []string{fmt.Sprintf("%s was rolled back. Mend the cause before the position is raised again.", s.Holds[len(s.Holds)-1].Commit.Short())}
	case !ok || s.Error != "" || s.Observed.Split != "":
		return nil
	}
	return []string{fmt.Sprintf("Nothing. The next stop is %s: `changeover advance %s`.", next, s.Key)}
}

func quarantineAdvice(s reconciler.Status) []string {
	out := []string{"A change that was rolled back is not applied again by itself. Mend the cause, then raise the position in a new commit."}
	for _, h := range s.Holds {
		out = append(out, fmt.Sprintf("Or lift the hold as it is: `changeover unhold %s %s --reason TEXT`.", s.Key, h.Commit.Short()))
	}
	return out
}

func healthDetail(o decide.Observed) string {
	var parts []string
	add := func(name string, p decide.Part) {
		if p.Ill() {
			parts = append(parts, strings.TrimSuffix(name+" "+p.Message, " "))
		}
	}
	add("cluster", o.Cluster)
	add("gateway", o.Gateway)
	if len(parts) == 0 {
		return "see the daemon's log"
	}
	return strings.Join(parts, "; ")
}
