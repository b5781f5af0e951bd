package inventory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/call"
	"github.com/changeover-dev/changeover/render/translate"
)

// rows is an inventory that a query of a database gives.
type rows struct {
	base
	spec    *plan.SQLInventory
	secrets call.Secrets
}

// connectTimeout is how long a database may take to be there.
const connectTimeout = 10 * time.Second

// List runs the query in a transaction that may only read, with a deadline that the
// server knows too.
func (r *rows) List(ctx context.Context, each func(Item) error) error {
	dsn, err := r.secrets.Read(r.spec.DSNFile)
	if err != nil {
		return fmt.Errorf("list %s: %w", r.name, err)
	}
	timeout := time.Duration(r.spec.Timeout)
	db, err := connect(r.spec.Driver, dsn, timeout)
	if err != nil {
		return fmt.Errorf("list %s: %w", r.name, err)
	}
	defer func() { _ = db.Close() }() // the rows tell
	db.SetMaxOpenConns(1)
	ctx, cancel := context.WithTimeout(ctx, timeout+connectTimeout)
	defer cancel()
	stopped := errors.New("stopped")
	var mine error
	err = r.read(ctx, db, func(it Item) error {
		if mine = each(it); mine != nil {
			return stopped
		}
		return nil
	})
	switch {
	case mine != nil:
		return mine
	case err != nil:
		return fmt.Errorf("list %s: %w", r.name, hide(err, dsn))
	}
	return nil
}

func (r *rows) read(ctx context.Context, db *sql.DB, each func(Item) error) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin to read: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	q, err := tx.QueryContext(ctx, r.spec.Query)
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	defer func() { _ = q.Close() }() // q.Err tells
	types, err := q.ColumnTypes()
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	seen := map[string]bool{}
	for _, t := range types {
		if seen[t.Name()] {
			return fmt.Errorf("query: two columns are named %q: give one another name with AS", t.Name())
		}
		seen[t.Name()] = true
	}
	cells, into := make([]any, len(types)), make([]any, len(types))
	for i := range cells {
		into[i] = &cells[i]
	}
	for q.Next() {
		if err := q.Scan(into...); err != nil {
			return fmt.Errorf("read a row: %w", err)
		}
		value := make(map[string]any, len(types))
		for i, t := range types {
			value[t.Name()] = cell(t.DatabaseTypeName(), cells[i])
		}
		if err := each(r.item(ctx, value)); err != nil {
			return err
		}
	}
	if err := q.Err(); err != nil {
		return fmt.Errorf("read the rows: %w", err)
	}
	return nil
}

func (r *rows) Get(context.Context, string) (Item, error) {
	return Item{}, fmt.Errorf("%w: %s is a query; give verify an http call", ErrNoGet, r.name)
}

// connect makes a client of a database. It opens no connection. The DSN is not in
// its errors.
func connect(driver plan.SQLDriver, dsn string, timeout time.Duration) (*sql.DB, error) {
	switch driver {
	case plan.Postgres:
		c, err := pgx.ParseConfig(dsn)
		if err != nil {
			return nil, errors.New("read the DSN: want postgres://USER:PASSWORD@HOST:PORT/DATABASE")
		}
		c.ConnectTimeout = connectTimeout
		c.RuntimeParams["statement_timeout"] = fmt.Sprint(timeout.Milliseconds())
		c.RuntimeParams["default_transaction_read_only"] = "on"
		return stdlib.OpenDB(*c), nil
	case plan.MySQL:
		c, err := mysql.ParseDSN(dsn)
		if err != nil {
			return nil, errors.New("read the DSN: want USER:PASSWORD@tcp(HOST:PORT)/DATABASE")
		}
		c.MultiStatements, c.AllowAllFiles, c.ParseTime, c.InterpolateParams = false, false, true, false
		c.Timeout, c.ReadTimeout, c.Loc = connectTimeout, timeout+connectTimeout, time.UTC
		c.Logger = &mysql.NopLogger{} // its errors are returned
		connector, err := mysql.NewConnector(c)
		if err != nil {
			return nil, errors.New("read the DSN: the driver refuses it")
		}
		return sql.OpenDB(connector), nil
	}
	return nil, fmt.Errorf("no driver %q", driver)
}

// cell is a value of a column as expressions know it.
func cell(kind string, v any) any {
	switch x := v.(type) {
	case int32:
		return int64(x)
	case int16:
		return int64(x)
	case float32:
		return float64(x)
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	case []byte:
		return textCell(kind, string(x))
	case string:
		return textCell(kind, x)
	}
	return v
}

// textCell reads what drivers give as text: JSON, and numbers that fit.
func textCell(kind, s string) any {
	switch kind {
	case "JSON", "JSONB":
		if v, err := translate.Decode([]byte(s)); err == nil {
			return v
		}
	case "NUMERIC", "DECIMAL":
		if n, ok := new(big.Int).SetString(s, 10); ok && n.IsInt64() {
			return n.Int64()
		}
		if r, ok := new(big.Rat).SetString(s); ok {
			f, _ := r.Float64()
			return f
		}
	}
	return s
}

// hide takes a DSN, and the password in it, out of an error.
func hide(err error, dsn string) error {
	secrets := []string{dsn}
	if c, e := pgx.ParseConfig(dsn); e == nil {
		secrets = append(secrets, c.Password)
	}
	if c, e := mysql.ParseDSN(dsn); e == nil {
		secrets = append(secrets, c.Passwd)
	}
	text := err.Error()
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "xxxxx")
		}
	}
	var n net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &n) && n.Timeout():
		return errors.New(text + ": it took longer than the timeout of the query")
	case text == err.Error():
		return err
	}
	return errors.New(text)
}
