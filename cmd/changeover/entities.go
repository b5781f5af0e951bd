package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/cmd/changeover/progress"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/entities"
	"github.com/changeover-dev/changeover/reconciler/inventory"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

// entitiesFlags are those of `changeover entities`.
type entitiesFlags struct {
	entity         entityFlags
	kube           kubeFlags
	namespace      *string
	out            *outputFlag
	owner          string
	end, dry       bool
	stateDir, stop string // of batches
}

func (a *app) entitiesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "entities",
		Short: "Show the entities of a plan, and what is wrong with them",
		Long: `Show who owns the entities of a plan, and compare the table of owners with the inventories of both sides. The plan is
read from its file in this folder, or in the files and folders named. The flags are those of the daemon: it does the same at
the plan's interval, and gates read what it finds.`,
	}
	cmd.AddCommand(a.entitiesListCommand(), a.entitiesVerifyCommand(), a.entitiesOrphansCommand(), a.entitiesBatchesCommand())
	return cmd
}

// entitiesSub makes a subcommand that has the plan's entities at hand.
func (a *app) entitiesSub(cmd *cobra.Command, f *entitiesFlags, do func(context.Context, *entitiesFlags, *plan.Plan, *entityTools) error) *cobra.Command {
	cmd.Args = onePlan(true)
	f.namespace = addNamespace(cmd)
	f.entity.add(cmd)
	f.kube.add(cmd)
	f.out = addOutput(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		if err := errors.Join(f.entity.check(), f.kube.check()); err != nil {
			return err
		}
		doc, err := a.namedPlan(args[0], *f.namespace, args[1:])
		if err != nil {
			return err
		}
		if doc.Plan.Spec.Entities == nil || doc.Plan.Spec.Entities.Source == nil {
			return fmt.Errorf("plan %s does not say where its entities are listed: add spec.entities.source", doc.Plan.Key())
		}
		if k := doc.Plan.Spec.Entities.Source.Kubernetes; !doc.Plan.Spec.Entities.Routed() {
			return finding("the owner of the entities of plan %s is a label: `kubectl get %s -A -L %s` lists them", doc.Plan.Key(), strings.ToLower(k.Kind), doc.Plan.Key().SideLabel())
		}
		var kube inventory.Kube
		if f.kube.wanted() {
			cfg, err := f.kube.config()
			if err != nil {
				return err
			}
			if kube, err = client.New(client.Options{Config: cfg, QPS: f.kube.qps, Burst: f.kube.burst, Now: a.now, DryRun: true}); err != nil {
				return err
			}
		}
		t, err := f.entity.open(kube, "")
		if err != nil {
			return err
		}
		return errors.Join(do(ctx, f, doc.Plan, t), t.close())
	})
	return cmd
}

func (a *app) entitiesListCommand() *cobra.Command {
	var f entitiesFlags
	cmd := &cobra.Command{
		Use:     "list PLAN [PATH...]",
		Short:   "List the table of owners",
		Long:    "Show who owns each entity in the table of owners, and since when: of one side where --owner names it.",
		Example: "  changeover entities list onap-so --ownership sqlite:///var/lib/changeover/owners.db --owner modern",
	}
	cmd.Flags().StringVar(&f.owner, "owner", "", "only those of legacy or modern")
	return a.entitiesSub(cmd, &f, a.listEntities)
}

// entityRow is one row of the table of owners.
type entityRow struct {
	ID     string           `json:"id"`
	Owner  plan.Side        `json:"owner"`
	Origin ownership.Origin `json:"origin"`
	Batch  string           `json:"batch,omitempty"`
	At     time.Time        `json:"at"`
}

func (a *app) listEntities(ctx context.Context, f *entitiesFlags, p *plan.Plan, t *entityTools) error {
	if f.owner != "" && f.owner != string(plan.Legacy) && f.owner != string(plan.Modern) {
		return usageError("--owner %q: want legacy or modern", f.owner)
	}
	rows := []entityRow{}
	const page = 10_000
	for after := int64(0); ; {
		c, err := t.store.Changes(ctx, p.Key(), after, page)
		if err != nil {
			return err
		}
		for _, e := range c.Entities {
			after = e.Revision
			if f.owner == "" || f.owner == string(e.Owner) {
				rows = append(rows, entityRow{ID: e.ID, Owner: e.Owner, Origin: e.Origin, Batch: e.Batch, At: e.At})
			}
		}
		if len(c.Entities) < page {
			break
		}
	}
	if f.out.structured() {
		return f.out.write(a.stdout, rows)
	}
	table := [][]cell{cells("ID", "OWNER", "ORIGIN", "BATCH", "SINCE")}
	for _, r := range rows {
		table = append(table, cells(r.ID, string(r.Owner), string(r.Origin), r.Batch, r.At.Format(time.RFC3339)))
	}
	a.table(a.stdout, "", table)
	return nil
}

func (a *app) entitiesVerifyCommand() *cobra.Command {
	var f entitiesFlags
	return a.entitiesSub(&cobra.Command{
		Use:   "verify PLAN [PATH...]",
		Short: "Compare both inventories with the table of owners",
		Long: `Compare the inventories of legacy and modern with the table of owners, and the fields of each entity by the plan's
verify.equal. What is found for the first time is looked at once more a few seconds later, as entities move meanwhile.
Nothing is changed. It ends with 1 where something is found.`,
		Example: "  changeover entities verify onap-so --ownership sqlite:///var/lib/changeover/owners.db --allow-host legacy.so.svc:8080",
	}, &f, func(ctx context.Context, f *entitiesFlags, p *plan.Plan, t *entityTools) error {
		counts, found, err := a.compareEntities(ctx, p, t)
		if err != nil {
			return err
		}
		return a.showFindings(f, &counts, found)
	})
}

