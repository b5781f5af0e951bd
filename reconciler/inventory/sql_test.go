package inventory_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/call"
	"github.com/changeover-dev/changeover/reconciler/inventory"
	"github.com/changeover-dev/changeover/test/postgres"
)

// byQuery opens the rows of a query.
func byQuery(t *testing.T, driver plan.SQLDriver, dsn, query, timeout string) inventory.Source {
	t.Helper()
	d, err := plan.ParseDuration(timeout)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dsn"), []byte(dsn+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return source(t, &plan.Entities{ID: "item.id", Source: &plan.Inventory{SQL: &plan.SQLInventory{Driver: driver, DSNFile: "dsn", Query: query, Timeout: d}}},
		inventory.Options{Secrets: call.Secrets{Dir: dir}})
}

func TestRowsOfPostgreSQLAreItems(t *testing.T) {
	server := postgres.Start(t, "-F")
	dsn := server.URL(false)
	db, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.WithoutCancel(t.Context()))
	if _, err := db.Exec(t.Context(), `CREATE TABLE deployments (id bigint PRIMARY KEY, name text, ok boolean, size numeric, load real, at timestamptz, doc jsonb);
		INSERT INTO deployments SELECT n, 'vFW ' || n, n % 2 = 0, n * 10, 0.5, '2026-11-01T12:00:00+02:00', '{"status": "Active", "n": 9007199254740993}' FROM generate_series(1, 2500) n`); err != nil {
		t.Fatal(err)
	}
	n := 0
	err = byQuery(t, plan.Postgres, dsn, "SELECT id, name, ok, size, load, at, doc FROM deployments ORDER BY id", "1m").List(t.Context(), func(it inventory.Item) error {
		n++
		v := it.Value
		doc, _ := v["doc"].(map[string]any)
		if n == 2 && (it.ID != "2" || it.Bad != "" || v["id"] != int64(2) || v["name"] != "vFW 2" || v["ok"] != true || v["size"] != int64(20) || v["load"] != 0.5 ||
			v["at"] != "2026-11-01T10:00:00Z" || doc["status"] != "Active" || doc["n"] != int64(9007199254740993)) {
			t.Errorf("row 2 is %+v", it)
		}
		return nil
	})
	if n != 2500 || err != nil {
		t.Errorf("%d rows, error %v", n, err)
	}
	for query, want := range map[string]string{
		"DELETE FROM deployments RETURNING id":                             "read-only transaction",
		"UPDATE deployments SET name = '' RETURNING id":                    "read-only transaction",
		"WITH d AS (DELETE FROM deployments RETURNING id) SELECT * FROM d": "read-only transaction",
		"SELECT 1 AS id; DELETE FROM deployments":                          "multiple commands",
		"SET TRANSACTION READ WRITE":                                       "",
		"SELECT id, id FROM deployments":                                   "two columns are named",
		"SELECT id FROM nowhere":                                           "does not exist",
		"SELECT 1 AS id FROM pg_sleep(30)":                                 "statement timeout",
	} {
		timeout := "1m"
		if strings.Contains(query, "pg_sleep") {
			timeout = "200ms"
		}
		_, _, err := list(t, byQuery(t, plan.Postgres, dsn, query, timeout))
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) || err != nil && strings.Contains(err.Error(), postgres.Password) {
			t.Errorf("%s: error %v, want %q", query, err, want)
		}
	}
	var left int
	if err := db.QueryRow(t.Context(), "SELECT count(*) FROM deployments WHERE name <> ''").Scan(&left); err != nil || left != 2500 {
		t.Errorf("%d rows are left, error %v", left, err)
	}
	if _, err := byQuery(t, plan.Postgres, dsn, "SELECT 1 AS id", "1m").Get(t.Context(), "1"); !errors.Is(err, inventory.ErrNoGet) {
		t.Errorf("get: %v", err)
	}
	server.Stop()
	if _, _, err := list(t, byQuery(t, plan.Postgres, dsn, "SELECT 1 AS id", "1m")); err == nil || strings.Contains(err.Error(), postgres.Password) {
		t.Errorf("a server that is down: %v", err)
	}
	if _, _, err := list(t, byQuery(t, plan.Postgres, "mysql://"+postgres.Password, "SELECT 1 AS id", "1m")); err == nil || strings.Contains(err.Error(), postgres.Password) {
		t.Errorf("a DSN that is none: %v", err)
	}
}
