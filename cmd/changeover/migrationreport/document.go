package migrationreport

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// document is a report as text and tables, before it is Markdown or a page.
type document struct {
	Title    string
	Lead     []string
	Sections []section
}

// section has paragraphs, then a list, then a table; each may be empty.
type section struct {
	Title string
	Text  []string
	List  []string
	Head  []string
	Rows  [][]string
}

// document of the report.
func (r *Report) document() document {
	d := document{Lead: r.lead()}
	if r.Kind == Final {
		d.Title = fmt.Sprintf("Migration report of %s", r.Plan)
		d.Sections = []section{r.outcome(), r.criteria(), r.way(), r.rolledBack(), r.consent(), r.served(), r.readings(), r.counted(), r.commits()}
	} else {
		d.Title = fmt.Sprintf("Daily report of %s", r.Plan)
		d.Sections = []section{r.blocking(), r.served(), r.commits(), r.rolledBack(), r.readings(), r.judged(), r.consent(), r.counted(), r.criteria()}
	}
	if len(r.Notes) > 0 {
		d.Sections = append(d.Sections, section{Title: "What is not known, or was taken for granted", List: r.Notes})
	}
	d.Sections = kept(d.Sections)
	return d
}

// kept are the sections that say anything.
func kept(all []section) []section {
	var out []section
	for _, s := range all {
		if len(s.Text)+len(s.List)+len(s.Rows) > 0 {
			out = append(out, s)
		}
	}
	return out
}

func (r *Report) lead() []string {
	where := fmt.Sprintf("The plan is at %s since %s.", r.Effective.Stop, stamp(r.Effective.Since))
	if r.Effective.Assumed {
		where = fmt.Sprintf("Where the plan is, no metric of a daemon tells. It is taken to be at %s, where it is declared.", r.Effective.Stop)
	}
	out := []string{
		fmt.Sprintf("From %s to %s. Revision %s, file %s.", stamp(r.Since), stamp(r.At), r.Head.Short(), r.File),
		where,
		fmt.Sprintf("The branch declares %s, stop %d of %d, since %s by %s in %s.", r.Declared.Stop, r.Declared.Index, r.Declared.Of,
			stamp(r.Declared.At), dash(r.Declared.By), dash(r.Declared.Commit.Short())),
	}
	if r.Kind == Daily && !r.Next.IsZero() {
		out = append(out, fmt.Sprintf("The next stop is %s.", r.Next))
	}
	if r.Suspended {
		out = append(out, "The plan is suspended: the daemon changes nothing.")
	}
	return out
}

func (r *Report) blocking() section {
	s := section{Title: "What it does, and what blocks"}
	if r.Doing != "" {
		s.Text = append(s.Text, r.Doing)
	}
	for _, b := range r.Blocks {
		text := fmt.Sprintf("%s: %s", b.Reason, b.Message)
		if !b.Until.IsZero() {
			text += ", until " + stamp(b.Until)
		}
		s.List = append(s.List, text)
	}
	switch {
	case r.Doing == "" || len(r.Blocks) > 0:
	case r.Effective.Stop == r.Declared.Stop && !r.Next.IsZero():
		s.Text = append(s.Text, fmt.Sprintf("Nothing blocks. To go on, a person raises the position to %s.", r.Next))
	default:
		s.Text = append(s.Text, "Nothing blocks.")
	}
	return s
}

func (r *Report) served() section {
	s := section{Title: "The two sides"}
	if r.Sides == nil {
		if r.NoSides != "" {
			s.Text = []string{r.NoSides}
		}
		return s
	}
	s.Text = []string{"Counted by " + r.Sides.From + "."}
	s.Head = []string{"side", "requests", "share", "errors (5xx)", "p50", "p95"}
	all := r.Sides.Legacy.Requests + r.Sides.Modern.Requests
	for _, side := range []struct {
		name string
		of   Served
	}{{"legacy", r.Sides.Legacy}, {"modern", r.Sides.Modern}} {
		share, errs := "-", "-"
		if all > 0 {
			share = percent(side.of.Requests / all)
		}
		if e := side.of.Errors; e != nil {
			errs = fmt.Sprintf("%.0f", *e)
			if side.of.Requests > 0 {
				errs += ", " + percent(*e/side.of.Requests)
			}
		}
		s.Rows = append(s.Rows, []string{side.name, fmt.Sprintf("%.0f", side.of.Requests), share, errs, seconds(side.of.P50), seconds(side.of.P95)})
	}
	return s
}

func (r *Report) commits() section {
	s := section{Title: "New in Git", Head: []string{"when", "commit", "by", "what", "subject"}}
	if r.Kind == Final {
		s.Title = "All changes in Git"
	}
	for _, c := range r.Changes {
		s.Rows = append(s.Rows, []string{stamp(c.At), c.Commit.Short(), dash(c.By), dash(c.What), c.Subject})
	}
	if len(s.Rows) == 0 {
		s.Text = []string{"Nothing."}
	}
	return s
}

