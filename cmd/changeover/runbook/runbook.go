// Package runbook writes what a plan does at each stop, how it goes on and how it
// goes back, as Markdown for the people on duty.
package runbook

import (
	"fmt"
	"slices"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// Write is the runbook of a plan that was read from a file. It tells nothing
// that the plan does not say, and has no clock: the same plan gives the same
// text.
func Write(p *plan.Plan, file string) string {
	b := &book{p: p, it: p.Itinerary()}
	b.head(file)
	for i := range b.it {
		b.stop(i)
	}
	b.trouble()
	return strings.TrimRight(b.String(), "\n") + "\n"
}

type book struct {
	strings.Builder
	p  *plan.Plan
	it plan.Itinerary
}

func (b *book) line(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }

func (b *book) head(file string) {
	s := &b.p.Spec
	b.line("# Runbook: %s", b.p.Key())
	b.line("\nFrom `%s`. `changeover runbook %s` writes it anew when the plan changes.", file, b.p.Key())
	b.line("\n| | |\n|---|---|")
	for _, side := range []plan.Side{plan.Legacy, plan.Modern} {
		if where := backend(s.Backends.Of(side)); where != "" {
			b.line("| %s | %s |", side, where)
		}
	}
	b.line("| gateway | %s |", gateway(s.Gateway))
	b.line("| callers | %s |", callers(s.Identity))
	for _, d := range s.DependsOn {
		b.line("| needs | %s at %s or past it |", cell(d.Plan), cell(d.Phase))
	}
	if len(s.ConflictsWith) > 0 {
		b.line("| never together with | %s |", cell(strings.Join(s.ConflictsWith, ", ")))
	}
	for _, w := range s.Windows {
		b.line("| window | %s |", cell(window(w)))
	}
	b.line("\n## Where it goes\n\n| stop | stays at least | enters after | leaves after | goes back when |\n|---|---|---|---|---|")
	for _, stop := range b.it {
		ph := b.p.Phase(stop.Phase)
		b.line("| %s | %s | %s | %s | %s |", stop, b.p.BakeAt(stop), names(ph.Gates.Enter), names(ph.Gates.Advance), names(ph.Gates.Rollback))
	}
}

func (b *book) stop(i int) {
	stop, ph := b.it[i], b.p.Phase(b.it[i].Phase)
	b.line("\n## %s", stop)
	b.line("\n**What changes.**")
	b.changes(i)
	b.line("\n**Before it is entered.**")
	b.before(i)
	b.line("\n**While it is there.** It stays for %s at least.", b.p.BakeAt(stop))
	b.gates("Nothing goes on while this is true", ph.Gates.Pause)
	b.gates("It is taken back when this is true", ph.Gates.Rollback)
	if len(ph.Gates.Rollback) > 0 {
		b.line("- %s", onBreach(ph.Rollback))
	}
	b.gates("It goes on when this is true", ph.Gates.Advance)
	b.goOn(i)
	b.goBack(i)
}

// changes is what the stop does, and where it is the first of its phase what the
// phase does.
func (b *book) changes(i int) {
	stop, ph := b.it[i], b.p.Phase(b.it[i].Phase)
	switch {
	case ph.Cluster == nil:
	case i > 0 && b.it[i-1].Phase == stop.Phase:
		b.line("- The cluster keeps `%s`, with this stop's position.", ph.Cluster.Path)
	default:
		b.line("- The cluster gets `%s`: what is added before the traffic moves, what is taken away after it.", ph.Cluster.Path)
	}
	for _, r := range ph.Routes {
		b.line("- %s.", route(r, stop))
	}
	if ph.Cluster == nil && len(ph.Routes) == 0 {
		b.line("- Nothing.")
	}
}

func (b *book) before(i int) {
	stop, ph := b.it[i], b.p.Phase(b.it[i].Phase)
	before := b.Len()
	if i == 0 && b.p.Spec.Requires != nil {
		b.line("- Before it is left the cluster offers what the plan requires: `changeover preflight`.")
	}
	if ph.Manual {
		b.line("- A person names the phase `%s` itself: no higher position goes through it.", ph.Name)
	}
	if at := ph.NotBefore.At(stop.Percent); !at.IsZero() {
		b.line("- Not before %s.", at.UTC().Format("2006-01-02 15:04 UTC"))
	}
	for _, a := range ph.Approvals {
		n := 1
		if a.Count != nil {
			n = *a.Count
		}
		b.line("- Approvals by %s: %d. `changeover approve %s --stop %s --role %s`", a.Role, n, b.p.Key(), stop, a.Role)
	}
	for _, item := range ph.Checklist {
		b.line("- [ ] %s", text(item))
	}
	b.gates("This is true", ph.Gates.Enter)
	if b.Len() == before {
		b.line("- Nothing is asked.")
	}
}

func (b *book) gates(what string, gs []plan.Gate) {
	for _, g := range gs {
		held := ""
		if g.For > 0 {
			held = " for " + g.For.String()
		}
		said := ""
		if g.Message != "" {
			said = " " + text(g.Message)
		}
		b.line("- %s%s (%s): %s%s", what, held, g.Name, code(g.Expr), said)
	}
}

func (b *book) goOn(i int) {
	if i+1 == len(b.it) {
		b.line("\n**Go on.** This is the last stop: with its bake over and its gates passed the plan is complete. Gates go on for %s.", b.p.Spec.MonitorFor)
		return
	}
	b.line("\n**Go on.** `changeover advance %s --to %s`, and merge its pull request.", b.p.Key(), b.it[i+1])
}

func (b *book) goBack(i int) {
	if i == 0 {
		b.line("\n**Go back.** There is nothing before this stop.")
		return
	}
	ph := b.p.Phase(b.it[i].Phase)
	b.line("\n**Go back.** `changeover rollback %s --to %s --reason '...'`, or `git revert` the commit that raised the position. No gate, window or approval is asked; the traffic moves first.",
		b.p.Key(), b.it[i-1])
	if len(ph.Rollback.Verify) > 0 {
		b.line("It helped when within %s:", ph.Rollback.VerifyFor)
		b.gates("This is true", ph.Rollback.Verify)
	}
}

func (b *book) trouble() {
	k := b.p.Key()
	b.line("\n## When something is wrong\n")
	b.line("- What is it doing, why, and what does it wait for: `changeover status %s`.", k)
	b.line("- Which gate says what: `changeover gates %s`.", k)
	b.line("- What has it done: `changeover history %s`, and `git log`.", k)
	b.line("- Halted: read why, mend it, then `changeover resume %s --reason '...'`.", k)
	b.line("- Quarantined: what was rolled back is held. A new raise lifts the hold, or `changeover unhold %s COMMIT --reason '...'`.", k)
	b.line("- Stop everything, change nothing: commit `suspend: true`.")
	b.line("- The daemon is gone: the gateway goes on as it is. `git revert` is taken up when a daemon is back.")
}

// names lists gates.
func names(gs []plan.Gate) string {
	if len(gs) == 0 {
		return "-"
	}
	out := make([]string, len(gs))
	for i, g := range gs {
		out[i] = g.Name
	}
	return strings.Join(out, ", ")
}

func onBreach(r plan.Rollback) string {
	when := ""
	if r.Window > 0 {
		when = fmt.Sprintf(" within %s after the stop was entered", r.Window)
	}
	if r.OnBreach == plan.Freeze {
		return "A breach takes nothing back: the plan halts, and pages."
	}
	what := map[plan.Depth]string{
		plan.DepthPromotion: "to the last stop that proved good",
		plan.DepthPhase:     "to before this phase",
		plan.DepthPlan:      "to the first stop",
	}[r.Depth]
	after := ""
	if when != "" {
		after = " Later it halts the plan, and pages."
	}
	return fmt.Sprintf("A breach%s moves the traffic back %s, and reverts the commits in Git.%s", when, what, after)
}

// route says in words where an entry's requests go at a stop.
func route(r plan.Route, stop plan.Position) string {
	s := requests(r.Match)
	switch {
	case r.Respond != nil:
		s += fmt.Sprintf(": answered %d by the gateway", r.Respond.Status)
	case r.To == plan.ToSplit:
		percent := stop.Percent
		if r.Percent != nil {
			percent = *r.Percent
		}
		s += fmt.Sprintf(": %s %% of the callers to modern, the others to legacy", percent)
	case r.To == plan.ToOwner:
		s += ": to the side that owns the entity"
	default:
		s += ": to " + string(r.To)
	}
	if m := r.Mirror; m != nil {
		percent := plan.Percent(100)
		if m.Percent != nil {
			percent = *m.Percent
		}
		s += fmt.Sprintf("; %s %% are copied to modern", percent)
		if m.Compare != nil {
			s += " and the answers compared"
		}
	}
	if r.Translate != "" {
		s += "; translated by " + r.Translate
	}
	if r.Rewrite != nil {
		s += "; rewritten"
	}
	return s
}

func requests(m *plan.Match) string {
	if m == nil {
		return "All other requests"
	}
	s := "Requests"
	if len(m.Methods) > 0 {
		s = strings.Join(m.Methods, ", ")
	}
	switch {
	case m.Path != "":
		s += " " + code(m.Path)
	case m.PathPrefix != "":
		s += " below " + code(m.PathPrefix)
	case m.PathRegex != "":
		s += " like " + code(m.PathRegex)
	}
	var heads []string
	for name, value := range m.Headers {
		heads = append(heads, code(name+": "+value))
	}
	slices.Sort(heads)
	if len(heads) > 0 {
		s += " with " + strings.Join(heads, " and ")
	}
	return s
}

func backend(b plan.Backend) string {
	switch {
	case b.URL != "":
		return code(b.URL)
	case b.Service != nil:
		return fmt.Sprintf("Service `%s`, port %d", b.Service.Name, b.Service.Port)
	}
	return ""
}

func gateway(g *plan.Gateway) string {
	switch {
	case g == nil:
		return "none: the plan moves no traffic"
	case g.NGINX != nil && g.Bridged():
		return "nginx, with changeover-bridge behind it"
	case g.NGINX != nil:
		return "nginx"
	case g.Bridge != nil:
		return "changeover-bridge"
	}
	where := "Gateway API, in namespace " + g.GatewayAPI.Namespace
	if g.Bridged() {
		where += ", with changeover-bridge behind it"
	}
	return where
}

func callers(id *plan.Identity) string {
	switch {
	case id == nil:
		return "every request by itself"
	case id.ClientIP:
		return "by their address"
	case id.Header != "":
		return "by the header " + code(id.Header)
	case id.Cookie != "":
		return "by the cookie " + code(id.Cookie)
	}
	return "by the query parameter " + code(id.Query)
}

func window(w plan.Window) string {
	s, zone := "allowed "+w.Allow, w.Timezone
	if w.Deny != "" {
		s = "denied " + w.Deny
	}
	if zone != "" {
		s += " " + zone
	}
	if w.Reason != "" {
		s += ": " + text(w.Reason)
	}
	return s
}

// code quotes a plan's text so that Markdown shows it as it is.
func code(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if len(fence) > 1 {
		return fence + " " + s + " " + fence
	}
	return fence + s + fence
}

// text is a plan's own sentence on one line, none of it Markdown.
func text(s string) string {
	return strings.NewReplacer("<", "&lt;", "[", `\[`, "|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`).Replace(strings.Join(strings.Fields(s), " "))
}

// cell is text for a table, where a bar would end it.
func cell(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, `\|`, "|"), "|", `\|`) }
