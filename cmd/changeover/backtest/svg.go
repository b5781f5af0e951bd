package backtest

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// The measures of a chart, in its units: pixels, unless it is scaled.
const (
	chartNames  = 300 // the column of names
	chartBar    = 720 // the column of bars, and for how many pieces one is drawn
	chartRow    = 24
	chartHead   = 64
	chartFoot   = 58
	chartMargin = 16
	// maxTicks of the time axis.
	maxTicks = 9
)

// chartStyle has the colours of a page in light and in dark. Each verdict
// differs by the height of its bar too, for those who see no colour.
const chartStyle = `
  svg { --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --ground: #ffffff; --good: #8fb8a3; --fail: #8aa4c8; --bad: #cf222e; --warn: #d4a72c; --error: #8250df; }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --ground: #0d1117; --good: #3f6b55; --fail: #41597d; --bad: #f85149; --warn: #d29922; --error: #a371f7; }
  }
  .ground { fill: var(--ground); }
  text { font: 12px system-ui, sans-serif; fill: var(--ink); }
  .title { font-size: 15px; font-weight: 600; }
  .soft { fill: var(--soft); }
  .grid { stroke: var(--line); }
  .good { fill: var(--good); } .fail { fill: var(--fail); } .bad { fill: var(--bad); } .warn { fill: var(--warn); } .error { fill: var(--error); }
`

// look is how a verdict is drawn.
type look struct {
	class  string
	height int
	words  string
	weight int // of several in one piece the heaviest is drawn
}

func (g *Gate) look(v gates.Verdict) look {
	switch {
	case g.Breach(v):
		return look{"bad", 18, "Breach", 4}
	case v == gates.Error:
		return look{"error", 14, "Error", 3}
	case v == gates.NoData:
		return look{"warn", 6, "NoData", 2}
	case v == gates.Fail && !g.alarm():
		return look{"fail", 10, "Fail", 1}
	}
	return look{"good", 14, "Pass, Quiet", 0}
}

// legend in the order of the chart.
var legend = []look{
	(&Gate{}).look(gates.Pass), (&Gate{}).look(gates.Fail), (&Gate{}).look(gates.NoData), (&Gate{}).look(gates.Error),
	(&Gate{Effect: plan.Breaches}).look(gates.Pass),
}

// SVG draws a report: a bar for each gate over the time, of a size that does
// not grow with the number of changes. A breach that is shorter than a pixel
// is drawn as one.
func SVG(r *Report) []byte {
	width, height := chartMargin*2+chartNames+chartBar, chartHead+chartRow*len(r.Gates)+chartFoot
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title desc">`+"\n", width, height, width, height)
	title := fmt.Sprintf("Backtest of %s", r.Plan)
	span := fmt.Sprintf("%s to %s, every %s", minute(r.From), minute(r.To), r.Step)
	fmt.Fprintf(&b, "<title id=\"title\">%s</title>\n<desc id=\"desc\">The verdicts of %d gates, %s.</desc>\n", text(title), len(r.Gates), text(span))
	fmt.Fprintf(&b, "<style>%s</style>\n", chartStyle)
	fmt.Fprintf(&b, `<rect class="ground" width="%d" height="%d"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="28">%s</text><text class="soft" x="%d" y="46">%s</text>`+"\n", chartMargin, text(title), chartMargin, text(span))
	bottom := chartHead + chartRow*len(r.Gates)
	for _, t := range ticks(r.From, r.To) {
		x := chartMargin + chartNames + place(r, t)
		fmt.Fprintf(&b, `<line class="grid" x1="%d" y1="%d" x2="%d" y2="%d"/><text class="soft" x="%d" y="%d" text-anchor="middle">%s</text>`+"\n",
			x, chartHead, x, bottom+4, x, bottom+18, tickText(t))
	}
	for i := range r.Gates {
		drawGate(&b, r, &r.Gates[i], chartHead+i*chartRow)
	}
	x := chartMargin + chartNames
	for _, l := range legend {
		fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="14" height="%d"/><text class="soft" x="%d" y="%d">%s</text>`+"\n",
			l.class, x, bottom+chartFoot-18-l.height/2, l.height, x+20, bottom+chartFoot-14, text(l.words))
		x += 34 + 8*len(l.words)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func drawGate(b *bytes.Buffer, r *Report, g *Gate, y int) {
	name := string(g.Effect) + " " + g.Name
	fmt.Fprintf(b, `<g><title>%s</title><text x="%d" y="%d">%s <tspan class="soft">%s</tspan></text>`+"\n",
		text(fmt.Sprintf("%s at %s: %s%s", name, Stops(g.Stops), g.Expr, forText(g))), chartMargin, y+chartRow/2+4, text(cut(name, 28)), text(cut(Stops(g.Stops), 18)))
	for _, p := range pieces(r, g) {
		l := g.look(p.in.Verdict)
		tip := fmt.Sprintf("%s, %s to %s (%s)", g.Word(p.in.Verdict), minute(p.in.From), minute(p.in.To), plan.Duration(p.in.To.Sub(p.in.From)))
		if p.in.Detail != "" {
			tip += ": " + p.in.Detail
		}
		if p.more > 0 {
			tip += fmt.Sprintf("; and %d other intervals here", p.more)
		}
		fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%d" height="%d"><title>%s</title></rect>`+"\n",
			l.class, chartMargin+chartNames+p.from, y+(chartRow-l.height)/2, p.to-p.from, l.height, text(tip))
	}
	b.WriteString("</g>\n")
}

