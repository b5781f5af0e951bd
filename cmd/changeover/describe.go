package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// describe prints one plan in full.
func (a *app) describe(s reconciler.Status, wide bool) {
	d := describer{app: a, s: s, now: a.now()}
	d.head()
	d.trouble()
	d.place()
	if len(s.Gates) > 0 {
		a.printf("\nGates:\n")
		a.table(a.stdout, "  ", a.gateRows(s.Gates, wide))
	}
	if len(s.Holds) > 0 {
		a.printf("\nHolds:\n")
		for _, h := range s.Holds {
			a.printf("  %s rolled back %s%s\n", h.Commit.Short(), d.moment(h.At), printable(evidence(h.Evidence)))
		}
	}
	a.printf("\nWhat to do:\n")
	for _, line := range web.Advice(s) {
		a.printf("  - %s\n", printable(line))
	}
}

type describer struct {
	*app
	s   reconciler.Status
	now time.Time
}

func (d *describer) line(name, format string, args ...any) {
	d.printf("%-12s %s\n", name+":", printable(fmt.Sprintf(format, args...)))
}

func (d *describer) head() {
	s := d.s
	name := s.Key.String()
	if s.Path != "" {
		name += " (" + s.Path + ")"
	}
	d.line("Plan", "%s", name)
	d.printf("%-12s %s\n", "State:", d.paint(toneColours[web.StateTone(s.State)], dash(string(s.State))))
	d.line("Doing", "%s", doing(s))
	d.why()
	if s.Waiting != "" {
		d.line("Waits for", "%s", s.Waiting)
	}
	if until := waitsUntil(s); !until.IsZero() {
		d.line("Waits until", "%s", d.moment(until))
	}
	d.next()
}

// why names what blocks one below the other, where there is more than one.
func (d *describer) why() {
	s := d.s.Decision
	if len(s.Blocks) < 2 {
		d.line("Why", "%s: %s", dash(string(s.Reason)), s.Message)
		return
	}
	d.line("Why", "%s; all that blocks:", s.Reason)
	for _, b := range s.Blocks {
		text := fmt.Sprintf("%s: %s", b.Reason, b.Message)
		if !b.Until.IsZero() {
			text += ", until " + d.moment(b.Until)
		}
		d.printf("  - %s\n", printable(text))
	}
}

// next names the stop that is entered next, and how its enter gates stand now.
func (d *describer) next() {
	next := d.s.Decision.Next
	if next.IsZero() {
		return
	}
	var enter []string
	for _, r := range d.s.Gates {
		if r.Effect == plan.Enter && r.Stop == next {
			enter = append(enter, r.Name+" "+web.VerdictWord(r))
		}
	}
	text := next.String()
	if len(enter) > 0 {
		text += ", enter gates: " + strings.Join(enter, ", ")
	}
	d.line("Next", "%s", text)
}

// doing says in words what the plan is at.
func doing(s reconciler.Status) string {
	if m := s.Move; m != nil {
		text := fmt.Sprintf("%s from %s to %s, at step %s", m.Verb, m.From, m.To, m.Step)
		if m.Attempts > 0 {
			text += fmt.Sprintf(", %d attempts failed", m.Attempts)
		}
		if m.Error != "" {
			text += " (" + m.Error + ")"
		}
		return text
	}
	switch s.Decision.Verb {
	case decide.Advance, decide.Retreat, decide.Rollback:
		return fmt.Sprintf("%s to %s", s.Decision.Verb, s.Decision.Target)
	case decide.Apply:
		return "Apply changed content at " + s.Decision.Target.String()
	case decide.Complete:
		return "Complete: the gates go on being watched"
	case "":
		return "-"
	default:
		return fmt.Sprintf("%s at %s", s.Decision.Verb, s.Effective)
	}
}

// waitsUntil is when the answer can change by itself.
func waitsUntil(s reconciler.Status) time.Time {
	if !s.Decision.RecheckAt.IsZero() {
		return s.Decision.RecheckAt
	}
	if s.Decision.Reason == decide.Baking {
		return s.BakedAt
	}
	return time.Time{}
}

