package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/cmd/changeover/runbook"
)

func (a *app) runbookCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runbook PLAN [PATH...]",
		Short: "Write the runbook of a plan: every stop, its gates, the way on and back",
		Long: `Write, as Markdown, what the people on duty need: for each stop what changes, what must be true before, what is
watched, how to go on and how to go back, with the commands. It is made from the plan's file alone, as it is in this
folder or in the files and folders named; commit it next to the plan, or write it anew when you need it.`,
		Example: "  changeover runbook shop > RUNBOOK.md",
		Args:    onePlan(true),
	}
	namespace := addNamespace(cmd)
	cmd.RunE = a.does(func(_ context.Context, args []string) error {
		doc, err := a.namedPlan(args[0], *namespace, args[1:])
		if err != nil {
			return err
		}
		a.printf("%s", runbook.Write(doc.Plan, doc.File))
		return nil
	})
	return cmd
}
