package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/cmd/changeover/backtest"
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// pastTimeout of one query over a long time; the daemon's are short.
const pastTimeout = 2 * time.Minute

// maxShownIntervals of one gate in a table. JSON has all.
const maxShownIntervals = 20

// pastFlags are those of commands that ask a Prometheus about the past.
type pastFlags struct {
	prometheus string
	interval   time.Duration
}

func (f *pastFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.prometheus, "prometheus", "", "URL of the Prometheus that answers the gates' queries")
	cmd.Flags().DurationVar(&f.interval, "interval", 15*time.Second, "how often the daemon evaluates gates: the least time between the points of a gate's `for`")
}

// client is that of the Prometheus, and the plan's gates.
func (f *pastFlags) client(p *plan.Plan) (*prom.Client, *gates.Program, error) {
	if f.interval <= 0 {
		return nil, nil, usageError("--interval %s is too short", f.interval)
	}
	c, err := prom.New(prom.Options{URL: f.prometheus, Timeout: pastTimeout})
	if err != nil {
		return nil, nil, err
	}
	prg, err := gates.Compile(p, gates.Options{Interval: f.interval})
	return c, prg, err
}

// check is before anything is read.
func (f *pastFlags) check() error {
	if f.prometheus == "" {
		return usageError("--prometheus is required: the URL of the Prometheus that has the past")
	}
	return checkURL("--prometheus", f.prometheus)
}

// parseWhen reads a time: RFC 3339, now, or so long before now as in -2h.
func parseWhen(flag, s string, now time.Time) (time.Time, error) {
	if s == "now" {
		return now, nil
	}
	if ago, ok := strings.CutPrefix(s, "-"); ok {
		if d, err := plan.ParseDuration(ago); err == nil {
			return now.Add(-time.Duration(d)), nil
		}
	} else if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	return time.Time{}, usageError("%s %q: want a time such as 2026-03-01T12:00:00Z, -2h or now", flag, s)
}

// backtestFlags are those of backtest.
type backtestFlags struct {
	pastFlags
	since, until, step, at, svg string
}

func (a *app) backtestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backtest PLAN [PATH...]",
		Short: "Show when a plan's gates would have passed, paused and rolled back in the past",
		Long: `Evaluate the gates of a plan over the past that a Prometheus has kept, by the code that the daemon uses, and show
when the verdict of each changed. The plan's file is read as it is in this folder (or in the files and folders named);
neither a daemon nor a cluster is asked. Gates are evaluated at every stop as if the plan had stood there all the time.
Breach: the expression of a pause or rollback gate is true; Quiet: it is false.`,
		Example: `  # The gates of every stop over the last week, minute by minute.
  changeover backtest shop --prometheus http://localhost:9090 --since 7d
  # Those of one stop over the day of an incident, with a chart.
  changeover backtest shop plans/ --prometheus http://localhost:9090 --at gradual@25 --since 1d --until 2026-03-02T00:00:00Z --svg shop.svg`,
		Args: onePlan(true),
	}
	f := &backtestFlags{}
	f.add(cmd)
	namespace := addNamespace(cmd)
	out := addOutput(cmd, formatTable, formatJSON, formatYAML)
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "7d", "how far back from --until")
	flags.StringVar(&f.until, "until", "now", "where it ends: a time such as 2026-03-01T12:00:00Z, or -2h")
	flags.StringVar(&f.step, "step", "1m", "time between two evaluations")
	flags.StringVar(&f.at, "at", "", "one stop as PHASE or PHASE@PERCENT (default: every stop)")
	flags.StringVar(&f.svg, "svg", "", "also draw a chart into this file")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error { return a.backtest(ctx, f, args, *namespace, out) })
	return cmd
}

func (a *app) backtest(ctx context.Context, f *backtestFlags, args []string, namespace string, out *outputFlag) error {
	o, err := f.options(a.now())
	if err != nil {
		return err
	}
	doc, err := a.planOf(args, namespace)
	if err != nil {
		return err
	}
	o.Plan, o.Stops = doc.Plan, doc.Plan.Itinerary()
	if f.at != "" {
		stop, err := stopOf(doc.Plan, f.at)
		if err != nil {
			return err
		}
		o.Stops = []plan.Position{stop}
	}
	c, prg, err := f.client(doc.Plan)
	if err != nil {
		return err
	}
	o.Program = prg
	r, err := backtest.Run(ctx, c, o)
	if err != nil {
		return err
	}
	if f.svg != "" {
		if err := os.WriteFile(f.svg, backtest.SVG(r), 0o644); err != nil {
			return fmt.Errorf("write the chart %q: %w", f.svg, plainCause(err))
		}
	}
	if out.structured() {
		return out.write(a.stdout, r)
	}
	a.printBacktest(r)
	return nil
}