func (r *Report) rolledBack() section {
	s := section{Title: "Rollbacks", Head: []string{"when", "from", "to", "revert", "of", "gates", "evidence", "hold"}}
	for _, b := range r.Rollbacks {
		hold := "held"
		if b.Again {
			hold = "lifted"
		}
		s.Rows = append(s.Rows, []string{stamp(b.At), b.From.String(), b.To.String(), b.Commit.Short(), b.Undid.Short(),
			dash(strings.Join(b.Gates, ", ")), dash(strings.Join(b.Evidence, "; ")), hold})
	}
	if len(s.Rows) == 0 {
		s.Text = []string{"None."}
	}
	return s
}

func (r *Report) readings() section {
	s := section{Title: "Signals", Head: []string{"signal", "side", "now", "least", "mean", "most", "mean before", "known"}}
	for _, g := range r.Signals {
		now := number(g.Now)
		if g.Why != "" {
			now = g.Why
		}
		s.Rows = append(s.Rows, []string{g.Name, dash(string(g.Side)), now, number(g.Min), number(g.Mean), number(g.Max), number(g.Before), percent(g.Known)})
	}
	if len(s.Rows) > 0 {
		s.Text = []string{fmt.Sprintf("Read every %s. Mean before: that of as long a time before the report begins. Known: the share of the time with a value.", r.ReadEvery)}
	}
	return s
}

func (r *Report) judged() section {
	s := section{Title: "Gates", Head: []string{"stop", "effect", "gate", "now", "true for", "false for", "unknown for", "why"}}
	for _, g := range r.Gates {
		s.Rows = append(s.Rows, []string{g.Stop.String(), string(g.Effect), g.Name, g.Verdict, length(g.True), length(g.False), length(g.Unknown), dash(g.Detail)})
	}
	return s
}

func (r *Report) counted() section {
	s := section{Title: "Entities, transforms and backups", Head: []string{"metric", "now", "grew by"}}
	for _, c := range r.Counts {
		s.Rows = append(s.Rows, []string{c.Name, number(&c.Value), number(c.Grew)})
	}
	return s
}

func (r *Report) outcome() section {
	s := section{Title: "Outcome", List: r.Open}
	s.Text = []string{"Nothing is open: the plan is at its last stop, every criterion holds, and all consent was given."}
	if len(r.Open) > 0 {
		s.Text = []string{"Open:"}
	}
	return s
}

func (r *Report) criteria() section {
	s := section{Title: "Success", Head: []string{"criterion", "holds", "why", "expression", "stands for"}}
	for _, c := range r.Success {
		word := map[gates.Verdict]string{gates.Pass: "yes", gates.Fail: "NO", gates.NoData: "not known", gates.Error: "not known"}[c.Verdict]
		s.Rows = append(s.Rows, []string{c.Name, word, dash(c.Detail), c.Expr, dash(c.Message)})
	}
	if len(s.Rows) == 0 && r.Kind == Final {
		s.Text = []string{"The plan names no criteria (spec.success)."}
	}
	return s
}

func (r *Report) way() section {
	s := section{Title: "Stops", Head: []string{"stop", "declared", "by", "commit", "entered", "stayed", "rolled back"}}
	for _, stop := range r.Stops {
		row := []string{stop.Stop.String(), "-", "-", "-", stamp(stop.Entered), length(stop.Stayed), strconv.Itoa(stop.RolledBack)}
		var at, by, commit []string
		for _, c := range stop.Declared {
			at, by, commit = append(at, stamp(c.At)), append(by, dash(c.By)), append(commit, c.Commit.Short())
		}
		if len(at) > 0 {
			row[1], row[2], row[3] = strings.Join(at, ", "), strings.Join(by, ", "), strings.Join(commit, ", ")
		}
		s.Rows = append(s.Rows, row)
	}
	return s
}

func (r *Report) consent() section {
	s := section{Title: "Sign-offs", Head: []string{"stop", "for", "by", "when", "commit", "counts"}}
	for _, o := range r.SignOffs {
		what := o.Role
		if o.Item != "" {
			what = strconv.Quote(o.Item)
		}
		counts := "yes"
		switch {
		case o.By == "":
			counts = "MISSING"
		case o.Why != "":
			counts = "no: " + o.Why
		}
		s.Rows = append(s.Rows, []string{o.Stop.String(), what, dash(o.By), stamp(o.At), dash(o.Commit.Short()), counts})
	}
	if len(s.Rows) == 0 && r.Kind == Final {
		s.Text = []string{"None was given, and the plan asks for none."}
	}
	return s
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

func length(d plan.Duration) string {
	if d == 0 {
		return "-"
	}
	return web.Span(time.Duration(d))
}

func number(v *float64) string {
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return "-"
	}
	return strconv.FormatFloat(*v, 'g', 4, 64)
}

// percent never rounds to all of it or to none.
func percent(share float64) string {
	s := strconv.FormatFloat(share*100, 'f', 1, 64)
	switch {
	case s == "100.0" && share < 1:
		s = "99.9"
	case s == "0.0" && share > 0:
		s = "under 0.1"
	}
	return strings.TrimSuffix(s, ".0") + " %"
}

func seconds(v *float64) string {
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return "-"
	}
	return strconv.FormatFloat(*v*1000, 'f', 0, 64) + " ms"
}
