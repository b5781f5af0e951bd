package ownership

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/changeover-dev/changeover/plan"
)

// sqlite is a store in one file, for the processes of one host: the locks of
// SQLite do not hold over network file systems. Every commit is synced.
type sqlite struct{ db *sql.DB }

// sqlitePoll is how often a waiting follower looks: SQLite tells nobody of
// changes by other processes.
const sqlitePoll = 100 * time.Millisecond

const sqliteSchema = `
CREATE TABLE IF NOT EXISTS ownership_head (plan TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ownership (
  plan TEXT NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, origin TEXT NOT NULL,
  batch TEXT NOT NULL, at INTEGER NOT NULL, revision INTEGER NOT NULL, block TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (plan, id)) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS ownership_changes ON ownership (plan, revision);`

func openSQLite(path string) (Store, error) {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: url.Values{
		// Shorter than the deadline of a write, so that a lock that is held is
		// told as one.
		"_pragma": {"busy_timeout(3000)", "journal_mode(WAL)", "synchronous(FULL)"},
		"_txlock": {"immediate"},
	}.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("open ownership store %q: %w", path, err)
	}
	db.SetMaxOpenConns(4)
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	if _, err := db.ExecContext(ctx, sqliteSchema); err != nil {
		return nil, fmt.Errorf("open ownership store %q: %w", path, errors.Join(err, db.Close()))
	}
	// Tables of earlier versions have no blocks.
	if _, err := db.ExecContext(ctx, `ALTER TABLE ownership ADD COLUMN block TEXT NOT NULL DEFAULT ''`); err != nil && !strings.Contains(err.Error(), "duplicate column") {
		return nil, fmt.Errorf("open ownership store %q: %w", path, errors.Join(err, db.Close()))
	}
	return &sqlite{db: db}, nil
}

const (
	sqliteAdd = `INSERT INTO ownership (plan, id, owner, origin, batch, at, revision) VALUES (?,?,?,?,?,?,?) ON CONFLICT (plan, id) DO `
	sqlitePut = `UPDATE SET owner=excluded.owner, origin=excluded.origin, batch=excluded.batch, at=excluded.at, revision=excluded.revision, block=''`
)

func (s *sqlite) Add(ctx context.Context, key plan.Key, entities []Entity) error {
	return s.write(ctx, key, entities, false)
}

func (s *sqlite) Put(ctx context.Context, key plan.Key, entities []Entity) error {
	return s.write(ctx, key, entities, true)
}

func (s *sqlite) write(ctx context.Context, key plan.Key, entities []Entity, replace bool) error {
	entities, err := distinct(entities, replace)
	if err == nil && len(entities) > 0 {
		ctx, cancel := context.WithTimeout(ctx, writeTimeout)
		defer cancel()
		err = s.transact(ctx, key, entities, replace)
	}
	if err != nil {
		return fmt.Errorf("write owners of plan %q: %w", key, err)
	}
	return nil
}

func (s *sqlite) transact(ctx context.Context, key plan.Key, entities []Entity, replace bool) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	head, err := headOf(tx.QueryRowContext(ctx, sqliteHead, key.String()))
	if err != nil {
		return err
	}
	insert := sqliteAdd + "NOTHING"
	if replace {
		insert = sqliteAdd + sqlitePut
	}
	stmt, err := tx.PrepareContext(ctx, insert)
	if err != nil {
		return err
	}
	defer func() { _ = stmt.Close() }() // the commit tells
	for _, e := range entities {
		r, err := stmt.ExecContext(ctx, key.String(), e.ID, string(e.Owner), string(e.Origin), e.Batch, e.At.UnixMilli(), head+1)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil {
			return err
		} else if n > 0 {
			head++
		}
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO ownership_head (plan, revision) VALUES (?,?) ON CONFLICT (plan) DO UPDATE SET revision=excluded.revision`, key.String(), head); err != nil {
		return err
	}
	return tx.Commit()
}

const sqliteHead = `SELECT revision FROM ownership_head WHERE plan=?`

// headOf is 0 for a table that nobody has written to.
func headOf(row *sql.Row) (head int64, err error) {
	if err = row.Scan(&head); errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return head, err
}

func (s *sqlite) Changes(ctx context.Context, key plan.Key, after int64, limit int) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	p, err := s.changes(ctx, key, after, limit)
	if err != nil {
		return Page{}, fmt.Errorf("read owners of plan %q: %w", key, err)
	}
	return p, nil
}

func (s *sqlite) changes(ctx context.Context, key plan.Key, after int64, limit int) (p Page, err error) {
	if p.Head, err = headOf(s.db.QueryRowContext(ctx, sqliteHead, key.String())); err != nil {
		return p, err
	}
	rows, err := s.db.QueryContext(ctx, `SELECT id, owner, origin, batch, at, revision, block FROM ownership WHERE plan=? AND revision>? ORDER BY revision LIMIT ?`, key.String(), after, limit)
	if err != nil {
		return p, err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	for rows.Next() {
		e, err := sqliteRow(rows.Scan)
		if err != nil {
			return p, err
		}
		p.Entities = append(p.Entities, e)
	}
	return p, rows.Err()
}

func (s *sqlite) Wait(ctx context.Context, key plan.Key, after int64) error {
	ctx, cancel := context.WithTimeout(ctx, WaitFor)
	defer cancel()
	tick := time.NewTicker(sqlitePoll)
	defer tick.Stop()
	for {
		head, err := headOf(s.db.QueryRowContext(ctx, sqliteHead, key.String()))
		switch {
		case ctx.Err() != nil:
			return nil // the time is over
		case err != nil:
			return fmt.Errorf("watch owners of plan %q: %w", key, err)
		case head != after:
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *sqlite) Close() error { return s.db.Close() }
