package handover

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/durable"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/render/entity"
)

// Order is the frozen order of a phase.
type Order struct {
	Phase  string    `json:"phase"`
	Frozen time.Time `json:"frozen"`
	// IDs of entities that were born on legacy, the first to be handed over
	// first. It only ever grows, at its end.
	IDs []string `json:"ids"`
}

// orderFile is where the order of a plan's phase is kept.
func orderFile(dir string, key plan.Key, phase string) string {
	return filepath.Join(dir, key.Namespace, key.Name, phase+".json")
}

// readOrder reads it; the zero value where there is none yet.
func readOrder(file string) (o Order, err error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil {
		return o, fmt.Errorf("read the order of the hand-over: %w", err)
	}
	return o, nil
}

// write replaces the file; when it returns nil, it survives a crash.
func (o Order) write(file string) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return durable.Replace(file+".tmp", file, b, 0o600)
}

// candidate is an entity that legacy serves.
type candidate struct {
	id   string
	rank entity.Rank
}

// freeze reads legacy's inventory, notes in the table what it does not have, and
// adds to the order what is new. It returns the order, and the table.
func (r *run) freeze(ctx context.Context, phase string) (Order, map[string]ownership.Entity, error) {
	table, err := r.table(ctx)
	if err != nil {
		return Order{}, nil, err
	}
	file := orderFile(r.e.o.Dir, r.key, phase)
	o, err := readOrder(file)
	if err != nil {
		return o, nil, err
	}
	if o.Frozen.IsZero() {
		// Also where the file was lost: what was given away came first.
		o.IDs = givenAway(table, nil)
	}
	known := map[string]bool{}
	for _, id := range o.IDs {
		known[id] = true
	}
	found, err := r.sides.List(ctx)
	if err != nil {
		return o, nil, err
	}
	var fresh []ownership.Entity
	added := o.Frozen.IsZero()
	for _, c := range found {
		e, ok := table[c.id]
		if !ok {
			e = ownership.Entity{ID: c.id, Owner: plan.Legacy, Origin: ownership.BornLegacy, At: r.e.o.Now()}
			table[c.id] = e
			fresh = append(fresh, e)
		}
		if e.Origin != ownership.BornModern && !known[c.id] {
			o.IDs = append(o.IDs, c.id)
			known[c.id], added = true, true
		}
	}
	if err := r.e.o.Store.Add(ctx, r.key, fresh); err != nil {
		return o, nil, err
	}
	if !added {
		return o, table, nil
	}
	if o.Frozen.IsZero() {
		o.Phase, o.Frozen = phase, r.e.o.Now()
	}
	return o, table, o.write(file)
}

// inOrder sorts what an inventory lists.
func inOrder(cs []candidate) {
	slices.SortFunc(cs, func(a, b candidate) int { return cmp.Or(a.rank.Compare(b.rank), cmp.Compare(a.id, b.id)) })
}

// table is the whole ownership table of the plan.
func (r *run) table(ctx context.Context) (map[string]ownership.Entity, error) {
	out := map[string]ownership.Entity{}
	for after := int64(0); ; {
		p, err := r.e.o.Store.Changes(ctx, r.key, after, tablePage)
		if err != nil {
			return nil, err
		}
		for _, e := range p.Entities {
			out[e.ID], after = e, e.Revision
		}
		if len(p.Entities) < tablePage {
			return out, nil
		}
	}
}

const tablePage = 10_000
