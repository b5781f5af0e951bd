package ownership

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/changeover-dev/changeover/plan"
)

func postgresRow(row pgx.CollectableRow) (e Entity, err error) {
	err = row.Scan(&e.ID, &e.Owner, &e.Origin, &e.Batch, &e.At, &e.Revision, &e.Block)
	e.At = e.At.UTC()
	return e, err
}

func (s *postgres) Get(ctx context.Context, key plan.Key, id string) (Entity, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	e, err := s.get(ctx, key, id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Entity{}, false, nil
	case err != nil:
		return Entity{}, false, fmt.Errorf("read the owner of %q of plan %q: %w", id, key, s.hide(err))
	}
	return e, true, nil
}

func (s *postgres) get(ctx context.Context, key plan.Key, id string) (Entity, error) {
	if err := s.ready(ctx); err != nil {
		return Entity{}, err
	}
	rows, err := s.pool.Query(ctx, `SELECT id, owner, origin, batch, at, revision, block FROM changeover_ownership WHERE plan=$1 AND id=$2`, key.String(), id)
	if err != nil {
		return Entity{}, err
	}
	return pgx.CollectExactlyOneRow(rows, postgresRow)
}

func (s *postgres) Block(ctx context.Context, key plan.Key, id, token string) (int64, error) {
	if err := checkToken(token); err != nil {
		return 0, err
	}
	return s.change(ctx, key, id, "block", ErrUnknown, `block=$4`, `true`, token)
}

func (s *postgres) Unblock(ctx context.Context, key plan.Key, id, token string) error {
	if err := checkToken(token); err != nil {
		return err
	}
	_, err := s.change(ctx, key, id, "unblock", nil, `block=''`, `block=$4`, token)
	return err
}

func (s *postgres) Flip(ctx context.Context, key plan.Key, e Entity, token string) (int64, error) {
	if err := errors.Join(e.check(), checkToken(token)); err != nil {
		return 0, err
	}
	return s.change(ctx, key, e.ID, "flip", ErrBlockLost, `owner=$5, origin=$6, batch=$7, at=$8, block=''`, `block=$4`,
		token, string(e.Owner), string(e.Origin), e.Batch, e.At.Truncate(time.Millisecond))
}

// change sets fields of one row, where a condition holds, with a revision of its
// own. Values begin at $4. None: what it answers where the condition does not hold.
func (s *postgres) change(ctx context.Context, key plan.Key, id, doing string, none error, set, where string, values ...any) (revision int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err = s.ready(ctx); err == nil {
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
			revision, err = update(ctx, tx, key, id, none, set, where, values)
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("%s %q of plan %q: %w", doing, id, key, s.hide(err))
	}
	return revision, nil
}

// update takes the plan's row first, as every writer does: so revisions become
// visible in their order.
func update(ctx context.Context, tx pgx.Tx, key plan.Key, id string, none error, set, where string, values []any) (head int64, err error) {
	err = tx.QueryRow(ctx, `UPDATE changeover_ownership_head SET revision = revision + 1 WHERE plan=$1 RETURNING revision`, key.String()).Scan(&head)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, none
	case err != nil:
		return 0, err
	}
	tag, err := tx.Exec(ctx, `UPDATE changeover_ownership SET revision=$3, `+set+` WHERE plan=$1 AND id=$2 AND `+where, append([]any{key.String(), id, head}, values...)...)
	if err != nil {
		return 0, err
	}
	if tag.RowsAffected() == 0 {
		return 0, none
	}
	_, err = tx.Exec(ctx, `SELECT pg_notify($1, $2)`, channel, key.String())
	return head, err
}