// piece is a part of a bar, and the interval that it shows.
type piece struct {
	from, to int
	in       *Interval
	more     int // intervals that are too short to be drawn beside it
}

// pieces lays the intervals on the pixels of the bar.
func pieces(r *Report, g *Gate) []piece {
	pixels := make([]piece, chartBar)
	for i := range g.Intervals {
		in := &g.Intervals[i]
		from := place(r, in.From)
		for x := from; x < max(from+1, place(r, in.To)) && x < chartBar; x++ {
			switch p := &pixels[x]; {
			case p.in == nil:
				p.in = in
			case g.look(in.Verdict).weight > g.look(p.in.Verdict).weight:
				p.in, p.more = in, p.more+1
			default:
				p.more++
			}
		}
	}
	var out []piece
	for x, p := range pixels {
		if n := len(out); n > 0 && (p.in == nil || out[n-1].in.Verdict == p.in.Verdict) {
			last := &out[n-1]
			last.to = x + 1
			if p.in != nil && p.in != last.in {
				last.more++
			}
			last.more += p.more
			continue
		}
		if p.in != nil {
			out = append(out, piece{from: x, to: x + 1, in: p.in, more: p.more})
		}
	}
	return out
}

// place is where a time stands on the axis, in pixels.
func place(r *Report, t time.Time) int {
	return int(float64(chartBar) * float64(t.Sub(r.From)) / float64(r.To.Sub(r.From)))
}

// ticks are full hours or days, not more than fit.
func ticks(from, to time.Time) []time.Time {
	const day = 24 * time.Hour
	every := 365 * day
	for _, d := range []time.Duration{
		time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day, 14 * day, 28 * day, 91 * day,
	} {
		if to.Sub(from)/d < maxTicks {
			every = d
			break
		}
	}
	var out []time.Time
	for t := from.UTC().Truncate(every); t.Before(to); t = t.Add(every) {
		if !t.Before(from) {
			out = append(out, t)
		}
	}
	return out
}

func tickText(t time.Time) string {
	if t.Hour() == 0 && t.Minute() == 0 {
		return t.Format("Jan 2")
	}
	return t.Format("15:04")
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func forText(g *Gate) string {
	if g.For == 0 {
		return ""
	}
	return " for " + g.For.String()
}

// Stops names stops of one phase: gradual@10..50 for several.
func Stops(stops []plan.Position) string {
	if len(stops) == 0 {
		return "-"
	}
	s := stops[0].String()
	if n := len(stops); n > 1 {
		s += fmt.Sprintf("..%s", stops[n-1].Percent)
	}
	return s
}

// cut shortens a text that does not fit into its column.
func cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// text escapes what came from outside; what XML cannot hold becomes U+FFFD.
func text(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}