// options reads the times. The end is a whole step, so that a full minute is
// judged in every run.
func (f *backtestFlags) options(now time.Time) (backtest.Options, error) {
	var o backtest.Options
	if err := f.check(); err != nil {
		return o, err
	}
	step, err := plan.ParseDuration(f.step)
	if err != nil {
		return o, usageError("--step: %w", err)
	}
	since, err := plan.ParseDuration(f.since)
	if err != nil {
		return o, usageError("--since: %w", err)
	}
	until, err := parseWhen("--until", f.until, now)
	if err != nil {
		return o, err
	}
	o.Step, o.To = time.Duration(step), until.Truncate(max(time.Duration(step), 1))
	o.From = o.To.Add(-time.Duration(since))
	switch {
	case o.Step < time.Second || o.Step%time.Second != 0:
		return o, usageError("--step %s: want whole seconds", step)
	case since < step:
		return o, usageError("--since %s is shorter than --step %s", since, step)
	case o.To.Sub(o.From)/o.Step > maxEvaluations:
		return o, usageError("--since %s by --step %s is more than %d evaluations: take a longer step", since, step, maxEvaluations)
	}
	return o, nil
}

// maxEvaluations is a year by the minute.
const maxEvaluations = 527040

// planOf finds the plan that PLAN [PATH...] names.
func (a *app) planOf(args []string, namespace string) (*plan.Document, error) {
	ref, err := parsePlan(args[0], namespace)
	if err != nil {
		return nil, err
	}
	paths := args[1:]
	if len(paths) == 0 {
		paths = []string{"."}
	}
	return a.findPlan(ref, paths)
}

func (a *app) printBacktest(r *backtest.Report) {
	a.printf("Plan %s from %s to %s, every %s: %d evaluations of each gate.\n", r.Plan, utc(r.From), utc(r.To), r.Step, r.Evaluations)
	for _, text := range r.Assumptions {
		a.printf("%s\n", text)
	}
	if len(r.Gates) == 0 {
		a.note("There is no gate.")
		return
	}
	rows := [][]cell{cells("STOPS", "EFFECT", "GATE", "TRUE", "FALSE", "NODATA", "ERROR", "CHANGES", "FIRST TRUE")}
	for i := range r.Gates {
		g := &r.Gates[i]
		row := cells(backtest.Stops(g.Stops), string(g.Effect), g.Name)
		for _, v := range []gates.Verdict{gates.Pass, gates.Fail, gates.NoData, gates.Error} {
			row = append(row, a.total(g, v))
		}
		first := "-"
		if g.FirstPass != nil {
			first = utc(*g.FirstPass)
		}
		rows = append(rows, append(row, cells(fmt.Sprint(len(g.Intervals)-1), first)...))
	}
	a.printf("\n")
	a.table(a.stdout, "", rows)
	for i := range r.Gates {
		a.printIntervals(&r.Gates[i])
	}
}

func (a *app) total(g *backtest.Gate, v gates.Verdict) cell {
	d, ok := g.Totals[v]
	if !ok {
		return cell{text: "-"}
	}
	return cell{text: d.String(), colour: verdictColour(g, v)}
}

func verdictColour(g *backtest.Gate, v gates.Verdict) string {
	return toneColours[web.VerdictTone(gates.Result{Key: gates.Key{Effect: g.Effect}, Verdict: v})]
}

func (a *app) printIntervals(g *backtest.Gate) {
	title := fmt.Sprintf("%s %s at %s: %s", g.Effect, g.Name, backtest.Stops(g.Stops), g.Expr)
	if g.For > 0 {
		title += " for " + g.For.String()
	}
	a.printf("\n%s\n", a.paint(bold, printable(title)))
	rows := [][]cell{cells("FROM", "TO", "LASTED", "VERDICT", "DETAIL")}
	for _, in := range g.Intervals[:min(len(g.Intervals), maxShownIntervals)] {
		row := cells(utc(in.From), utc(in.To), plan.Duration(in.To.Sub(in.From)).String(), g.Word(in.Verdict), dash(in.Detail))
		row[3].colour = verdictColour(g, in.Verdict)
		rows = append(rows, row)
	}
	a.table(a.stdout, "  ", rows)
	if more := len(g.Intervals) - maxShownIntervals; more > 0 {
		a.printf("  and %d more, which -o json has\n", more)
	}
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