func (d *describer) trouble() {
	s := d.s
	if s.Error != "" {
		d.line("Error", "%s", s.Error)
	}
	if h := s.Halt; h != nil {
		d.line("Halted", "%s (%s): %s", d.moment(h.At), h.Reason, h.Message)
	}
	if b := s.Blind; b != nil {
		why := "gates of " + b.Stop.String() + " are not known"
		if u := s.Unknown(); len(u) > 0 {
			why = decide.Unseen(u)
		}
		d.line("Blind", "since %s: %s", d.moment(b.Since), why)
	}
	if p := s.Pending; p != nil {
		where := "not in Git yet"
		if p.Branch != "" {
			where = "on branch " + p.Branch + ", not on the watched branch"
		}
		text := fmt.Sprintf("back to %s, %s", p.Target, where)
		if p.Error != "" {
			text += ": " + p.Error
		}
		d.line("Revert", "%s", text)
	}
	for _, p := range s.Problems {
		d.printf("%-12s %s", "Problem:", indentAfterFirst(d.renderProblem(p), "             "))
	}
}

func indentAfterFirst(text, indent string) string {
	return strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+indent) + "\n"
}

func (d *describer) place() {
	s := d.s
	d.line("Declared", "%s", s.Declared)
	effective := s.Effective.String()
	if !s.Since.IsZero() {
		effective += ", since " + d.moment(s.Since)
	}
	d.line("Effective", "%s", effective)
	if s.BakedAt.After(d.now) {
		d.line("Bakes until", "%s", d.moment(s.BakedAt))
	}
	if len(s.Itinerary) > 0 {
		d.line("Itinerary", "%s", itineraryLine(s))
	}
	d.part("Gateway", s.Observed.Gateway, "serves "+s.Observed.Gateway.Stop.String()+" as rendered")
	d.part("Cluster", s.Observed.Cluster, "as rendered, and healthy")
	if s.Head != "" {
		d.line("Git", "head %s, applied %s, read %s", s.Head.Short(), dash(s.Applied.Short()), d.moment(s.GitReadAt))
	}
	d.line("Checked", "%s", d.moment(s.CheckedAt))
}

// part says how one half of what was observed stands; good is said of one that
// is as it should be.
func (d *describer) part(name string, p decide.Part, good string) {
	at := ""
	if !p.Stop.IsZero() {
		at = " at " + p.Stop.String()
	}
	switch {
	case !p.Known:
	case !p.Ill():
		d.line(name, "%s", good)
	case p.Healthy:
		d.line(name, "not as it was applied%s: %s", at, p.Message)
	default:
		d.line(name, "not as it should be%s: %s", at, p.Message)
	}
}

// itineraryLine marks the effective stop with brackets and the declared one
// with a star.
func itineraryLine(s reconciler.Status) string {
	var stops []string
	for _, stop := range s.Itinerary {
		text := stop.String()
		if stop == s.Declared {
			text += "*"
		}
		if stop == s.Effective {
			text = "[" + text + "]"
		}
		stops = append(stops, text)
	}
	return strings.Join(stops, " > ")
}

// moment is a time in UTC and how far off it is.
func (d *describer) moment(t time.Time) string { return moment(t, d.now) }

func moment(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	far := web.Span(now.Sub(t)) + " ago"
	if t.After(now) {
		far = "in " + web.Span(t.Sub(now))
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC") + " (" + far + ")"
}

// gateRows is the table of gates with its header.
func (a *app) gateRows(results gates.Results, wide bool) [][]cell {
	header := cells("STOP", "EFFECT", "GATE", "VERDICT", "VALUES", "DETAIL")
	if wide {
		header = append(header, cells("NOW", "REVISION", "EXPR")...)
	}
	rows := [][]cell{header}
	for _, r := range results {
		row := cells(r.Stop.String(), string(r.Effect), r.Name, web.VerdictWord(r), dash(web.FormatValues(r.Values)), dash(r.Detail))
		row[3].colour = toneColours[web.VerdictTone(r)]
		if wide {
			row = append(row, cells(string(r.Now), dash(r.Revision.Short()), r.Expr)...)
		}
		rows = append(rows, row)
	}
	return rows
}

// evidence is the gates that breached, in brackets.
func evidence(results gates.Results) string {
	var parts []string
	for _, r := range results {
		text := r.Name
		if v := web.FormatValues(r.Values); v != "" {
			text += " " + v
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return ""
	}
	return " [" + strings.Join(parts, "; ") + "]"
}
