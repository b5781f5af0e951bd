package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

// entitiesPlan writes a plan whose inventories a server answers, and returns the
// arguments of commands about it, and its table of owners.
func entitiesPlan(t *testing.T) (args []string, table ownership.Store) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/legacy":
			fmt.Fprint(w, `{"items": [{"id": "a", "name": "A", "status": "Active"}, {"id": "b", "name": "B", "status": "Created"}], "next": null}`)
		case "/modern":
			fmt.Fprint(w, `[{"id": "b", "name": "b", "owner": "legacy"}, {"id": "c", "name": "C", "owner": "modern"}]`)
		}
	}))
	t.Cleanup(s.Close)
	dir := t.TempDir()
	file := fmt.Sprintf(`apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: so}
spec:
  position: {phase: setup}
  backends:
    legacy: {url: %[1]q}
    modern: {url: %[1]q}
  gateway: {bridge: {}}
  entities:
    match: {path: "/deployments/{id}"}
    source: {http: {url: "%[1]s/legacy", items: body.items, next: body.next}}
    inFlight: item.status == "Created"
    modern: {source: {http: {url: "%[1]s/modern"}}, live: item.owner == "modern"}
    verify: {equal: [legacy.name == modern.name]}
  phases:
    - name: setup
      routes:
        - match: {pathPrefix: /deployments/}
          to: owner
        - to: legacy
`, s.URL)
	if err := os.WriteFile(filepath.Join(dir, "plan.yaml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	owners := filepath.Join(dir, "owners.db")
	table, err := ownership.Open(owners, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	if err := table.Add(t.Context(), plan.Key{Namespace: "default", Name: "so"}, []ownership.Entity{
		{ID: "a", Owner: plan.Legacy, Origin: ownership.BornLegacy, At: at}, {ID: "b", Owner: plan.Legacy, Origin: ownership.BornLegacy, At: at},
		{ID: "gone", Owner: plan.Modern, Origin: ownership.Migrated, Batch: "gradual@25/1", At: at},
	}); err != nil {
		t.Fatal(err)
	}
	return []string{"so", dir, "--ownership", owners, "--allow-host", strings.TrimPrefix(s.URL, "http://")}, table
}

func TestEntitiesAreListedAndCompared(t *testing.T) {
	args, table := entitiesPlan(t)
	code, out, errs := call(t, append([]string{"entities", "list", "--owner", "modern"}, args...)...)
	if code != exitOK || strings.Join(strings.Fields(out), " ") != "ID OWNER ORIGIN BATCH SINCE gone modern migrated gradual@25/1 2026-11-01T12:00:00Z" {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	code, out, errs = call(t, append([]string{"entities", "verify"}, args...)...)
	if code != exitFindings {
		t.Fatalf("code %d: %s%s", code, out, errs)
	}
	wantAll(t, out, "4 entities: 2 of legacy (1 in flight, 0 not in the table yet), 1 of modern; 0 ended",
		"1 orphaned, 1 unknown, 0 claimed twice; fields of 1 compared, 1 differ", "legacy.name == modern.name: it is false", "neither side serves it")
	code, out, _ = call(t, append([]string{"entities", "orphans", "--end", "--dry-run", "-o", "json"}, args...)...)
	if code != exitFindings || strings.Count(out, `"kind"`) != 2 {
		t.Errorf("code %d: %s", code, out)
	}
	origin := func() ownership.Origin {
		p, err := table.Changes(t.Context(), plan.Key{Namespace: "default", Name: "so"}, 2, 10)
		if err != nil || len(p.Entities) != 1 {
			t.Fatalf("the table has %+v, error %v", p.Entities, err)
		}
		return p.Entities[0].Origin
	}
	if origin() != ownership.Migrated {
		t.Error("--dry-run changed the table")
	}
	code, out, errs = call(t, append([]string{"entities", "orphans", "--end"}, args...)...)
	if code != exitFindings || !strings.Contains(errs, "Marked as ended: gone (modern).") || strings.Contains(out, "orphaned") || origin() != ownership.Ended {
		t.Errorf("code %d: %s%s; its origin is %s", code, out, errs, origin())
	}
}

func TestEntitiesSayWhatIsMissing(t *testing.T) {
	args, _ := entitiesPlan(t)
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no table":        {args[:2], exitUsage, "--ownership"},
		"no allowed host": {args[:4], exitFailed, "--allow-host 127.0.0.1:"},
		"no host":         {append(args[:4:4], "--allow-host", "http://x"), exitUsage, "--allow-host: read host"},
		"a password":      {append(args[:2:2], "--ownership", "postgres://u:p@h/d"), exitUsage, "--ownership-password-file"},
		"no side":         {append([]string{"--owner", "both"}, args...), exitUsage, "unknown flag"},
	} {
		if code, out, errs := call(t, append([]string{"entities", "verify"}, c.args...)...); code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%s: code %d: %s%s", name, code, out, errs)
		}
	}
}
