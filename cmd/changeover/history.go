package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/reconciler"
)

// maxHistory is what the daemon gives at once.
const maxHistory = 1000

func (a *app) historyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history PLAN",
		Short: "Show what the daemon did with a plan, oldest first",
		Long: `Show every decision of the daemon that changed something, with its reason, the stops, and the commits of rollbacks.
The running daemon is asked; where none runs, what it wrote last is shown.`,
		Example: `  changeover history shop
  changeover history shop --limit 100 -o wide`,
		Args: onePlan(false),
	}
	namespace := addNamespace(cmd)
	stateDir := a.addStateDir(cmd)
	out := addOutput(cmd, formatTable, formatWide, formatJSON, formatYAML)
	limit := cmd.Flags().Int("limit", 20, "how many of the newest entries")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		if *limit < 1 || *limit > maxHistory {
			return usageError("--limit must be from 1 to %d, not %d", maxHistory, *limit)
		}
		ref, err := parsePlan(args[0], *namespace)
		if err != nil {
			return err
		}
		v, live, done, err := openView(ctx, *stateDir)
		if err != nil {
			return err
		}
		defer done()
		all, err := a.watchedPlans(ctx, v, live, *stateDir)
		if err != nil {
			return err
		}
		s, err := pick(all, ref)
		if err != nil {
			return err
		}
		entries, err := v.History(ctx, s.Key, *limit)
		if err != nil {
			return err
		}
		return a.showHistory(entries, out)
	})
	return cmd
}

func (a *app) showHistory(entries []reconciler.Entry, out *outputFlag) error {
	if out.structured() {
		if entries == nil {
			entries = []reconciler.Entry{}
		}
		return out.write(a.stdout, entries)
	}
	if len(entries) == 0 {
		a.note("Nothing yet.")
		return nil
	}
	header := cells("WHEN", "VERB", "REASON", "FROM", "TO", "COMMITS", "MESSAGE")
	if out.value == formatWide {
		header = append(header, cells("EVIDENCE")...)
	}
	rows := [][]cell{header}
	for _, e := range entries {
		var commits []string
		for _, c := range e.Commits {
			commits = append(commits, c.Short())
		}
		row := cells(e.At.UTC().Format("2006-01-02T15:04:05Z"), string(e.Verb), string(e.Reason), e.From.String(), e.To.String(), dash(strings.Join(commits, ",")), e.Message)
		if out.value == formatWide {
			row = append(row, cells(dash(strings.TrimSpace(evidence(e.Evidence))))...)
		}
		rows = append(rows, row)
	}
	a.table(a.stdout, "", rows)
	return nil
}
