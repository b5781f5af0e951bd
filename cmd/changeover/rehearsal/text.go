package rehearsal

import (
	"fmt"
	"strings"

	"github.com/changeover-dev/changeover/cmd/changeover/screen"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/render"
)

const (
	indent = 13 // of what follows a label
	// most is how many objects of one kind of change are named.
	most = 12
)

// text is written line by line.
type text struct{ strings.Builder }

// item writes a label, or none, and what belongs to it, wrapped.
func (t *text) item(label, s string) {
	prefix := fmt.Sprintf("  %-*s", indent-2, label)
	t.wrap(prefix, strings.Repeat(" ", indent+2), s)
}

// wrap writes words in lines of the screen's width.
func (t *text) wrap(first, rest, s string) { t.WriteString(screen.Wrap(first, rest, s)) }

// Text is the report for people, in lines of 80 columns.
func (r *Report) Text() string {
	t := &text{}
	t.wrap("", "", fmt.Sprintf("Plan %s: %s, forward and back. Nothing was changed.", r.Plan, count(len(r.Stops), "stop")))
	r.basis(t)
	for i, s := range r.Stops {
		fmt.Fprintf(t, "\n%d/%d %s\n", i+1, len(r.Stops), s.Stop)
		s.write(t)
	}
	for i, s := range r.Back {
		fmt.Fprintf(t, "\n%d/%d back to %s\n", len(r.Back)-i, len(r.Stops), s.Stop)
		s.write(t)
	}
	r.end(t)
	return t.String()
}

// basis says on what the rest rests.
func (r *Report) basis(t *text) {
	switch c := r.Cluster; {
	case c == nil:
		t.wrap("", "", "No cluster was asked: what follows is rendered and checked, and not tried. Give --kubeconfig FILE to try it by dry runs.")
	case c.Live.IsZero():
		t.wrap("", "", fmt.Sprintf("Cluster %s was asked by dry runs, against what is live now: nothing of this plan.", c.URL))
	default:
		t.wrap("", "", fmt.Sprintf("Cluster %s was asked by dry runs, against what is live now: the plan at %s.", c.URL, c.Live))
	}
	switch {
	case r.Tested:
		t.wrap("", "", "nginx has tested each configuration by itself, apart from the rest of its own.")
	case r.Gateway == "nginx":
		t.wrap("", "", "No nginx has tested the configurations: there is none on this machine, or --nginx-bin says so.")
	}
	t.wrap("", "", "A breach is told as if every stop was raised by a commit of its own: a raise over several stops is undone whole.")
}

func (s Stop) write(t *text) {
	if s.Traffic != nil {
		if !s.Traffic.Changed {
			t.item("traffic", "as before")
		}
		label := "traffic"
		for _, rule := range s.Traffic.Rules {
			if s.Traffic.Changed {
				t.item(label, rule)
				label = ""
			}
		}
	}
	if s.Cluster != nil {
		s.Cluster.write(t)
	}
	if s.DryRun != nil {
		s.DryRun.write(t)
	}
	if s.Breach != nil {
		t.item("breach", s.breach())
	}
}

func (o *Objects) write(t *text) {
	label := "cluster"
	line := func(s string) {
		t.item(label, s)
		label = ""
	}
	several(line, "+ ", names(o.Created))
	changed := make([]string, len(o.Changed))
	for i, c := range o.Changed {
		changed[i] = title(c.Object) + ": " + few(paths(c.Fields))
	}
	several(line, "~ ", changed)
	several(line, "- ", names(o.Deleted))
	kept := make([]string, len(o.Kept))
	for i, k := range o.Kept {
		kept[i] = title(k.Object) + " stays: " + k.Why
	}
	several(line, "= ", kept)
	if len(o.First) > 0 {
		line("before the traffic: " + few(names(o.First)))
	}
	if label != "" {
		line("as before")
	}
}

func (d *DryRun) write(t *text) {
	s := fmt.Sprintf("%d accepted", d.Accepted)
	if n := len(d.Refused); n > 0 {
		s += fmt.Sprintf(", %d refused (below)", n)
	}
	if n := len(d.NotTried); n > 0 {
		s += fmt.Sprintf(", %d not tried", n)
	}
	t.item("dry run", s)
	lines := make([]string, len(d.NotTried))
	for i, n := range d.NotTried {
		lines[i] = title(n.Object) + ": " + n.Why
	}
	several(func(s string) { t.item("", s) }, "not tried: ", lines)
}

// breach is what a breach does, in a line.
func (s Stop) breach() string {
	b := s.Breach
	within := ""
	if b.Within > 0 {
		within = fmt.Sprintf(", up to %s after entry; later it stays, and a person is paged", b.Within)
	}
	switch {
	case b.Verb == "":
		return "no rollback gate here: nothing takes it back by itself"
	case b.Verb == decide.Rollback && b.Reverts == 0:
		return fmt.Sprintf("back to %s, and a person lowers the position in Git", b.Target) + within
	case b.Verb == decide.Rollback:
		return fmt.Sprintf("back to %s, %s reverted", b.Target, count(b.Reverts, "commit")) + within
	case b.Reason == decide.BreachFrozen:
		return "it stays, and a person is paged (onBreach: freeze)"
	case b.Reason == decide.NothingToUndo:
		return "it stays, and a person is paged: it is the first stop"
	}
	return fmt.Sprintf("%s %s", b.Verb, b.Reason)
}

// end lists what was found, as the last lines on the screen.
func (r *Report) end(t *text) {
	t.WriteString("\n")
	for _, f := range r.Findings {
		where := ""
		if len(f.At) > 0 {
			where = few(stops(f.At)) + ": "
			if f.Back {
				where = "back at " + where
			}
		}
		t.wrap("! ", "  ", where+f.About+": "+f.Message)
	}
	if len(r.Findings) > 0 {
		t.WriteString("\n")
	}
	s := "Nothing stands in the way"
	if n := len(r.Findings); n > 0 {
		s = count(n, "finding")
	}
	if r.Cluster == nil {
		s += ", as far as can be told without a cluster"
	}
	if n := r.NotTried(); n > 0 {
		s += fmt.Sprintf("; %s could not be tried", count(n, "object"))
	}
	t.wrap("", "", s+".")
}

func several(line func(string), mark string, all []string) {
	for i, s := range all {
		if i == most && len(all) > most+1 {
			line(fmt.Sprintf("%sand %d more (-o yaml lists all)", mark, len(all)-most))
			return
		}
		line(mark + s)
	}
}

// few names the first three of many.
func few(all []string) string {
	if len(all) > 4 {
		return strings.Join(all[:3], ", ") + fmt.Sprintf(" and %d more", len(all)-3)
	}
	return strings.Join(all, ", ")
}

func names(ids []render.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = title(id)
	}
	return out
}

func paths(fields []Field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.Path
		if f.From != nil {
			out[i] += fmt.Sprintf(" %v -> %v", f.From, f.To)
		}
	}
	return out
}

func stops(all []plan.Position) []string {
	out := make([]string, len(all))
	for i, p := range all {
		out[i] = p.String()
	}
	return out
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
