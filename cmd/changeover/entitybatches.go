package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/handover"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

// handoverDir of the state directory has the orders and the batches of hand-overs.
const handoverDir = "handover"

func (a *app) entitiesBatchesCommand() *cobra.Command {
	var f entitiesFlags
	cmd := &cobra.Command{
		Use:   "batches PLAN [PATH...]",
		Short: "Show which entities are handed over at which stop",
		Long: `Show the batches of a plan: which entities each stop hands over to modern, and how many of them modern owns by now. A
batch is frozen when its stop is first entered; entities that came to legacy later are added at its end. What is in flight
stays in its batch and is handed over later. Stops ahead show what they would get now, once their phase has been entered.
With --stop the entities of one batch are listed, in their order. The batches are those of the daemon's state directory.`,
		Example: `  changeover entities batches onap-so --ownership sqlite:///var/lib/changeover/owners.db
  changeover entities batches onap-so --ownership sqlite:///var/lib/changeover/owners.db --stop gradual@25`,
	}
	cmd.Flags().StringVar(&f.stop, "stop", "", "list the entities of this stop, PHASE@PERCENT")
	stateDir := a.addStateDir(cmd)
	return a.entitiesSub(cmd, &f, func(ctx context.Context, f *entitiesFlags, p *plan.Plan, t *entityTools) error {
		f.stateDir = *stateDir
		return a.batches(ctx, f, p, t)
	})
}

// batchRow is how one batch stands.
type batchRow struct {
	Stop   string    `json:"stop"`
	Frozen time.Time `json:"frozen,omitzero"`
	// Entities of the batch; Modern and Legacy of those that each owns, Ended those
	// that are no more.
	Entities int `json:"entities"`
	Modern   int `json:"modern"`
	Legacy   int `json:"legacy"`
	Ended    int `json:"ended"`
}

// memberRow is one entity of a batch.
type memberRow struct {
	ID    string    `json:"id"`
	State string    `json:"state"`          // modern, legacy, ended
	At    string    `json:"stop,omitempty"` // the stop at which it was handed over
	Since time.Time `json:"since,omitzero"`
}

func (a *app) batches(ctx context.Context, f *entitiesFlags, p *plan.Plan, t *entityTools) error {
	if !handover.HandsOver(p) {
		return finding("plan %s hands no entities over: it has no spec.entities.handOver", p.Key())
	}
	if f.stateDir == "" {
		return usageError("--state-dir is not set, and there is no home folder to look in")
	}
	all, err := handover.Batches(filepath.Join(f.stateDir, handoverDir), p)
	if err != nil {
		return err
	}
	table, err := ownersOf(ctx, t.store, p.Key())
	if err != nil {
		return err
	}
	if f.stop != "" {
		return a.oneBatch(f, p, all, table)
	}
	rows := make([]batchRow, 0, len(all))
	for _, b := range all {
		rows = append(rows, batchOf(b, table))
	}
	if f.out.structured() {
		return f.out.write(a.stdout, rows)
	}
	lines := [][]cell{cells("STOP", "FROZEN", "ENTITIES", "MODERN", "LEGACY", "ENDED")}
	entered := false
	for _, r := range rows {
		frozen := "-"
		if !r.Frozen.IsZero() {
			frozen, entered = r.Frozen.UTC().Format(time.RFC3339), true
		}
		lines = append(lines, cells(r.Stop, frozen, fmt.Sprint(r.Entities), fmt.Sprint(r.Modern), fmt.Sprint(r.Legacy), fmt.Sprint(r.Ended)))
	}
	a.table(a.stdout, "", lines)
	if !entered {
		a.note("No stop with a share of the entities was entered yet: the order is frozen when the first one is. --state-dir is %s.", f.stateDir)
	}
	return nil
}

func batchOf(b handover.Batch, table map[string]ownership.Entity) batchRow {
	row := batchRow{Stop: b.Stop.String(), Frozen: b.Frozen, Entities: len(b.IDs)}
	for _, id := range b.IDs {
		switch state(table[id]) {
		case string(plan.Modern):
			row.Modern++
		case string(plan.Legacy):
			row.Legacy++
		default:
			row.Ended++
		}
	}
	return row
}

// state of an entity in words; one that the table does not have is legacy's.
func state(e ownership.Entity) string {
	switch {
	case e.Origin == ownership.Ended:
		return string(ownership.Ended)
	case e.Owner == plan.Modern:
		return string(plan.Modern)
	}
	return string(plan.Legacy)
}

func (a *app) oneBatch(f *entitiesFlags, p *plan.Plan, all []handover.Batch, table map[string]ownership.Entity) error {
	var names []string
	for _, b := range all {
		names = append(names, b.Stop.String())
		if b.Stop.String() != f.stop {
			continue
		}
		rows := make([]memberRow, 0, len(b.IDs))
		for _, id := range b.IDs {
			e := table[id]
			rows = append(rows, memberRow{ID: id, State: state(e), At: e.Batch, Since: e.At})
		}
		if f.out.structured() {
			return f.out.write(a.stdout, rows)
		}
		lines := [][]cell{cells("ID", "OWNER", "HANDED OVER AT", "SINCE")}
		for _, r := range rows {
			since := "-"
			if !r.Since.IsZero() {
				since = r.Since.UTC().Format(time.RFC3339)
			}
			lines = append(lines, cells(r.ID, r.State, dash(r.At), since))
		}
		a.table(a.stdout, "", lines)
		if b.Frozen.IsZero() {
			a.note("%s was not entered yet: this is what it would hand over now.", b.Stop)
		}
		return nil
	}
	return usageError("--stop %q: plan %s hands entities over at %s", f.stop, p.Key(), strings.Join(names, ", "))
}

// ownersOf reads the whole table of a plan.
func ownersOf(ctx context.Context, store ownership.Store, key plan.Key) (map[string]ownership.Entity, error) {
	out := map[string]ownership.Entity{}
	const page = 10_000
	for after := int64(0); ; {
		c, err := store.Changes(ctx, key, after, page)
		if err != nil {
			return nil, err
		}
		for _, e := range c.Entities {
			out[e.ID], after = e, e.Revision
		}
		if len(c.Entities) < page {
			return out, nil
		}
	}
}
