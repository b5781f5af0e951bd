package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/cmd/changeover/plantest"
	"github.com/changeover-dev/changeover/cmd/changeover/simulation"
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/gates/prom/engine"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/timeline"
)

const (
	formatText    = "text"
	formatMermaid = "mermaid"
	formatSVG     = "svg"
)

// simulateFlags say what to simulate, over which signals.
type simulateFlags struct {
	length, step, since         string
	start, from, to             string
	series, prometheus, assumed string
	approved                    bool
}

func (a *app) simulateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulate PLAN [PATH...]",
		Short: "Play a whole plan over given or recorded series",
		Long: `Play the plan from a stop to another, step by step, by the same gates and the same decisions as the daemon, and
print when it would be where, and why. Nothing is asked of a cluster and nothing is changed: moves are done at once,
and what the plan requires of the cluster is there.

The values of the signals are from a file of series in promtool's notation (--series: a YAML file with interval and
input_series, which begin at the start), or from what a Prometheus has recorded of the last while (--prometheus and
--since). Without either every signal is unknown, and nothing passes a gate that reads one. With --assume pass gates
that have no data are taken for granted: those of enter and advance pass, those of pause and rollback are silent;
that shows how long the bakes take, and proves nothing about the gates. --approved takes every approval and every
tick of a checklist for given; without it the plan waits where it asks for one.`,
		Example: `  changeover simulate shop --assume pass
  changeover simulate shop --series incident.yaml --for 2w -o svg > shop.svg
  changeover simulate shop --prometheus http://127.0.0.1:9090 --since 7d`,
		Args: onePlan(true),
	}
	namespace := addNamespace(cmd)
	out := addOutput(cmd, formatText, formatJSON, formatYAML, formatMermaid, formatSVG)
	var f simulateFlags
	flags := cmd.Flags()
	flags.StringVar(&f.length, "for", "16w", "how long to play; with --prometheus as long as --since at most")
	flags.StringVar(&f.step, "step", "1m", "time between two evaluations")
	flags.StringVar(&f.start, "start", "", "when it begins, as 2026-12-01T09:00:00Z (default: now)")
	flags.StringVar(&f.from, "from", "", "stop at which it begins, just entered (default: none, not even the first)")
	flags.StringVar(&f.to, "to", "", "stop that is declared (default: the last)")
	flags.StringVar(&f.series, "series", "", "file with the series")
	flags.StringVar(&f.prometheus, "prometheus", "", "URL of the Prometheus that recorded the series")
	flags.StringVar(&f.since, "since", "7d", "how far back to play from what --prometheus recorded")
	flags.BoolVar(&f.approved, "approved", false, "take approvals and ticks for given")
	flags.StringVar(&f.assumed, "assume", "", "what a gate without data is taken for; the one choice is pass")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		doc, err := a.namedPlan(args[0], *namespace, args[1:])
		if err != nil {
			return err
		}
		others, err := a.simulateOthers(ctx, doc, f, args[1:])
		if err != nil {
			return err
		}
		r, err := a.simulate(ctx, doc, f, others)
		if err != nil {
			return err
		}
		return a.printSimulation(r, out)
	})
	return cmd
}

// check reads the flags into a report that is still to be run.
func (f simulateFlags) check(p *plan.Plan, now time.Time) (*simulation.Report, plan.Position, error) {
	r := &simulation.Report{Plan: p.Key(), Itinerary: p.Itinerary()}
	var from plan.Position
	given := 0
	for _, s := range []string{f.series, f.prometheus, f.assumed} {
		if s != "" {
			given++
		}
	}
	switch {
	case f.assumed != "" && f.assumed != "pass":
		return nil, from, usageError("read --assume %q: the one choice is pass", f.assumed)
	case given > 1:
		return nil, from, usageError("choose one of --series, --prometheus and --assume: what is known is not assumed")
	}
	length, err := positive("--for", f.length)
	if err != nil {
		return nil, from, err
	}
	step, err := positive("--step", f.step)
	if err != nil {
		return nil, from, err
	}
	since, err := positive("--since", f.since)
	if err != nil {
		return nil, from, err
	}
	r.Step, r.Start = plan.Duration(step), now.UTC().Truncate(step)
	if f.start != "" {
		if r.Start, err = time.Parse(time.RFC3339, f.start); err != nil {
			return nil, from, usageError("read --start %q: want a time as 2026-12-01T09:00:00Z", f.start)
		}
		r.Start = r.Start.UTC()
	} else if f.prometheus != "" {
		r.Start, length = r.Start.Add(-since), min(length, since)
	}
	r.End = r.Start.Add(length)
	r.To = r.Itinerary[len(r.Itinerary)-1]
	if f.to != "" {
		if r.To, err = stopOf(p, f.to); err != nil {
			return nil, from, err
		}
	}
	if f.from != "" {
		from, err = stopOf(p, f.from)
	}
	return r, from, err
}

func positive(flag, s string) (time.Duration, error) {
	d, err := plan.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, usageError("read %s %q: want a time such as 1m, 12h or 16w", flag, s)
	}
	return time.Duration(d), nil
}

