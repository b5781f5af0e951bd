package simulation

import (
	"fmt"
	"html"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Mermaid is a gantt chart: a section for each phase, a bar for each stay.
func (r *Report) Mermaid() string {
	var b strings.Builder
	fmt.Fprintf(&b, "gantt\n    title %s, signals %s\n    dateFormat X\n    axisFormat %%Y-%%m-%%d %%H:%%M\n", r.Plan, oneLine(r.Signals))
	phase := ""
	for i, s := range r.Stays {
		if s.Stop.Phase != phase {
			phase = s.Stop.Phase
			fmt.Fprintf(&b, "    section %s\n", phase)
		}
		tag := ""
		if s.TakenBack {
			tag = "crit, "
		}
		fmt.Fprintf(&b, "    %s :%ss%d, %d, %d\n", s.Stop, tag, i, s.Entered.Unix(), s.Left.Unix())
	}
	return b.String()
}

// oneLine leaves out what Mermaid takes for its own.
func oneLine(s string) string {
	return strings.NewReplacer(":", " ", ";", " ", "#", " ", "\n", " ", "%", " ").Replace(s)
}

// Measures of the chart, in pixels.
const (
	left, top, width, row = 160, 50, 900, 26
)

// SVG is a chart: a line for each stop of the itinerary, time to the right.
func (r *Report) SVG() string {
	height := top + row*len(r.Itinerary) + 40
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img">`+"\n", left+width+20, height)
	fmt.Fprintf(&b, "<title>%s</title>\n", html.EscapeString(fmt.Sprintf("Simulation of %s: %s", r.Plan, r.Outcome())))
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#ffffff"/>`+"\n")
	r.text(&b, 10, 20, "#111111", fmt.Sprintf("%s: %s; signals %s", r.Plan, r.Outcome(), r.Signals))
	for i, stop := range r.Itinerary {
		y := top + row*i
		r.text(&b, 10, y+17, "#111111", stop.String())
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#dddddd"/>`+"\n", left, y+row, left+width, y+row)
	}
	for _, s := range r.Stays {
		i := r.Itinerary.Index(s.Stop)
		if i < 0 {
			continue
		}
		x, end, colour := r.x(s.Entered), r.x(s.Left), "#1f6feb"
		if s.TakenBack {
			colour = "#b42318"
		}
		fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"><title>%s</title></rect>`+"\n",
			x, top+row*i+4, max(end-x, 1), row-8, colour,
			html.EscapeString(fmt.Sprintf("%s for %s from %s", s.Stop, plan.Duration(s.Left.Sub(s.Entered)), s.Entered.Format(time.RFC3339))))
	}
	y := top + row*len(r.Itinerary) + 20
	for i := range 5 {
		at := r.Start.Add(r.End.Sub(r.Start) / 4 * time.Duration(i))
		anchor := []string{"start", "middle", "middle", "middle", "end"}[i]
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" fill="#555555" text-anchor="%s">%s</text>`+"\n", r.x(at), y, anchor, at.Format("2006-01-02 15:04"))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (r *Report) x(t time.Time) float64 {
	whole := max(r.End.Sub(r.Start), 1)
	return left + width*float64(t.Sub(r.Start))/float64(whole)
}

func (*Report) text(b *strings.Builder, x, y int, colour, s string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", x, y, colour, html.EscapeString(s))
}

// Outcome is the end in one line.
func (r *Report) Outcome() string {
	last := r.Last()
	if r.Complete {
		return fmt.Sprintf("complete at %s after %s", last.Position, plan.Duration(last.At.Sub(r.Start)))
	}
	return fmt.Sprintf("at %s after %s: %s %s", last.Position, plan.Duration(r.End.Sub(r.Start)), last.Verb, last.Reason)
}