func (a *app) entitiesOrphansCommand() *cobra.Command {
	var f entitiesFlags
	cmd := &cobra.Command{
		Use:   "orphans PLAN [PATH...]",
		Short: "List entities that nobody serves, or nobody owns",
		Long: `List the entities whose owner does not serve them (orphaned), those that an inventory has and the table of owners has
not (unknown), and those that both sides serve (doubleClaimed). An entity that was deleted stays in the table, and is an orphan
too: with --end those that neither side serves are marked as ended in the table, and count no more. It ends with 1 where
something is left.`,
		Example: "  changeover entities orphans onap-so --ownership sqlite:///var/lib/changeover/owners.db --allow-host legacy.so.svc:8080 --end --dry-run",
	}
	cmd.Flags().BoolVar(&f.end, "end", false, "mark orphans that neither side serves as ended")
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "with --end: show what would be marked, and change nothing")
	return a.entitiesSub(cmd, &f, a.orphans)
}

func (a *app) orphans(ctx context.Context, f *entitiesFlags, p *plan.Plan, t *entityTools) error {
	if f.dry && !f.end {
		return usageError("--dry-run is for --end: without it nothing is changed anyway")
	}
	spec := *p.Spec.Entities
	spec.Verify = nil
	q := *p
	q.Spec.Entities = &spec
	_, found, err := a.compareEntities(ctx, &q, t)
	if err != nil || !f.end {
		return errors.Join(err, a.showFindings(f, nil, found))
	}
	if spec.Modern == nil {
		return errors.New("the plan names no inventory of modern, so nobody can say that it does not serve an entity: add spec.entities.modern")
	}
	var ended []ownership.Entity
	left := []entities.Finding{}
	for _, e := range found {
		if e.Kind == entities.Orphaned && !e.Elsewhere {
			ended = append(ended, ownership.Entity{ID: e.ID, Owner: e.Owner, Origin: ownership.Ended, At: a.now()})
			continue
		}
		left = append(left, e)
	}
	if f.dry {
		for _, e := range ended {
			a.note("Would be marked as ended: %s (%s).", printable(e.ID), e.Owner)
		}
		return a.showFindings(f, nil, found)
	}
	for len(ended) > 0 {
		n := min(len(ended), 1000)
		if err := t.store.Put(ctx, p.Key(), ended[:n]); err != nil {
			return err
		}
		for _, e := range ended[:n] {
			a.note("Marked as ended: %s (%s).", printable(e.ID), e.Owner)
		}
		ended = ended[n:]
	}
	return a.showFindings(f, nil, left)
}

// compareEntities compares once, and shows how far it is.
func (a *app) compareEntities(ctx context.Context, p *plan.Plan, t *entityTools) (entities.Counts, []entities.Finding, error) {
	o, err := t.options(p)
	if err != nil {
		return entities.Counts{}, nil, err
	}
	o.Now = a.now
	bar := progress.New(progress.Options{Out: a.stderr, What: "compare", Terminal: progress.Terminal(a.stderr, a.getenv), Now: a.now})
	o.Progress = func(read, judged int64) { bar.Show(progress.Count{Total: int(max(read, judged)), Done: int(judged)}) }
	found := []entities.Finding{}
	counts, err := entities.New(o).Check(ctx, func(f entities.Finding) { found = append(found, f) })
	bar.End()
	return counts, found, err
}

// showFindings prints what was found; counts may be nil. Anything found ends with 1.
func (a *app) showFindings(f *entitiesFlags, counts *entities.Counts, found []entities.Finding) error {
	if f.out.structured() {
		if err := f.out.write(a.stdout, struct {
			Counts   *entities.Counts   `json:"counts,omitempty"`
			Findings []entities.Finding `json:"findings"`
		}{counts, found}); err != nil {
			return err
		}
	} else if err := a.findingsTable(counts, found); err != nil {
		return err
	}
	if len(found) > 0 {
		return errFindings
	}
	return nil
}

func (a *app) findingsTable(c *entities.Counts, found []entities.Finding) error {
	if c != nil {
		a.printf("%d entities: %d of legacy (%d in flight, %d not in the table yet), %d of modern; %d ended\n", c.Total, c.Legacy, c.InFlight, c.New, c.Modern, c.Ended)
		a.printf("%d orphaned, %d unknown, %d claimed twice; fields of %d compared, %d differ\n", c.Orphaned, c.Unknown, c.DoubleClaimed, c.Compared, c.Mismatched)
		if c.Unasked > 0 {
			a.printf("%d could not be compared: a side could not be asked\n", c.Unasked)
		}
	}
	if len(found) == 0 {
		a.printf("Nothing is wrong.\n")
		return nil
	}
	table := [][]cell{cells("WHAT", "ID", "OWNER", "WHY")}
	for _, e := range found {
		owner := string(e.Owner)
		if owner == "" {
			owner = "-"
		}
		table = append(table, cells(string(e.Kind), e.ID, owner, strings.TrimSpace(e.Why)))
	}
	a.table(a.stdout, "", table)
	return nil
}
