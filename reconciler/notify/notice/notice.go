package notice

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// Kind of a notice.
type Kind string

// Decided is a line of the plan's history; Resolved says that a condition is over;
// Reminder comes before a stop's notBefore.
const (
	Decided  Kind = "Decided"
	Resolved Kind = "Resolved"
	Reminder Kind = "Reminder"
)

// Notice is one thing that people are told. Templates read its fields.
type Notice struct {
	// ID is the same at every attempt to deliver it.
	ID       string
	Kind     Kind
	Key      plan.Key
	Source   string // name of the watched branch, in a daemon that has several
	Severity plan.Urgency
	// Title is one line, Message is why; neither holds a secret.
	Title, Message string
	Verb           decide.Verb
	Reason         string // a decide.Reason, or the name of a condition
	From, To       plan.Position
	Commits        []plan.Revision
	Gates          []string // that breached, or have no data
	Values         map[string]float64
	At             time.Time
	// Receiver is the only one that is told, for reminders; empty: all that
	// want it.
	Receiver string

	plan *plan.Plan
}

// Of makes a notice of a line of the history. Page: somebody must look.
func Of(key plan.Key, e reconciler.Entry, page bool) Notice {
	n := Notice{
		Kind: Decided, Key: key, Severity: urgency(e, page), Verb: e.Verb, Reason: string(e.Reason), From: e.From, To: e.To,
		Commits: e.Commits, Message: e.Message, At: e.At, plan: e.Plan,
	}
	for _, g := range e.Evidence {
		n.Gates = append(n.Gates, g.Name)
		for name, v := range g.Values {
			if n.Values == nil {
				n.Values = map[string]float64{}
			}
			n.Values[name] = v
		}
	}
	n.Title = title(n)
	n.ID = id(n, e.At.UTC().Format(time.RFC3339Nano))
	return n
}

func title(n Notice) string {
	b := n.Key.String() + ": " + string(n.Verb)
	if n.Reason != "" && n.Reason != string(n.Verb) {
		b += " (" + n.Reason + ")"
	}
	switch {
	case n.To.IsZero():
	case n.From.IsZero() || n.From == n.To:
		b += " at " + n.To.String()
	default:
		b += " from " + n.From.String() + " to " + n.To.String()
	}
	return b
}

// urgency is that of the most urgent gate in the evidence; else by what happens.
func urgency(e reconciler.Entry, page bool) plan.Urgency {
	if !page {
		return plan.P3
	}
	if u := mostUrgent(e.Plan, e.Evidence); u != "" {
		return u
	}
	if e.Verb == decide.Rollback || e.Verb == decide.Halt {
		return plan.P1
	}
	return plan.P2
}

// mostUrgent is the most urgent severity that the plan gives to these gates;
// empty where it gives none.
func mostUrgent(p *plan.Plan, evidence gates.Results) (out plan.Urgency) {
	if p == nil {
		return ""
	}
	for _, g := range evidence {
		if u := p.UrgencyOf(g.Stop, g.Effect, g.Name); u != "" && (out == "" || u < out) {
			out = u
		}
	}
	return out
}

// Same reports what makes two notices one to people, whenever they come.
func (n Notice) Same() string {
	commits := make([]string, 0, len(n.Commits))
	for _, c := range n.Commits {
		commits = append(commits, string(c))
	}
	return strings.Join([]string{string(n.Kind), n.Source, n.Key.String(), string(n.Verb), n.Reason, n.From.String(), n.To.String(), strings.Join(commits, " "), strings.Join(n.Gates, " "), n.Receiver}, "\x00")
}

// id is the same for the same notice at the same time, in another process too.
func id(n Notice, when string) string {
	sum := sha256.Sum256([]byte(n.Same() + "\x00" + when))
	return hex.EncodeToString(sum[:16])
}

// Receiver is what routing asks of one.
type Receiver struct {
	Name string
	// Default: it is told of every plan, also of those that do not name it.
	Default    bool
	Severities []plan.Urgency // empty: all
}

// Wants reports whether the receiver is told of the notice.
func (r Receiver) Wants(n Notice) bool {
	if n.Receiver != "" {
		return n.Receiver == r.Name
	}
	return r.wants(n.plan, n.Severity)
}

func (r Receiver) wants(p *plan.Plan, u plan.Urgency) bool {
	if len(r.Severities) > 0 && !slices.Contains(r.Severities, u) {
		return false
	}
	if p != nil {
		for _, n := range p.Spec.Notifications {
			if n.Receiver == r.Name {
				return n.Wants(u)
			}
		}
	}
	return r.Default
}

// Reminders are those that fell due after since, until now: for each receiver that
// a plan names with a lead time, and each stop that it has yet to enter.
func Reminders(s reconciler.Status, since, now time.Time) []Notice {
	if s.Plan == nil || s.Plan.Spec.Suspend {
		return nil
	}
	var out []Notice
	at := s.Itinerary.Index(s.Effective)
	for i, stop := range s.Itinerary {
		ph := s.Plan.Phase(stop.Phase)
		if i <= at || ph == nil {
			continue
		}
		begin := ph.NotBefore.At(stop.Percent)
		if begin.IsZero() || i > 0 && begin.Equal(sameBefore(s, i)) {
			continue // the first stop of those with one time stands for them
		}
		for _, n := range s.Plan.Spec.Notifications {
			for _, lead := range n.Remind {
				due := begin.Add(-time.Duration(lead))
				if due.After(since) && !due.After(now) && now.Before(begin) {
					out = append(out, reminder(s, stop, begin, lead, n.Receiver))
				}
			}
		}
	}
	return out
}

// sameBefore is the notBefore of the stop before, where the plan has yet to enter
// that one too.
func sameBefore(s reconciler.Status, i int) time.Time {
	before := s.Itinerary[i-1]
	if s.Itinerary.Index(s.Effective) >= i-1 {
		return time.Time{}
	}
	if ph := s.Plan.Phase(before.Phase); ph != nil {
		return ph.NotBefore.At(before.Percent)
	}
	return time.Time{}
}

func reminder(s reconciler.Status, stop plan.Position, begin time.Time, lead plan.Duration, receiver string) Notice {
	n := Notice{
		Kind: Reminder, Key: s.Key, Source: s.Source, Severity: plan.P3, Reason: string(Reminder), From: s.Effective, To: stop, At: begin, Receiver: receiver, plan: s.Plan,
		Title: fmt.Sprintf("%s: %s may be entered from %s, %s from now", s.Key, stop, begin.UTC().Format("Mon 2 Jan 2006 15:04 MST"), lead),
	}
	var open []string
	for _, b := range s.Decision.Blocks {
		if b.Reason != decide.NotBefore {
			open = append(open, b.Message)
		}
	}
	n.Message = fmt.Sprintf("The plan is at %s.", orNone(s.Effective))
	if len(open) > 0 {
		n.Message += " What keeps it now: " + strings.Join(open, "; ") + "."
	}
	n.ID = id(n, begin.UTC().Format(time.RFC3339)+" "+lead.String())
	return n
}

func orNone(p plan.Position) string {
	if p.IsZero() {
		return "no stop yet"
	}
	return p.String()
}
