package plan

import (
	"fmt"
	"slices"
	"time"
)

// Urgency is how soon a person must look: P0 at once, P1 within minutes, P2
// within the day, P3 need not.
type Urgency string

// The urgencies, the most urgent first. They compare as strings do.
const (
	P0 Urgency = "P0"
	P1 Urgency = "P1"
	P2 Urgency = "P2"
	P3 Urgency = "P3"
)

// Notification says of what a receiver is told. What a receiver is, with its URL
// and its secrets, is the daemon's: neither belongs in Git.
type Notification struct {
	// Receiver is the name of one in the daemon's --notify file.
	Receiver string `json:"receiver"`
	// Severities of what it is told; empty: all that the daemon's file gives it.
	Severities []Urgency `json:"severities,omitempty"`
	// Remind: how long before a stop's notBefore it is reminded of it.
	Remind []Duration `json:"remind,omitempty"`
}

// Wants reports whether a notification of that urgency goes there.
func (n Notification) Wants(u Urgency) bool {
	return len(n.Severities) == 0 || slices.Contains(n.Severities, u)
}

// Bounds of what is told.
const (
	maxNotifications = 20
	maxReminders     = 10
	maxLead          = 90 * 24 * time.Hour
)

func (v *validator) urgency(path string, u Urgency) {
	v.oneOf(path, string(u), string(P0), string(P1), string(P2), string(P3))
}

// notifications checks who is told; whether the daemon has such a receiver, it
// alone knows.
func (v *validator) notifications() {
	v.bounded("spec.notifications", "notifications", len(v.p.Spec.Notifications), maxNotifications)
	first := map[string]int{}
	for i, n := range v.p.Spec.Notifications {
		at := fmt.Sprintf("spec.notifications[%d]", i)
		v.label(at+".receiver", "the name of a receiver", n.Receiver)
		if j, ok := first[n.Receiver]; ok && n.Receiver != "" {
			line, _ := v.d.Locate(fmt.Sprintf("spec.notifications[%d].receiver", j), 0)
			v.at(at+".receiver", "duplicate-name", fmt.Sprintf("receiver %q is already at line %d", n.Receiver, line), "give each receiver once, with all its severities")
		} else {
			first[n.Receiver] = i
		}
		for j, u := range n.Severities {
			path := fmt.Sprintf("%s.severities[%d]", at, j)
			v.urgency(path, u)
			if slices.Index(n.Severities, u) < j {
				v.at(path, "duplicate-name", fmt.Sprintf("severity %s is already in the list", u), "remove one of the two")
			}
		}
		v.reminders(at, n)
	}
}

func (v *validator) reminders(at string, n Notification) {
	v.bounded(at+".remind", "reminders", len(n.Remind), maxReminders)
	for j, d := range n.Remind {
		path := fmt.Sprintf("%s.remind[%d]", at, j)
		if lead := time.Duration(d); lead <= 0 || lead > maxLead {
			v.at(path, "duration", "a reminder must be more than 0 and at most 90d before", "write for example 24h")
		}
	}
	if len(n.Remind) > 0 && v.whole("spec.phases") && !slices.ContainsFunc(v.p.Spec.Phases, func(p Phase) bool { return !p.NotBefore.IsZero() }) {
		v.at(at+".remind", "reminder", "no phase has a notBefore, so that there is nothing to remind of", "give a phase notBefore, or remove remind")
	}
}

// gateUrgency checks a gate's severity. Gates to enter a stop breach nothing, and
// nobody is paged for them.
func (v *validator) gateUrgency(at string, e Effect, u Urgency) {
	if u == "" && !v.has(at+".severity") {
		return
	}
	if e == Enter {
		v.key(at+".severity", "severity", "an enter gate has no severity: nobody is paged for it", "remove it")
		return
	}
	v.urgency(at+".severity", u)
}

// UrgencyOf is the severity of a gate; empty where the plan gives it none, or has
// no such gate.
func (p *Plan) UrgencyOf(stop Position, e Effect, gate string) Urgency {
	ph := p.Phase(stop.Phase)
	if ph == nil {
		return ""
	}
	for _, g := range ph.GatesOf(e) {
		if g.Name == gate {
			return g.Severity
		}
	}
	return ""
}
