package review

import (
	"fmt"
	"strings"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// Marker begins the Markdown of every review: by it a comment is found again,
// to be edited.
const Marker = "<!-- changeover:review -->"

// MaxMarkdown is the most bytes that Markdown returns. GitHub takes 65,536
// characters in a comment; what is left is for whoever adds a line.
const MaxMarkdown = 60_000

// Bounds of the parts, in bytes. What a row leaves out it says.
const (
	maxSummaries = 40_000 // of all plans together
	maxRow       = 1_200
	leastDetail  = 600 // less room is not worth a beginning
)

// Markdown is the review as a comment of a pull request: a table for each plan
// and what is behind it folded below. It has at most MaxMarkdown bytes; what did
// not fit is said. Nothing in a plan can be Markdown, HTML or a mention in it.
func Markdown(r Review) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n### Changeover: %s\n\n%s\n", Marker, r.headline(), sides(r))
	if len(r.Plans) == 0 {
		return b.String()
	}
	const tail = 300 // for the last lines
	heads := make([]string, 0, len(r.Plans))
	size, shown := b.Len(), 0
	for _, p := range r.Plans {
		s := summary(p, r.Evaluated)
		if size+len(s) > maxSummaries {
			break
		}
		heads, size, shown = append(heads, s), size+len(s), shown+1
	}
	left, cut := MaxMarkdown-tail-size, false
	for i, s := range heads {
		b.WriteString(s)
		text, whole := details(r.Plans[i], left/(shown-i))
		b.WriteString(text)
		left, cut = left-len(text), cut || !whole
	}
	if n := len(r.Plans) - shown; n > 0 {
		fmt.Fprintf(&b, "\n%s more did not fit into this comment.\n", count(n, "plan"))
		cut = true
	}
	if cut {
		b.WriteString("\nSome of it is left out here: `changeover diff` prints all.\n")
	}
	return b.String()
}

// headline is the review in some words.
func (r Review) headline() string {
	if len(r.Plans) == 0 {
		return "no plan changes"
	}
	bad := 0
	for _, p := range r.Plans {
		if len(p.Illegal) > 0 {
			bad++
		}
	}
	text := count(len(r.Plans), "plan") + " changes"
	if len(r.Plans) > 1 {
		text = count(len(r.Plans), "plan") + " change"
	}
	if bad > 0 {
		text += fmt.Sprintf(", %d not allowed", bad)
	}
	return text
}

func sides(r Review) string {
	name := func(s Side) string {
		if s.Revision == "" || strings.HasPrefix(string(s.Revision), s.Name) {
			return code(s.Name)
		}
		return code(s.Name) + " (" + code(s.Revision.Short()) + ")"
	}
	return "From " + name(r.Base) + " to " + name(r.Head) + "."
}

// summary is the heading and the table of one plan.
func summary(p Plan, evaluated bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n#### %s: %s\n\n", code(p.Key.String()), p.title(code))
	for _, f := range p.Illegal[:min(len(p.Illegal), 10)] {
		fmt.Fprintf(&b, "**Not allowed:** %s (%s)", prose(f.Message), code(f.Code))
		if f.Hint != "" {
			fmt.Fprintf(&b, "<br>What to do: %s", prose(f.Hint))
		}
		b.WriteString("\n\n")
	}
	b.WriteString("| | |\n|---|---|\n")
	for _, row := range p.rows(evaluated) {
		fmt.Fprintf(&b, "| %s | %s |\n", row.name, list(row))
	}
	return b.String()
}

// title is the plan's change in some words; mark sets off what is of the plan.
func (p Plan) title(mark func(string) string) string {
	at := func(pos plan.Position) string { return mark(pos.String()) }
	switch p.Kind {
	case New:
		return "new plan, to " + at(p.To)
	case Removed:
		return "removed, at " + at(p.From)
	case Raise, Lower, Elsewhere:
		verb := map[Kind]string{Raise: "raise", Lower: "lower", Elsewhere: "moved"}[p.Kind]
		return verb + " from " + at(p.From) + " to " + at(p.To)
	case Content:
		if p.Live {
			return "live content at " + at(p.To)
		}
		return "content at " + at(p.To)
	case Suspend:
		if p.Suspended {
			return "suspended at " + at(p.To)
		}
		return "goes on at " + at(p.To)
	case Cascade:
		return "goes back from " + at(p.From) + " to " + at(p.To)
	default:
		return "does not validate"
	}
}

// list is a row's items up to its bound.
func list(r row) string {
	var b strings.Builder
	for i, item := range r.items {
		text := prose(item.text)
		if item.code {
			text = code(item.text)
		}
		if item.note != "" {
			text += " " + prose(item.note)
		}
		if b.Len() > 0 && b.Len()+len(text) > maxRow {
			fmt.Fprintf(&b, "%sand %d more", r.between(), len(r.items)-i)
			break
		}
		if i > 0 {
			b.WriteString(r.between())
		}
		b.WriteString(text)
	}
	return b.String()
}

