package ownership

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/changeover-dev/changeover/plan"
)

// postgres is a store for any number of hosts. Writers of one plan queue at its
// row in changeover_ownership_head until they commit, so that revisions become
// visible in their order; a sequence would not do.
type postgres struct {
	pool     *pgxpool.Pool
	password func() (string, error)

	setup sync.Mutex // held while the tables are made
	made  bool

	listen   sync.Mutex // held while somebody waits
	listener *pgx.Conn
}

// channel on which writers notify.
const channel = "changeover_ownership"

// The lock keeps several that start at once from making the tables together,
// which PostgreSQL answers with an error for all but one.
const postgresSchema = `
SELECT pg_advisory_xact_lock(7223891054);
CREATE TABLE IF NOT EXISTS changeover_ownership_head (plan text PRIMARY KEY, revision bigint NOT NULL);
CREATE TABLE IF NOT EXISTS changeover_ownership (
  plan text NOT NULL, id text NOT NULL, owner text NOT NULL, origin text NOT NULL,
  batch text NOT NULL, at timestamptz NOT NULL, revision bigint NOT NULL,
  PRIMARY KEY (plan, id));
ALTER TABLE changeover_ownership ADD COLUMN IF NOT EXISTS block text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX IF NOT EXISTS changeover_ownership_changes ON changeover_ownership (plan, revision);`

func openPostgres(raw string, password func() (string, error)) (Store, error) {
	c, err := pgxpool.ParseConfig(raw)
	if err != nil {
		// The error may quote the URL.
		return nil, fmt.Errorf("open ownership store: %w", errURL)
	}
	c.MaxConns = 4
	c.ConnConfig.ConnectTimeout = openTimeout
	s := &postgres{password: password}
	c.BeforeConnect = func(_ context.Context, cc *pgx.ConnConfig) error { return s.authenticate(cc) }
	// It connects in the background and when it is asked.
	if s.pool, err = pgxpool.NewWithConfig(context.Background(), c); err != nil {
		return nil, fmt.Errorf("open ownership store: %w", s.hide(err))
	}
	return s, nil
}

func (s *postgres) authenticate(c *pgx.ConnConfig) error {
	if s.password == nil {
		return nil
	}
	p, err := s.password()
	if err != nil {
		return err
	}
	c.Password = p
	return nil
}

// hide takes the password out of an error, wherever it may stand.
func (s *postgres) hide(err error) error {
	if err == nil {
		return nil
	}
	secrets := []string{}
	if s.pool != nil {
		secrets = append(secrets, s.pool.Config().ConnConfig.Password)
	}
	if s.password != nil {
		if p, err := s.password(); err == nil {
			secrets = append(secrets, p)
		}
	}
	text := err.Error()
	for _, p := range secrets {
		if p != "" {
			text = strings.ReplaceAll(text, p, "xxxxx")
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// ready makes the tables where nobody has.
func (s *postgres) ready(ctx context.Context) error {
	s.setup.Lock()
	defer s.setup.Unlock()
	if s.made {
		return nil
	}
	if _, err := s.pool.Exec(ctx, postgresSchema, pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	s.made = true
	return nil
}

func (s *postgres) Add(ctx context.Context, key plan.Key, entities []Entity) error {
	return s.write(ctx, key, entities, false)
}

func (s *postgres) Put(ctx context.Context, key plan.Key, entities []Entity) error {
	return s.write(ctx, key, entities, true)
}

func (s *postgres) write(ctx context.Context, key plan.Key, entities []Entity, replace bool) error {
	entities, err := distinct(entities, replace)
	if err == nil && len(entities) > 0 {
		ctx, cancel := context.WithTimeout(ctx, writeTimeout)
		defer cancel()
		if err = s.ready(ctx); err == nil {
			err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return insert(ctx, tx, key, entities, replace) })
		}
	}
	if err != nil {
		return fmt.Errorf("write owners of plan %q: %w", key, s.hide(err))
	}
	return nil
}

func insert(ctx context.Context, tx pgx.Tx, key plan.Key, entities []Entity, replace bool) error {
	var head int64
	err := tx.QueryRow(ctx, `INSERT INTO changeover_ownership_head AS h (plan, revision) VALUES ($1, $2)
		ON CONFLICT (plan) DO UPDATE SET revision = h.revision + excluded.revision RETURNING revision`, key.String(), len(entities)).Scan(&head)
	if err != nil {
		return err
	}
	n := len(entities)
	ids, owners, origins, batches, ats := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]time.Time, n)
	for i, e := range entities {
		ids[i], owners[i], origins[i], batches[i], ats[i] = e.ID, string(e.Owner), string(e.Origin), e.Batch, e.At.Truncate(time.Millisecond)
	}
	do := "NOTHING"
	if replace {
		do = `UPDATE SET owner=excluded.owner, origin=excluded.origin, batch=excluded.batch, at=excluded.at, revision=excluded.revision, block=''`
	}
	_, err = tx.Exec(ctx, `INSERT INTO changeover_ownership (plan, id, owner, origin, batch, at, revision)
		SELECT $1, id, owner, origin, batch, at, $2 + n
		FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[]) WITH ORDINALITY AS r (id, owner, origin, batch, at, n)
		ON CONFLICT (plan, id) DO `+do, key.String(), head-int64(n), ids, owners, origins, batches, ats)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `SELECT pg_notify($1, $2)`, channel, key.String())
	return err
}

func (s *postgres) Changes(ctx context.Context, key plan.Key, after int64, limit int) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	p, err := s.changes(ctx, key, after, limit)
	if err != nil {
		return Page{}, fmt.Errorf("read owners of plan %q: %w", key, s.hide(err))
	}
	return p, nil
}

func (s *postgres) changes(ctx context.Context, key plan.Key, after int64, limit int) (p Page, err error) {
	if err := s.ready(ctx); err != nil {
		return p, err
	}
	err = s.pool.QueryRow(ctx, `SELECT revision FROM changeover_ownership_head WHERE plan=$1`, key.String()).Scan(&p.Head)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return p, err
	}
	rows, err := s.pool.Query(ctx, `SELECT id, owner, origin, batch, at, revision, block FROM changeover_ownership WHERE plan=$1 AND revision>$2 ORDER BY revision LIMIT $3`, key.String(), after, limit)
	if err != nil {
		return p, err
	}
	p.Entities, err = pgx.CollectRows(rows, postgresRow)
	return p, err
}

// Wait listens on a connection of its own, which is kept. What was notified
// before it listens is not heard, so the first call of a connection returns at
// once.
func (s *postgres) Wait(ctx context.Context, key plan.Key, _ int64) error {
	s.listen.Lock()
	defer s.listen.Unlock()
	if s.listener == nil {
		if err := s.startListening(ctx); err != nil {
			return fmt.Errorf("watch owners of plan %q: %w", key, s.hide(err))
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, WaitFor)
	defer cancel()
	_, err := s.listener.WaitForNotification(ctx)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	s.stopListening()
	return fmt.Errorf("watch owners of plan %q: %w", key, s.hide(err))
}

func (s *postgres) startListening(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	c := s.pool.Config().ConnConfig
	if err := s.authenticate(c); err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return err
	}
	s.listener = conn
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		s.stopListening()
		return err
	}
	return nil
}

func (s *postgres) stopListening() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.listener.Close(ctx) // it is broken
	s.listener = nil
}

func (s *postgres) Close() error {
	s.listen.Lock()
	if s.listener != nil {
		s.stopListening()
	}
	s.listen.Unlock()
	s.pool.Close()
	return nil
}
