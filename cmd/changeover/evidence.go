package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// gates lists them with why each stands as it does: beside it where the screen
// is wide, below it where it is not.
func (d *describer) gates(wide bool) {
	if len(d.s.Gates) == 0 {
		return
	}
	d.printf("\nGates:\n")
	rows := d.gateRows(d.s.Gates, wide)
	if wide {
		d.table(d.stdout, "  ", rows)
		return
	}
	for i := range rows {
		rows[i] = rows[i][:4]
	}
	var table bytes.Buffer
	d.table(&table, "  ", rows)
	for i, line := range strings.Split(strings.TrimSuffix(table.String(), "\n"), "\n") {
		d.printf("%s\n", line)
		if i > 0 {
			r := d.s.Gates[i-1]
			d.wrap("    ", strings.TrimSuffix(r.Expr+": "+seen(r), ": "))
		}
	}
}

// undone says what was rolled back and why, where its revert is, and for how
// long it keeps the plan.
func (d *describer) undone() {
	s := d.s
	if p := s.Pending; p != nil {
		d.printf("\nRolling back:\n")
		d.fact("from", fmt.Sprintf("%s to %s, decided %s", p.From, p.Target, d.moment(p.At)))
		d.fact("why", fmt.Sprintf("%s: %s", p.Reason, p.Message))
		d.breaches(p.Evidence)
		d.fact("undoes", commits(p.Undo))
		d.fact("revert", pendingRevert(p))
	}
	for _, h := range s.Holds {
		if s.Pending != nil && slices.Contains(s.Pending.Undo, h.Commit) {
			continue // said above
		}
		d.printf("\nRolled back, and not applied again:\n")
		d.fact("commit", h.Commit.Short())
		d.fact("when", d.moment(h.At))
		d.breaches(h.Evidence)
		d.fact("revert", d.revert(h))
	}
}

// revert is where the revert of a hold is, whose push has ended. The daemon keeps
// no more of it than that: a person's own revert will do as well.
func (d *describer) revert(h decide.HoldOf) string {
	find := "git log --grep " + h.Commit.Short()
	if halt := d.s.Halt; halt != nil && halt.Reason == decide.HistoryRewritten {
		return "may be lost, as the branch was rewritten: `" + find + "` shows it where it is not"
	}
	return "in Git: `" + find + "`"
}

func (d *describer) fact(name, text string) { d.wrap(fmt.Sprintf("  %-9s", name), text) }

// breaches are the gates that took the plan back, as they stood then.
func (d *describer) breaches(results gates.Results) {
	for _, r := range results {
		d.fact("gate", fmt.Sprintf("%s at %s: %s", r.Name, r.Stop, r.Expr))
		if text := seen(r); text != "" {
			d.fact("", text)
		}
		if r.Message != "" {
			d.fact("", r.Message)
		}
	}
}

// seen is what a gate was judged by.
func seen(r gates.Result) string {
	if r.Detail != "" {
		return r.Detail // has the values
	}
	return web.FormatValues(r.Values)
}

func commits(revs []plan.Revision) string {
	var out []string
	for _, r := range revs {
		out = append(out, r.Short())
	}
	return dash(strings.Join(out, ", "))
}

// pendingRevert is where a revert is that has not reached the watched branch.
func pendingRevert(p *decide.Pending) string {
	text := "not in Git yet"
	if p.Branch != "" {
		text = "on branch " + p.Branch + ", not on the watched branch"
	}
	if p.Attempts > 1 {
		text += fmt.Sprintf(", %d attempts", p.Attempts)
	}
	if p.Error != "" {
		text += ": " + p.Error
	}
	return text
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

// evidence is the gates that breached, in brackets: for one line.
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
