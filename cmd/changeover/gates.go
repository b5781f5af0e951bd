package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/cmd/changeover/backtest"
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// gatesReport is what `gates -o json` prints.
type gatesReport struct {
	Plan      plan.Key      `json:"plan"`
	Effective plan.Position `json:"effective"`
	CheckedAt string        `json:"checkedAt,omitempty"`
	// Assumptions are set where no daemon was asked.
	Assumptions []string      `json:"assumptions,omitempty"`
	Gates       gates.Results `json:"gates"`
}

// gatesFlags are those of gates; at and now are without a daemon.
type gatesFlags struct {
	pastFlags
	at, stop string
	now      bool
}

func (a *app) gatesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gates PLAN [PATH...]",
		Short: "Show the verdicts of a plan's gates and the values behind them",
		Long: `Show the gates of the effective stop and the enter gates of the next, with the verdicts of the daemon's last
evaluation. Breach: the expression of a pause or rollback gate is true; Quiet: it is false.

With --at or --now no daemon is asked: the gates of the plan's file in this folder (or in the files and folders named)
are evaluated as of that time against --prometheus, as if the plan stood at --stop.`,
		Example: `  changeover gates shop
  changeover gates shop --now --prometheus http://localhost:9090
  changeover gates shop plans/ --at 2026-03-01T12:00:00Z --stop gradual@25 --prometheus http://localhost:9090`,
		Args: onePlan(true),
	}
	f := &gatesFlags{}
	f.add(cmd)
	namespace := addNamespace(cmd)
	stateDir := a.addStateDir(cmd)
	out := addOutput(cmd, formatTable, formatWide, formatJSON, formatYAML)
	cmd.Flags().StringVar(&f.at, "at", "", "evaluate as of this time: such as 2026-03-01T12:00:00Z, or -2h")
	cmd.Flags().BoolVar(&f.now, "now", false, "evaluate as of now, without a daemon")
	cmd.Flags().StringVar(&f.stop, "stop", "", "stop as PHASE or PHASE@PERCENT (default: the declared position)")
	cmd.MarkFlagsMutuallyExclusive("at", "now")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		if f.at != "" || f.now {
			return a.gatesAt(ctx, f, args, *namespace, out)
		}
		for _, name := range []string{"prometheus", "interval", "stop"} {
			if cmd.Flags().Changed(name) {
				return usageError("--%s is for --at or --now: without them the daemon's last evaluation is shown", name)
			}
		}
		if len(args) > 1 {
			return usageError("one PLAN is wanted, not %d arguments (%q): files are read with --at or --now", len(args), args)
		}
		ref, err := parsePlan(args[0], *namespace)
		if err != nil {
			return err
		}
		found, err := a.ask(ctx, statusQuery{stateDir: *stateDir, ref: &ref})
		if err != nil {
			return err
		}
		s := found[0]
		return a.printGates(gatesReport{Plan: s.Key, Effective: s.Effective, Gates: s.Gates}, s.CheckedAt, out)
	})
	return cmd
}

// gatesAt evaluates the gates of a file.
func (a *app) gatesAt(ctx context.Context, f *gatesFlags, args []string, namespace string, out *outputFlag) error {
	if err := f.check(); err != nil {
		return err
	}
	at := a.now()
	if f.at != "" {
		var err error
		if at, err = parseWhen("--at", f.at, at); err != nil {
			return err
		}
	}
	doc, err := a.planOf(args, namespace)
	if err != nil {
		return err
	}
	stop, err := stopOf(doc.Plan, f.stop)
	if err != nil {
		return err
	}
	c, prg, err := f.client(doc.Plan)
	if err != nil {
		return err
	}
	reqs := []gates.Request{{Stop: stop, Effects: []plan.Effect{plan.Advance, plan.Pause, plan.Breaches, plan.Verify}}}
	if next, ok := doc.Plan.Itinerary().Next(stop); ok {
		reqs = append(reqs, gates.Request{Stop: next, Effects: []plan.Effect{plan.Enter}})
	}
	results := prg.EvalContext(ctx, "", reqs, gates.Snapshot{Now: at, Samples: c.Sample(ctx, prg.Needs(reqs), at), Facts: backtest.Facts(stop)})
	return a.printGates(gatesReport{Plan: doc.Plan.Key(), Effective: stop, Assumptions: backtest.Assumptions(), Gates: results}, at, out)
}

func (a *app) printGates(r gatesReport, checked time.Time, out *outputFlag) error {
	if out.structured() {
		if !checked.IsZero() {
			r.CheckedAt = utc(checked)
		}
		if r.Gates == nil {
			r.Gates = gates.Results{}
		}
		return out.write(a.stdout, r)
	}
	if len(r.Gates) == 0 {
		a.note("Plan %q has no gate that counts at %s.", r.Plan, r.Effective)
		return nil
	}
	a.table(a.stdout, "", a.gateRows(r.Gates, out.value == formatWide))
	for _, text := range r.Assumptions {
		a.note("%s", text)
	}
	a.note("Evaluated %s.", moment(checked, a.now()))
	return nil
}
