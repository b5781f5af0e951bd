package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/backup"
	"github.com/changeover-dev/changeover/reconciler/web"
)

func (a *app) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "List, make, verify, compare and restore the backups of plans",
		Long: `A phase with backup is not entered before the objects that it lists were saved and read back. These commands work on
those backups, where the daemon keeps them: in backups of its state directory, or where --backup-url says.

A backup is four files: objects.jsonl.gz (zcat reads it), secrets.jsonl.gz.age (age -d does), index.jsonl.gz and
backup.json. A folder without backup.json is no backup: it was not finished.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError("%s needs a subcommand: list, create, verify, diff or restore", cmd.CommandPath())
		},
	}
	cmd.AddCommand(a.backupListCommand(), a.backupCreateCommand(), a.backupVerifyCommand(), a.backupDiffCommand(), a.backupRestoreCommand())
	return cmd
}

func (a *app) backupListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [PLAN]",
		Short: "List backups, oldest first",
		Long:  "List the backups of all plans or of one, with the phase that each was made for, its size and its age.",
		Example: `  changeover backup list
  changeover backup list shop -o json`,
		Args: atMostOnePlan,
	}
	q := a.backupQuery(cmd, false)
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		s, err := q.open(ctx, *q.stateDir)
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }()
		keys, err := q.plans(ctx, s, args)
		if err != nil {
			return err
		}
		return a.listBackups(ctx, s, keys, q.out)
	})
	return cmd
}

// plans that are meant: the one that is named, or all that have backups.
func (q *backupQuery) plans(ctx context.Context, s *backup.Store, args []string) ([]plan.Key, error) {
	known, err := s.Plans(ctx)
	if err != nil || len(args) == 0 {
		return known, err
	}
	key, err := q.plan(known, args[0])
	return []plan.Key{key}, err
}

func (q *backupQuery) plan(known []plan.Key, arg string) (plan.Key, error) {
	ref, err := parsePlan(arg, *q.namespace)
	if err != nil {
		return plan.Key{}, err
	}
	return ref.resolve(known, "with a backup")
}

// listed is a backup, for programs.
type listed struct {
	Plan     plan.Key         `json:"plan"`
	Name     string           `json:"name"`
	Problem  string           `json:"problem,omitempty"`
	Manifest *backup.Manifest `json:"manifest,omitempty"`
	Restored *backup.Restored `json:"restored,omitempty"`
}

func (a *app) listBackups(ctx context.Context, s *backup.Store, keys []plan.Key, out *outputFlag) error {
	rows := [][]cell{cells("PLAN", "NAME", "PHASE", "REVISION", "OBJECTS", "SIZE", "AGE", "STATE")}
	all := []listed{}
	for _, key := range keys {
		found, err := s.List(ctx, key)
		if err != nil {
			return err
		}
		for _, b := range found {
			age := web.Age(b.Begun, a.now())
			if b.Err != nil {
				all = append(all, listed{Plan: key, Name: b.Name, Problem: b.Err.Error()})
				rows = append(rows, cells(key.String(), b.Name, "-", "-", "-", "-", age, b.Err.Error()))
				continue
			}
			state := "complete"
			if b.Restored != nil {
				state = "complete, restored " + web.Age(b.Restored.At, a.now()) + " ago"
			}
			all = append(all, listed{Plan: key, Name: b.Name, Manifest: &b.Manifest, Restored: b.Restored})
			rows = append(rows, cells(key.String(), b.Name, b.Phase, dash(b.Revision.Short()), fmt.Sprint(b.Objects), size(b.Bytes), age, state))
		}
	}
	switch {
	case out.structured():
		return out.write(a.stdout, all)
	case len(all) == 0:
		a.note("No backup yet. The daemon makes one before a phase with `backup` is entered; `changeover backup create` does by hand.")
	default:
		a.table(a.stdout, "", rows)
	}
	return nil
}

// size of files, for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}

func (a *app) backupCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create PLAN [PATH...]",
		Short: "Make a backup now",
		Long: `Save what a phase of the plan lists, now. The plan is read from its file as it is in this folder, or in the files and
folders named. Such a backup is kept, listed and restored as those that the daemon makes, but a rollback does not
restore it by itself: it may be of what is to be undone. With --dry-run it is told how many objects there are.`,
		Example: `  changeover backup create intents plans/ --phase converted --context production`,
		Args:    onePlan(true),
	}
	q := a.backupQuery(cmd, true)
	phase := cmd.Flags().String("phase", "", "phase whose backup is made (default: the only one of the plan that has one)")
	dry := cmd.Flags().Bool("dry-run", false, "count the objects, and write nothing")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		doc, err := a.namedPlan(args[0], *q.namespace, args[1:])
		if err != nil {
			return err
		}
		ph, err := phaseWithBackup(doc.Plan, *phase)
		if err != nil {
			return err
		}
		return a.createBackup(ctx, q, doc.Plan, ph, *dry)
	})
	return cmd
}

// phaseWithBackup is the one that is named, or the only one there is.
func phaseWithBackup(p *plan.Plan, name string) (*plan.Phase, error) {
	var found []*plan.Phase
	for i := range p.Spec.Phases {
		if ph := &p.Spec.Phases[i]; ph.Backup != nil && (name == "" || name == ph.Name) {
			found = append(found, ph)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case name != "":
		return nil, usageError("--phase %q: the plan has no such phase with backup", name)
	case len(found) == 0:
		return nil, finding("plan %s has no phase with backup: add backup: {include: [...]} to one", p.Key())
	}
	return nil, usageError("--phase is required: %d phases of plan %s have backup", len(found), p.Key())
}

func (a *app) createBackup(ctx context.Context, q *backupQuery, p *plan.Plan, ph *plan.Phase, dry bool) error {
	c, err := q.client(a, true)
	if err == nil {
		c, err = c.ForPlan(p)
	}
	if err != nil {
		return err
	}
	if dry {
		kinds, err := backup.Counts(ctx, c, *ph.Backup)
		if err != nil {
			return err
		}
		if q.out.structured() {
			return q.out.write(a.stdout, kinds)
		}
		for _, k := range kinds {
			a.printf("%d objects of kind %s would be saved\n", k.Objects, k.BackupKind)
		}
		return nil
	}
	s, err := q.open(ctx, *q.stateDir)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	b := &bars{app: a}
	m, err := backup.Create(ctx, backup.Creation{
		Client: c, Store: s, Plan: p.Key(), Phase: ph.Name, Backup: *ph.Backup, Now: a.now,
		Show: func(n backup.Count) { b.show("back up", n) },
	})
	b.end()
	if err != nil {
		return err
	}
	if q.out.structured() {
		return q.out.write(a.stdout, m)
	}
	a.printf("Backup %s of plan %s: %d objects, %s, made and read back in %s.\n", m.Name, m.Plan, m.Objects, size(m.Bytes), m.Ended.Sub(m.Begun).Round(100*time.Millisecond))
	return nil
}
