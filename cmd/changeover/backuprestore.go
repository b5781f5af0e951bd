package main

import (
	"context"
	"errors"
	"fmt"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/reconciler/backup"
)

// stages of a restore, for people.
var stages = map[backup.Stage]string{backup.StageTry: "try", backup.StageWrite: "restore", backup.StageVerify: "compare"}

// planAndBackup checks the arguments PLAN [NAME].
func planAndBackup(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return usageError("PLAN is missing: give NAME or NAMESPACE/NAME")
	case len(args) > 2:
		return usageError("PLAN and the NAME of a backup are wanted, not %d arguments (%q)", len(args), args)
	}
	return nil
}

// opened is a backup that was named.
type opened struct {
	store      *backup.Store
	manifest   backup.Manifest
	identities []age.Identity
}

// with opens the backup that the arguments name, or the newest of the plan.
func (q *backupQuery) with(ctx context.Context, a *app, args []string, work func(opened) error) error {
	ids, err := q.keys()
	if err != nil {
		return err
	}
	s, err := q.open(ctx, *q.stateDir)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	known, err := s.Plans(ctx)
	if err != nil {
		return err
	}
	key, err := q.plan(known, args[0])
	if err != nil {
		return err
	}
	if len(args) == 2 {
		m, err := s.Load(ctx, key, args[1])
		if errors.Is(err, backup.ErrUnfinished) {
			return finding("%w; `changeover backup list %s` lists the backups", err, key)
		}
		if err != nil {
			return finding("%w", err)
		}
		return work(opened{s, m, ids})
	}
	all, err := s.List(ctx, key)
	if err != nil {
		return err
	}
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Err == nil {
			a.note("The newest backup is %s.", all[i].Name)
			return work(opened{s, all[i].Manifest, ids})
		}
	}
	return finding("plan %s has no backup that was finished; `changeover backup list %s` lists what there is", key, key)
}

func (a *app) backupVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify PLAN [NAME]",
		Short: "Read a backup and compare every object with what was written",
		Long: `Read a backup, or the newest of the plan, and compare every object with its SHA-256. What is damaged or missing is told
object by object. Of Secrets the encrypted file is compared; with --identity each of them is.

Exit codes: 0 all is as it was written, 1 something is not, 3 the place of the backups cannot be read.`,
		Example: `  changeover backup verify shop
  changeover backup verify shop --identity key.txt`,
		Args: planAndBackup,
	}
	q := a.backupQuery(cmd, false)
	q.addIdentity(cmd, "identity")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		return q.with(ctx, a, args, func(o opened) error {
			b := &bars{app: a}
			r, err := backup.Verify(ctx, o.store, o.manifest, o.identities, func(c backup.Count) { b.show("verify", c) })
			b.end()
			if err != nil {
				return err
			}
			return a.reportBackup(r, q.out, r.OK())
		})
	})
	return cmd
}

func (a *app) backupDiffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff PLAN [NAME]",
		Short: "Compare a backup with what is live",
		Long: `Compare a backup, or the newest of the plan, with the cluster: what is missing there, what was added since, and of what
has changed which fields. Values are never shown.

Exit codes: 0 all is live as in the backup, 1 something is not, 3 it could not be compared.`,
		Example: `  changeover backup diff shop --kubeconfig ~/.kube/config`,
		Args:    planAndBackup,
	}
	q := a.backupQuery(cmd, true)
	q.addIdentity(cmd, "identity")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		c, err := q.client(a, true)
		if err != nil {
			return err
		}
		return q.with(ctx, a, args, func(o opened) error {
			b := &bars{app: a}
			r, err := backup.Diff(ctx, c, o.store, o.manifest, o.identities, func(_ backup.Stage, c backup.Count) { b.show("compare", c) })
			b.end()
			if err != nil {
				return err
			}
			return a.reportBackup(r, q.out, r.OK() && len(r.Items) == 0)
		})
	})
	return cmd
}

func (a *app) backupRestoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore PLAN [NAME]",
		Short: "Bring back the objects of a backup",
		Long: `Restore a backup, or the newest of the plan. First every object is tried on the server, without an effect; where one
cannot be restored nothing is written, and each such object is listed with the reason: a field that another manager
owns, a policy that refuses it, damage in the backup. Then namespaces and definitions are applied, then all others, then
their status, and at last every object is compared with the backup. What is live as in the backup is left alone, so a
restore that was interrupted goes on when it is given again. Nothing is ever deleted.

--partial restores what can be and lists the rest. --force-conflicts takes fields of other managers, and removes from
live objects what the backup does not have. --dry-run ends after the first step.

Exit codes: 0 all is live as in the backup, 1 some objects are not, 3 it could not be restored.`,
		Example: `  changeover backup restore intents --context production --dry-run
  changeover backup restore intents 20260301T120000.000Z-converted-0123456789 --context production --identity key.txt`,
		Args: planAndBackup,
	}
	q := a.backupQuery(cmd, true)
	q.addIdentity(cmd, "identity")
	dry := cmd.Flags().Bool("dry-run", false, "try every object, and write nothing")
	partial := cmd.Flags().Bool("partial", false, "restore what can be restored, where some objects cannot")
	force := cmd.Flags().Bool("force-conflicts", false, "take fields that other managers own")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		c, err := q.client(a, *dry)
		if err != nil {
			return err
		}
		return q.with(ctx, a, args, func(o opened) error {
			b := &bars{app: a}
			r, err := backup.Restore(ctx, backup.Restoration{
				Client: c, Store: o.store, Manifest: o.manifest, Identities: o.identities, DryRun: *dry, Force: *force, Partial: *partial,
				Show: func(s backup.Stage, c backup.Count) { b.show(stages[s], c) },
			})
			b.end()
			if err != nil {
				return fmt.Errorf("restore backup %s: %w; what is restored stays, and the same command goes on", o.manifest.Name, err)
			}
			if !r.OK() && !*dry && !*partial {
				a.note("Nothing was written where an object could not even be tried; --partial restores the others.")
			}
			return a.reportBackup(r, q.out, r.OK())
		})
	})
	return cmd
}

// reportBackup tells what became of the objects, each that is not as it should
// be.
func (a *app) reportBackup(r *backup.Report, out *outputFlag, ok bool) error {
	if out.structured() {
		if err := out.write(a.stdout, r); err != nil {
			return err
		}
	} else {
		for _, f := range r.Faults {
			a.printf("%s\n", printable(f))
		}
		if len(r.Items) > 0 {
			rows := [][]cell{cells("RESULT", "OBJECT", "WHY")}
			for _, i := range r.Items {
				rows = append(rows, cells(string(i.Result), i.ID.String(), i.Message))
			}
			a.table(a.stdout, "", rows)
		}
		a.printf("%s\n", r.Tally())
	}
	if !ok {
		return errFindings
	}
	return nil
}
