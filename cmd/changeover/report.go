package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/cmd/changeover/migrationreport"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/render/kustomize"
)

// reportFlags are those of report.
type reportFlags struct {
	changeFlags
	prometheus   string
	since, until string
	final        bool
	interval     time.Duration
}

func (a *app) reportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report PLAN",
		Short: "Report a day of a migration, or all of it, from Git and Prometheus",
		Long: `Report a plan from the repository that the daemon watches and from Prometheus; no daemon is asked.

The daily report has where the plan is and what blocks it, what each side served, what is new in Git, rollbacks with
their commits, the plan's signals over the time and over as long a time before, its gates and for how long each was
true, consent that is new or missing, and what the daemon counts of entities, transforms and backups.

With --final it is the migration report: every stop with when it was declared and by whom, every rollback, the
criteria of spec.success, and all sign-offs. It ends with 1 where anything is open: a stop that was not reached, a
criterion that does not hold or is not known, consent that is missing.

What is not known is said and never guessed: without --prometheus that is much. Where the plan is, is told by the
daemon's metrics, and its decision is that of the daemon's rules over what is known here.

Exit codes: 0 written (with --final: and nothing is open), 1 there is no such plan or something is open, 2 wrong
flags, 3 the repository or Prometheus could not be read.`,
		Example: `  changeover report shop --prometheus http://localhost:9090
  changeover report shop --prometheus http://localhost:9090 --since 7d -o html > week.html
  changeover report shop --prometheus http://localhost:9090 --final --repo https://git.example.com/ops/migrations.git`,
		Args: onePlan(false),
	}
	f := &reportFlags{}
	f.addReading(cmd)
	namespace := addNamespace(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.repo, "repo", "", "URL or path of the repository (default: the remote `origin` of this folder's repository)")
	flags.StringVar(&f.prometheus, "prometheus", "", "URL of the Prometheus that has the signals and the daemon's metrics")
	flags.StringVar(&f.since, "since", "24h", "how far back from --until")
	flags.StringVar(&f.until, "until", "now", "where it ends: a time such as 2026-03-01T12:00:00Z, or -2h")
	flags.BoolVar(&f.final, "final", false, "report the whole migration")
	flags.DurationVar(&f.interval, "interval", 15*time.Second, "how often the daemon evaluates gates")
	cmd.MarkFlagsMutuallyExclusive("final", "since")
	out := addOutput(cmd, formatMarkdown, formatHTML, formatJSON)
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		ref, err := parsePlan(args[0], *namespace)
		if err != nil {
			return err
		}
		r, err := a.report(ctx, f, ref)
		if err != nil {
			return err
		}
		return a.writeReport(r, out)
	})
	return cmd
}

func (a *app) writeReport(r migrationreport.Report, out *outputFlag) error {
	write := r.Markdown
	switch out.value {
	case formatHTML:
		write = r.HTML
	case formatJSON:
		write = r.JSON
	}
	if err := write(a.stdout); err != nil {
		return err
	}
	if len(r.Open) > 0 {
		return errFindings
	}
	return nil
}

// times are where the report begins and ends. A final one begins with the plan.
func (f *reportFlags) times(now time.Time) (since, until time.Time, err error) {
	until, err = parseWhen("--until", f.until, now)
	if err != nil {
		return since, until, err
	}
	length, err := plan.ParseDuration(f.since)
	switch {
	case err != nil:
		return since, until, usageError("--since: %w", err)
	case time.Duration(length) < time.Minute:
		return since, until, usageError("--since %s: want at least 1m", length)
	case until.After(now):
		return since, until, usageError("--until %s is in the future", f.until)
	case f.interval <= 0:
		return since, until, usageError("--interval %s is too short", f.interval)
	}
	return until.Add(-time.Duration(length)), until, nil
}

func (a *app) report(ctx context.Context, f *reportFlags, ref planRef) (r migrationreport.Report, err error) {
	now := a.now()
	since, until, err := f.times(now)
	if err != nil {
		return r, err
	}
	if f.prometheus != "" {
		if err := checkURL("--prometheus", f.prometheus); err != nil {
			return r, err
		}
	}
	f.author, f.reads = daemonAuthor, kustomize.Reads // no commit is made
	h, err := a.readHead(ctx, &f.changeFlags, ref)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, h.repo.Close()) }()
	in := migrationreport.Input{Since: since, Now: until, Final: f.final}
	if err := h.reportGit(ctx, &in, until.Before(now)); err != nil {
		return r, err
	}
	if f.final {
		in.Since = in.Changes[0].At
	}
	if f.prometheus == "" {
		in.NoSides = "How requests are shared is not known without --prometheus."
		in.Notes = append(in.Notes, "No --prometheus was given: signals, gates and what the daemon's metrics tell are not known.")
		return migrationreport.Build(in), nil
	}
	if err := a.reportPrometheus(ctx, f, h, &in); err != nil {
		return r, err
	}
	return migrationreport.Build(in), nil
}

// reportGit fills in what the branch tells, at its head or as of a time before.
func (h *atHead) reportGit(ctx context.Context, in *migrationreport.Input, past bool) error {
	all, err := h.repo.Changes(ctx, h.key, "", h.head)
	if err != nil {
		return fmt.Errorf("read the history of %q: %w", h.key, err)
	}
	for _, c := range all {
		if !c.At.After(in.Now) {
			in.Changes = append(in.Changes, c)
		}
	}
	if len(in.Changes) == 0 {
		return finding("plan %q was not on the branch before %s", h.key, utc(in.Now))
	}
	at := h.head
	if past {
		at = in.Changes[len(in.Changes)-1].Commit
	}
	if in.Head, err = h.repo.Version(ctx, h.key, at); err != nil {
		return fmt.Errorf("read plan %q at %s: %w; `changeover validate` says more", h.key, at.Short(), err)
	}
	approvals, problems, err := h.repo.Approvals(ctx, h.key, h.head)
	if err != nil {
		return fmt.Errorf("read the approvals of %q: %w", h.key, err)
	}
	for _, p := range problems {
		in.Notes = append(in.Notes, "An approval cannot be read: "+p.String()+".")
	}
	for _, a := range approvals {
		if !a.At.After(in.Now) {
			in.Approvals = append(in.Approvals, a)
		}
	}
	in.Causes = map[plan.Revision]migrationreport.Cause{}
	for _, c := range in.Changes {
		if c.RollbackOf == "" {
			continue
		}
		var cause migrationreport.Cause
		if cause.Gates, cause.Evidence, err = h.repo.Cause(c.Commit); err != nil {
			return fmt.Errorf("read revert %s: %w", c.Commit.Short(), err)
		}
		in.Causes[c.Commit] = cause
	}
	return nil
}

// clients of a Prometheus, for needs of gates and for other questions.
func (f *reportFlags) clients() (*prom.Client, prom.Querier, error) {
	o := prom.Options{URL: f.prometheus, Timeout: pastTimeout}
	q, err := prom.NewQuerier(o)
	if err != nil {
		return nil, nil, err
	}
	o.Querier = q
	c, err := prom.New(o)
	return c, q, err
}

// limits of a decision that nobody carries out.
var reportLimits = decide.Limits{GitMaxAge: time.Hour}
