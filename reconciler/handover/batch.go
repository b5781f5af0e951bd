package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/durable"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

// Batch is the manifest of a stop: the entities that it gives to modern, beside
// those of the stops before it.
type Batch struct {
	Stop plan.Position `json:"stop"`
	// Phase whose order it is cut from.
	Phase string `json:"phase"`
	// Frozen is when the stop was first entered; zero: it has not been yet, and the
	// entities are those that it would have now.
	Frozen time.Time `json:"frozen,omitzero"`
	// IDs in their order. What came to legacy after the batch was frozen stands at
	// the end.
	IDs []string `json:"ids"`
}

// batchDir is where the manifests of a plan are kept, a file for each stop.
func batchDir(dir string, key plan.Key) string {
	return filepath.Join(dir, key.Namespace, key.Name, "batches")
}

const manifestSuffix = ".json"

// readBatches reads the manifests of a plan, by their stops.
func readBatches(dir string, key plan.Key) (map[string]*Batch, error) {
	out := map[string]*Batch{}
	entries, err := os.ReadDir(batchDir(dir, key))
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the batches of the hand-over: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), manifestSuffix) {
			continue // of a process that was killed
		}
		file := filepath.Join(batchDir(dir, key), e.Name())
		b, err := os.ReadFile(file)
		var batch Batch
		if err == nil {
			err = json.Unmarshal(b, &batch)
		}
		if err != nil {
			return nil, fmt.Errorf("read a batch of the hand-over, %s: %w; move the file away: it is made anew from the table of owners", file, err)
		}
		out[batch.Stop.String()] = &batch
	}
	return out, nil
}

// write replaces the manifest; when it returns nil, it survives a crash.
func (b *Batch) write(dir string, key plan.Key) error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	folder := batchDir(dir, key)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("keep a batch of the hand-over: %w", err)
	}
	file := filepath.Join(folder, b.Stop.String()+manifestSuffix)
	if err := durable.Replace(file+".tmp", file, text, 0o600); err != nil {
		return fmt.Errorf("keep a batch of the hand-over: %w", err)
	}
	return nil
}

// freezeBatch notes which entities the stop adds to those of the stops before it:
// of those that it wants, the ones that no manifest has. It is kept before the first
// of them is handed over. Where manifests were lost, the table still tells in which
// batch an entity was handed over.
func (r *run) freezeBatch(phase string, wanted []string, table map[string]ownership.Entity) error {
	batches, err := readBatches(r.e.o.Dir, r.key)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, b := range batches {
		for _, id := range b.IDs {
			known[id] = true
		}
	}
	here := r.stopAt.String()
	changed := map[string]bool{here: batches[here] == nil}
	for _, id := range wanted {
		if known[id] {
			continue
		}
		stop := r.stopAt
		if e := table[id]; e.Owner == plan.Modern && e.Batch != "" {
			if was, err := plan.ParsePosition(e.Batch); err == nil {
				stop = was
			}
		}
		b := batchAt(batches, phase, stop, r.e.o.Now())
		b.IDs = append(b.IDs, id)
		changed[stop.String()] = true
	}
	batchAt(batches, phase, r.stopAt, r.e.o.Now())
	for stop, is := range changed {
		if !is {
			continue
		}
		if err := batches[stop].write(r.e.o.Dir, r.key); err != nil {
			return err
		}
	}
	return nil
}

// batchAt is the batch of a stop, a new one where there is none yet.
func batchAt(batches map[string]*Batch, phase string, stop plan.Position, now time.Time) *Batch {
	b := batches[stop.String()]
	if b == nil {
		b = &Batch{Stop: stop, Phase: phase, Frozen: now, IDs: []string{}}
		batches[stop.String()] = b
	}
	return b
}

// Batches are the manifests of a plan, in the order of its stops; those of stops
// that it does not have any more come last. A stop that was not entered yet has what
// it would get now, or nothing where its phase has no order yet.
func Batches(dir string, p *plan.Plan) ([]Batch, error) {
	frozen, err := readBatches(dir, p.Key())
	if err != nil {
		return nil, err
	}
	taken := map[string]bool{}
	for _, b := range frozen {
		for _, id := range b.IDs {
			taken[id] = true
		}
	}
	var out []Batch
	for _, stop := range p.Itinerary() {
		if b := frozen[stop.String()]; b != nil {
			out = append(out, *b)
			delete(frozen, stop.String())
			continue
		}
		s := shareAt(p, stop)
		if s.phase == "" || s.phase != stop.Phase {
			continue
		}
		o, err := readOrder(orderFile(dir, p.Key(), s.phase))
		if err != nil {
			return nil, err
		}
		b := Batch{Stop: stop, Phase: s.phase, IDs: []string{}}
		for _, id := range o.IDs[:s.count(len(o.IDs))] {
			if !taken[id] {
				b.IDs = append(b.IDs, id)
				taken[id] = true
			}
		}
		out = append(out, b)
	}
	rest := make([]Batch, 0, len(frozen))
	for _, b := range frozen {
		rest = append(rest, *b)
	}
	slices.SortFunc(rest, func(a, b Batch) int { return a.Frozen.Compare(b.Frozen) })
	return append(out, rest...), nil
}