func (a *app) simulate(ctx context.Context, doc *plan.Document, f simulateFlags, others []simulation.Other) (*simulation.Report, error) {
	r, from, err := f.check(doc.Plan, a.now())
	if err != nil {
		return nil, err
	}
	o := timeline.Options{
		Plan: plan.Version{Plan: doc.Plan, Path: doc.File, Content: plan.ContentDigest(doc.Plan), Live: plan.LiveDigest(doc.Plan)},
		From: from, Start: r.Start, Interval: time.Duration(r.Step), Limits: plantest.Limits,
	}
	if f.approved {
		o.Author, o.Consent = simulation.Raiser, true
	}
	var querier prom.Options
	switch {
	case f.series != "":
		r.Signals = "from " + f.series
		querier.Querier, err = a.readSeries(f.series, r.Start)
	case f.prometheus != "":
		r.Signals = "from the Prometheus at " + hostOf(f.prometheus)
		querier.URL, querier.Timeout = f.prometheus, time.Minute
	case f.assumed != "":
		r.Signals = "not given: gates without data are taken to pass, and alarms without data to be silent (--assume pass)"
		o.Judge = assumePass
	default:
		r.Signals = "not given: every one is unknown. Give --series or --prometheus, or --assume pass to see how long the bakes take"
	}
	if err != nil {
		return nil, err
	}
	if f.series != "" || f.prometheus != "" {
		if o.Sampler, err = spanOf(ctx, querier, doc.Plan, r); err != nil {
			return nil, err
		}
	}
	player, err := timeline.New(o)
	if err != nil {
		return nil, err
	}
	if r.To != from {
		if err := player.Commit(r.Start, timeline.Commit{To: r.To, Author: o.Author}); err != nil {
			return nil, err
		}
	}
	if f.approved {
		simulation.Approve(player, r, doc.Plan)
	}
	return r, r.Run(player, others...)
}

// hostOf is the URL without what may be secret in it.
func hostOf(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return "that URL"
	}
	return u.Scheme + "://" + u.Host
}

func (a *app) readSeries(name string, start time.Time) (prom.Querier, error) {
	src, err := readBounded(name)
	if err != nil {
		return nil, err
	}
	series, problems := plantest.DecodeSeries(name, src, start)
	for _, p := range problems {
		a.printf("%s", a.renderProblem(p))
	}
	if len(problems) > 0 {
		return nil, errFindings
	}
	return engine.New(series)
}

// spanOf asks for all that the gates may need, at every step.
func spanOf(ctx context.Context, o prom.Options, p *plan.Plan, r *simulation.Report) (*prom.Span, error) {
	o.Tick = time.Millisecond
	c, err := prom.New(o)
	if err != nil {
		return nil, usageError("%w", err)
	}
	needs, err := timeline.Needs(p, time.Duration(r.Step))
	if err != nil {
		return nil, err
	}
	return c.Span(ctx, needs, r.Start, r.End, time.Duration(r.Step))
}

// assumePass takes gates without data for granted, and the baselines that are
// remembered for them. What is assumed has no value: gates that read it are without
// data, too.
func assumePass(rs gates.Results, due map[string]gates.Point) {
	for name, p := range due {
		if p.Unknown != "" {
			due[name] = gates.Point{Time: p.Time}
		}
	}
	for i := range rs {
		r := &rs[i]
		if r.Verdict != gates.NoData && r.Verdict != gates.Error {
			continue
		}
		v := gates.Pass
		if r.Effect == plan.Pause || r.Effect == plan.Breaches {
			v = gates.Fail
		}
		r.Verdict, r.Now, r.Detail = v, v, "assumed"
	}
}

func (a *app) printSimulation(r *simulation.Report, out *outputFlag) error {
	switch {
	case out.value == formatMermaid:
		a.printf("%s", r.Mermaid())
	case out.value == formatSVG:
		a.printf("%s", r.SVG())
	case out.structured():
		return out.write(a.stdout, r)
	default:
		a.printSimulationText(r)
	}
	return nil
}

func (a *app) printSimulationText(r *simulation.Report) {
	a.printf("%s to %s, from %s in %d steps of %s\nSignals: %s.\n\n", printable(r.Plan.String()), r.To, r.Start.Format(time.RFC3339), r.Steps, r.Step, printable(r.Signals))
	for _, d := range r.DependsOn {
		when := "not complete by then"
		if !d.Complete.IsZero() {
			when = "complete after " + plan.Duration(d.Complete.Sub(r.Start)).String()
		}
		a.printf("It depends on %s: %s.\n", printable(d.Plan.String()), when)
	}
	if len(r.DependsOn) > 0 {
		a.printf("\n")
	}
	rows := [][]cell{cells("AFTER", "WHEN", "POSITION", "DECISION", "WHY")}
	for _, e := range r.Events {
		why := e.Message
		if e.Reverted > 0 {
			why = fmt.Sprintf("%s reverted: %s", count(e.Reverted, "commit"), why)
		}
		rows = append(rows, cells(plan.Duration(e.At.Sub(r.Start)).String(), e.At.Format(time.RFC3339), e.Position.String(), fmt.Sprintf("%s %s", e.Verb, e.Reason), why))
	}
	a.table(a.stdout, "", rows)
	a.printf("\nIn the end: %s.\n", r.Outcome())
}
