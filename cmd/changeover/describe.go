package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/changeover-dev/changeover/cmd/changeover/screen"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// describe prints one plan in full, in lines that fit a screen; wide adds what
// does not.
func (a *app) describe(s reconciler.Status, wide bool) {
	d := describer{app: a, s: s, now: a.now()}
	d.head()
	d.trouble()
	d.place()
	d.gates(wide)
	d.undone()
	a.printf("\nWhat to do:\n")
	for _, line := range web.Advice(s) {
		d.wrap("  - ", line)
	}
}

type describer struct {
	*app
	s   reconciler.Status
	now time.Time
}

// wrap writes a paragraph whose later lines stand below the first's text.
func (d *describer) wrap(first, text string) {
	d.printf("%s", screen.Wrap(first, strings.Repeat(" ", utf8.RuneCountInString(first)), printable(text)))
}

func (d *describer) line(name, format string, args ...any) {
	d.wrap(fmt.Sprintf("%-12s ", name+":"), fmt.Sprintf(format, args...))
}

func (d *describer) head() {
	s := d.s
	name := s.Key.String()
	if s.Path != "" {
		name += " (" + s.Path + ")"
	}
	d.line("Plan", "%s", name)
	if s.Source != "" {
		d.line("Source", "%s", s.Source)
	}
	d.printf("%-12s %s\n", "State:", d.paint(toneColours[web.StateTone(s.State)], dash(string(s.State))))
	d.line("Doing", "%s", doing(s))
	d.why()
	if s.Waiting != "" {
		d.line("Waits for", "%s", s.Waiting)
	}
	for _, p := range s.Work {
		d.line("Work", "%s", worked(p))
	}
	for _, f := range s.Flags {
		d.line("Flag", "%s: %s", f.Name, f)
	}
	if until := waitsUntil(s); !until.IsZero() {
		d.line("Waits until", "%s", d.moment(until))
	} else {
		d.line("Looks again", "at the next evaluation, and at once at a new commit")
	}
	d.next()
}

// workWords say what is done to the items of a work, forward and when it is taken
// back.
var workWords = map[string]map[bool]string{
	"backup":     {false: "objects saved", true: "objects restored"},
	"transforms": {false: "sources transformed", true: "sources taken back"},
	"entities":   {false: "of the stop's share are with modern", true: "are back"},
}

// worked is how far a long work of a move is.
func worked(p reconciler.Progress) string {
	text := p.Name + ": "
	if p.Back {
		text = p.Name + ", taken back: "
	}
	if p.Total == 0 {
		return text + cmp.Or(p.Message, "beginning")
	}
	text += fmt.Sprintf("%d of %d %s (%d%%)", p.Finished, p.Total, workWords[p.Name][p.Back], 100*p.Finished/p.Total)
	if p.Failed > 0 {
		text += fmt.Sprintf(", %d failed", p.Failed)
	}
	if p.Rate > 0 && p.Finished < p.Total {
		left := time.Duration(float64(p.Total-p.Finished) / p.Rate * float64(time.Second))
		text += fmt.Sprintf(", %.3g a second, about %s left", p.Rate, plan.Duration(left.Round(time.Second)))
	}
	if p.Message != "" {
		text += "; " + p.Message
	}
	return text
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
		d.wrap("  - ", text)
	}
}

// next names the stop that is entered next, and how its enter gates stand now;
// or why there is none.
func (d *describer) next() {
	next := d.s.Decision.Next
	if next.IsZero() {
		d.line("Next", "%s", d.nothing())
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

// nothing is why no stop is entered next.
func (d *describer) nothing() string {
	s := d.s
	switch {
	case s.Move != nil && s.Move.Verb.Backward():
		return s.Move.To.String() + ", as soon as the move is through"
	case s.Decision.Verb.Backward():
		return s.Decision.Target.String() + ", at once"
	case s.Pending != nil:
		return "the revert reaches the branch; until then the plan stays at " + s.Pending.Target.String()
	case s.Decision.Reason == decide.Suspended:
		return "nothing while the plan is suspended; the gates go on being watched"
	case s.Decision.Reason == decide.Orphaned:
		return "nothing without a file in Git; a breach still moves the traffic to the first stop"
	case s.Decision.Reason == decide.Invalid:
		return "nothing forward until the file at the branch's head is valid"
	case s.Decision.Reason == decide.Quarantined:
		return "nothing until a new commit raises the position, or the hold is lifted"
	case s.Halt != nil:
		return "nothing forward until a person acts; going back works"
	case s.State == reconciler.StateComplete:
		return "nothing: the migration is complete"
	case s.Effective == s.Declared:
		return "nothing: the plan is where Git declares it"
	}
	return "nothing by itself"
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
	switch {
	case s.Unverified:
		d.line("Unverified", "%s", s.GitError)
	case s.GitError != "":
		d.line("Git error", "%s", s.GitError)
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
	if s.Split != nil {
		d.line("Split", "%s", s.Split)
	}
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
