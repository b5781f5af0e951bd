package ownership

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

const sqliteColumns = `id, owner, origin, batch, at, revision, block`

func sqliteRow(scan func(...any) error) (e Entity, err error) {
	var at int64
	err = scan(&e.ID, &e.Owner, &e.Origin, &e.Batch, &at, &e.Revision, &e.Block)
	e.At = time.UnixMilli(at).UTC()
	return e, err
}

func (s *sqlite) Get(ctx context.Context, key plan.Key, id string) (Entity, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	e, err := sqliteRow(s.db.QueryRowContext(ctx, `SELECT `+sqliteColumns+` FROM ownership WHERE plan=? AND id=?`, key.String(), id).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Entity{}, false, nil
	case err != nil:
		return Entity{}, false, fmt.Errorf("read the owner of %q of plan %q: %w", id, key, err)
	}
	return e, true, nil
}

func (s *sqlite) Block(ctx context.Context, key plan.Key, id, token string) (int64, error) {
	if err := checkToken(token); err != nil {
		return 0, err
	}
	return s.change(ctx, key, id, "block", ErrUnknown, `block=?`, `1`, token)
}

func (s *sqlite) Unblock(ctx context.Context, key plan.Key, id, token string) error {
	if err := checkToken(token); err != nil {
		return err
	}
	_, err := s.change(ctx, key, id, "unblock", nil, `block=''`, `block=?`, token)
	return err
}

func (s *sqlite) Flip(ctx context.Context, key plan.Key, e Entity, token string) (int64, error) {
	if err := errors.Join(e.check(), checkToken(token)); err != nil {
		return 0, err
	}
	return s.change(ctx, key, e.ID, "flip", ErrBlockLost, `owner=?, origin=?, batch=?, at=?, block=''`, `block=?`,
		string(e.Owner), string(e.Origin), e.Batch, e.At.UnixMilli(), token)
}

// change sets fields of one row, where a condition holds, with a revision of its
// own. The values are those of set, then of where. None: what it answers where the
// condition does not hold.
func (s *sqlite) change(ctx context.Context, key plan.Key, id, doing string, none error, set, where string, values ...any) (revision int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	revision, err = s.update(ctx, key, id, none, set, where, values)
	if err != nil {
		return 0, fmt.Errorf("%s %q of plan %q: %w", doing, id, key, err)
	}
	return revision, nil
}

func (s *sqlite) update(ctx context.Context, key plan.Key, id string, none error, set, where string, values []any) (int64, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	head, err := headOf(tx.QueryRowContext(ctx, sqliteHead, key.String()))
	if err != nil {
		return 0, err
	}
	// Parameters count from left to right: those of the row's place come last.
	r, err := tx.ExecContext(ctx, `UPDATE ownership SET `+set+`, revision=`+fmt.Sprint(head+1)+` WHERE `+where+` AND plan=? AND id=?`, append(values, key.String(), id)...)
	if err != nil {
		return 0, err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return 0, errors.Join(err, none)
	}
	if _, err := tx.ExecContext(ctx, `UPDATE ownership_head SET revision=? WHERE plan=?`, head+1, key.String()); err != nil {
		return 0, err
	}
	return head + 1, tx.Commit()
}

// checkToken refuses what means no block.
func checkToken(token string) error {
	if token == "" || len(token) > maxToken {
		return fmt.Errorf("the token %q of a block: want 1 to %d bytes", token, maxToken)
	}
	return nil
}

const maxToken = 64
