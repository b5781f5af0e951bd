package backup

import (
	"context"

	"filippo.io/age"
)

// Verify reads a backup and compares every object with what was written. Of
// Secrets it looks at the encrypted file alone, where no identity is that of a
// recipient. The error is that of a store that cannot be read now.
func Verify(ctx context.Context, s *Store, m Manifest, identities []age.Identity, show func(Count)) (*Report, error) {
	return verify(ctx, s, &m, identities, show)
}

func verify(ctx context.Context, s *Store, m *Manifest, identities []age.Identity, show func(Count)) (*Report, error) {
	r, count := newReport(m.Objects), Count{Total: m.Objects}
	faults, err := s.walk(ctx, m, identities, func(f found) error {
		i := Item{ID: f.ID, Result: Intact, Message: f.damage}
		switch {
		case f.damage != "":
			i.Result = Damaged
			count.Failed++
		case f.object == nil:
			i.Result = Sealed
			count.Done++
		default:
			count.Done++
		}
		r.add(i)
		if show != nil {
			show(count)
		}
		return ctx.Err()
	})
	r.Faults = faults
	r.sort()
	return r, err
}