func (r row) between() string {
	if r.lines {
		return "<br>"
	}
	return ", "
}

// details are the folded parts of a plan, in at most room bytes; whole is false
// where something was left out.
func details(p Plan, room int) (text string, whole bool) {
	var b strings.Builder
	whole = true
	for _, part := range p.parts() {
		open := fmt.Sprintf("\n<details><summary>%s</summary>\n\n", part.title)
		const end = "\n</details>\n"
		budget := room - b.Len() - len(open) - len(end)
		if budget < leastDetail {
			whole = false
			break
		}
		body, all := part.body(budget)
		b.WriteString(open + body + end)
		whole = whole && all
	}
	return b.String(), whole
}

// part is one folded part; body writes it in at most so many bytes.
type part struct {
	title string // ours
	body  func(room int) (text string, whole bool)
}

func (p Plan) parts() []part {
	var out []part
	if len(p.Problems) > 0 {
		out = append(out, part{"Problems in the head", func(room int) (string, bool) {
			var b strings.Builder
			for _, x := range p.Problems {
				b.WriteString(x.Render())
			}
			return bounded("text", b.String(), room)
		}})
	}
	if len(p.Gates) > 0 {
		out = append(out, part{count(len(p.Gates), "gate"), p.gateTable})
	}
	add := func(what string, diffs []Diff) {
		if len(diffs) == 0 {
			return
		}
		out = append(out, part{fmt.Sprintf("%s: %s", what, sums(diffs)), func(room int) (string, bool) { return diffText(diffs, room) }})
	}
	add("Gateway", p.Gateway)
	add("Cluster", p.Cluster)
	return out
}

func (p Plan) gateTable(room int) (string, bool) {
	var b strings.Builder
	b.WriteString("| Stop | Effect | Gate | Verdict |\n|---|---|---|---|\n")
	for _, g := range p.Gates {
		expr := g.Expr
		if g.For != "" {
			expr += " for " + g.For
		}
		line := fmt.Sprintf("| %s | %s | %s: %s | %s |\n", code(span(g.Stops)), g.Effect, code(g.Name), code(expr), verdict(g))
		if b.Len()+len(line) > room {
			return b.String(), false
		}
		b.WriteString(line)
	}
	return b.String(), true
}

func verdict(g Gate) string {
	text := told(g)
	if g.Detail != "" {
		text += ": " + prose(g.Detail)
	}
	return text
}

// told is a verdict for people: of pause and rollback gates, true is a breach.
func told(g Gate) string {
	alarm := g.Effect == plan.Pause || g.Effect == plan.Breaches
	switch {
	case g.Verdict == NotEvaluated:
		return "not evaluated"
	case alarm && g.Verdict == gates.Pass:
		return "Breach"
	case alarm && g.Verdict == gates.Fail:
		return "Quiet"
	}
	return string(g.Verdict)
}

// span names stops of one phase.
func span(stops []plan.Position) string {
	var all []string
	for _, s := range stops {
		all = append(all, s.String())
	}
	if len(all) > 3 {
		return all[0] + " to " + all[len(all)-1]
	}
	return strings.Join(all, ", ")
}

func diffText(diffs []Diff, room int) (string, bool) {
	var b strings.Builder
	for _, d := range diffs {
		head := fmt.Sprintf("%s %s\n\n", code(d.Name), d.Change)
		left := room - b.Len() - len(head)
		if left < leastDetail/2 {
			return b.String(), false
		}
		body, whole := bounded("diff", d.Text, left-1)
		b.WriteString(head + body + "\n")
		if !whole {
			return b.String(), false
		}
	}
	return b.String(), true
}

// bounded is a fenced block of at most so many bytes, cut after a line.
func bounded(language, text string, room int) (string, bool) {
	whole := true
	for {
		block := fence(language, text)
		if len(block) <= room {
			return block, whole
		}
		whole = false
		keep := max(len(text)-(len(block)-room), 0)
		cut := strings.LastIndexByte(text[:keep], '\n')
		if cut < 0 {
			return "", false
		}
		text = text[:cut]
	}
}

// sums counts what differs: 2 changed, 1 added (+4 -1).
func sums(diffs []Diff) string {
	var all []string
	plus, minus := 0, 0
	for _, change := range []string{Added, Changed, Gone, Kept} {
		n := 0
		for _, d := range diffs {
			if d.Change == change {
				n, plus, minus = n+1, plus+d.Plus, minus+d.Minus
			}
		}
		if n > 0 {
			all = append(all, fmt.Sprintf("%d %s", n, change))
		}
	}
	return fmt.Sprintf("%s (+%d -%d)", strings.Join(all, ", "), plus, minus)
}
