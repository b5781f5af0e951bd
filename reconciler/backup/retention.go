package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// abandonedAfter is the age at which what has no manifest is taken for the rest
// of a backup that was not finished.
const abandonedAfter = 24 * time.Hour

// Hold is one of a plan: what was undone, and when.
type Hold struct {
	Commit plan.Revision
	At     time.Time
}

// Expire deletes the backups of a plan that are older than they are to be kept,
// and what is left of those that were not finished. Kept are the newest of each
// phase, those to which a hold refers (made for its commit, or the last of their
// phase before it), and those with a manifest that cannot be read, which a
// person is to see. It returns the names of what it deleted.
func (s *Store) Expire(ctx context.Context, key plan.Key, holds []Hold, now time.Time) ([]string, error) {
	all, err := s.List(ctx, key)
	if err != nil {
		return nil, err
	}
	keep := keepers(all, holds)
	var deleted []string
	for _, b := range all {
		old := b.Err == nil && now.Sub(b.Ended) > time.Duration(b.Retention) && !keep[b.Name] ||
			errors.Is(b.Err, ErrUnfinished) && now.Sub(b.Modified) > abandonedAfter
		if !old {
			continue
		}
		if err := s.Delete(ctx, key, b.Name); err != nil {
			return deleted, err
		}
		deleted = append(deleted, b.Name)
	}
	return deleted, nil
}

// keepers are the names of those that stay, however old. The list is sorted,
// oldest first.
func keepers(all []Stored, holds []Hold) map[string]bool {
	keep := map[string]bool{}
	newest := map[string]string{}                   // of a phase
	before := make([]map[string]string, len(holds)) // of a phase, at each hold
	for i := range holds {
		before[i] = map[string]string{}
	}
	for _, b := range all {
		if b.Err != nil {
			continue
		}
		newest[b.Phase] = b.Name
		for i, h := range holds {
			if b.Revision != "" && b.Revision == h.Commit {
				keep[b.Name] = true
			}
			if !b.Begun.After(h.At) {
				before[i][b.Phase] = b.Name
			}
		}
	}
	for _, last := range slices.Concat(before, []map[string]string{newest}) {
		for _, name := range last {
			keep[name] = true
		}
	}
	return keep
}

// Restored says that a backward move restored a backup.
type Restored struct {
	At time.Time `json:"at"`
	// From is the stop that was left.
	From    plan.Position `json:"from"`
	Objects int           `json:"objects"` // that had to be written
}

func (s *Store) restored(ctx context.Context, key plan.Key, name string) (*Restored, error) {
	b, ok, err := s.read(ctx, at(key, name, fileRestored))
	if err != nil || !ok {
		return nil, err
	}
	r := &Restored{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("read %s: it is damaged; whether backup %s was restored cannot be told: delete the file to have it restored once more", at(key, name, fileRestored), name)
	}
	return r, nil
}

func (s *Store) markRestored(ctx context.Context, key plan.Key, name string, r Restored) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode what was restored: %w", err)
	}
	return s.write(ctx, at(key, name, fileRestored), b)
}
