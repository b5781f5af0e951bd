package backup

import (
	"context"
	"strings"

	"filippo.io/age"

	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// The results of a comparison with what is live. Missing: the backup has it, and
// the cluster does not. Added: the cluster has it, and the backup does not.
// Changed: they differ; the message names fields, never values.
const (
	Missing Result = "Missing"
	Added   Result = "Added"
	Changed Result = "Changed"
)

// Diff compares a backup with what is live now. Of Secrets that no identity
// opens it only tells whether they are there.
func Diff(ctx context.Context, c *client.Client, s *Store, m Manifest, identities []age.Identity, show func(Stage, Count)) (*Report, error) {
	if show == nil {
		show = func(Stage, Count) {}
	}
	r := &restorer{o: Restoration{Client: c, Store: s, Manifest: m, Identities: identities, Show: show}, failed: map[ID]Item{}}
	if err := r.live.read(ctx, c, m.Kinds); err != nil {
		return nil, err
	}
	report, count := newReport(m.Objects), Count{Total: m.Objects}
	rest := r.live.of
	faults, err := s.walk(ctx, &m, identities, func(f found) error {
		i, err := r.compare(ctx, f)
		if err != nil {
			return err
		}
		delete(rest, f.ID)
		report.add(i)
		count.Done++
		show(StageVerify, count)
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	for id := range rest {
		report.add(Item{ID: id, Result: Added})
	}
	report.Faults = faults
	report.sort()
	return report, nil
}

func (r *restorer) compare(ctx context.Context, f found) (Item, error) {
	_, listed := r.live.of[f.ID]
	switch {
	case f.damage != "":
		return Item{ID: f.ID, Result: Damaged, Message: f.damage}, nil
	case f.object == nil && listed:
		return Item{ID: f.ID, Result: Sealed}, nil
	case f.object == nil:
		return Item{ID: f.ID, Result: Missing}, nil
	case r.live.same(f):
		return Item{ID: f.ID, Result: Unchanged}, nil
	}
	x, err := r.open(f)
	if gone(err) || noKind(err) {
		return Item{ID: f.ID, Result: Missing}, nil
	}
	if err != nil {
		return Item{}, err
	}
	live, err := x.read(ctx)
	switch {
	case err != nil:
		return Item{}, client.Explain(err)
	case live == nil:
		return Item{ID: f.ID, Result: Missing}, nil
	}
	a, b := f.object, strip(live.Object)
	if f.rank() < 2 {
		a, b = without(a, "status"), without(b, "status")
	}
	paths := differences(a, b)
	if len(paths) == 0 {
		return Item{ID: f.ID, Result: Unchanged}, nil
	}
	return Item{ID: f.ID, Result: Changed, Message: strings.Join(paths, ", ")}, nil
}
