package review

import (
	"fmt"
	"strings"
)

// Text is the review for a terminal. Control characters of plans are left in:
// whoever prints it takes them out.
func Text(r Review) string {
	var b strings.Builder
	side := func(s Side) string {
		if s.Revision == "" || strings.HasPrefix(string(s.Revision), s.Name) {
			return s.Name
		}
		return s.Name + " (" + s.Revision.Short() + ")"
	}
	fmt.Fprintf(&b, "%s, from %s to %s.\n", r.headline(), side(r.Base), side(r.Head))
	for _, p := range r.Plans {
		p.text(&b, r.Evaluated)
	}
	return b.String()
}

func (p Plan) text(b *strings.Builder, evaluated bool) {
	fmt.Fprintf(b, "\n%s: %s\n", p.Key, p.title(func(s string) string { return s }))
	for _, f := range p.Illegal {
		fmt.Fprintf(b, "  not allowed: %s: %s\n", f.Code, f.Message)
		if f.Hint != "" {
			fmt.Fprintf(b, "    hint: %s\n", f.Hint)
		}
	}
	for _, row := range p.rows(evaluated) {
		if row.name == "New problems" {
			continue // below, with their places
		}
		name := row.name
		var all []string
		for _, i := range row.items {
			text := i.text
			if i.note != "" {
				sep := " "
				if row.lines && i.code {
					sep = ": "
				}
				text += sep + i.note
			}
			all = append(all, text)
		}
		if !row.lines {
			all = []string{strings.Join(all, ", ")}
		}
		for _, line := range all {
			fmt.Fprintf(b, "  %-12s %s\n", name, line)
			name = ""
		}
	}
	for _, g := range p.Gates {
		fmt.Fprintf(b, "  %-12s %s at %s, %s: %s", "gate", g.Name, span(g.Stops), g.Effect, g.Expr)
		if g.For != "" {
			fmt.Fprintf(b, " for %s", g.For)
		}
		fmt.Fprintf(b, ": %s", told(g))
		if g.Detail != "" {
			fmt.Fprintf(b, " (%s)", g.Detail)
		}
		b.WriteByte('\n')
	}
	for _, x := range p.Problems {
		b.WriteString(x.Render())
	}
	for _, d := range append(p.Gateway[:len(p.Gateway):len(p.Gateway)], p.Cluster...) {
		fmt.Fprintf(b, "\n--- %s: %s\n%s", d.Name, d.Change, d.Text)
	}
}
