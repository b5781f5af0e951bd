package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

const batchesPlan = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: so}
spec:
  position: {phase: setup}
  backends:
    legacy: {url: "http://127.0.0.1:8080"}
    modern: {url: "http://127.0.0.1:8000"}
  gateway: {bridge: {}}
  entities:
    match: {path: "/deployments/{id}"}
    source: {http: {url: "http://127.0.0.1:8080/deployments", item: "'http://127.0.0.1:8080/deployments/' + id"}}
    handOver: [{http: {url: "'http://127.0.0.1:8000/deployments/' + id"}}]
    handBack: [{http: {url: "'http://127.0.0.1:8080/deployments/' + id"}}]
  phases:
    - {name: setup, routes: [{to: legacy}]}
    - {name: gradual, percents: [25, 50, 100], routes: [{to: owner}]}
`

// batchesFixture is a state directory of a daemon that is at gradual@50, and what the
// table says.
func batchesFixture(t *testing.T) (args []string, state string) {
	t.Helper()
	dir := t.TempDir()
	state = filepath.Join(dir, "state")
	orders := filepath.Join(state, "handover", "default", "so")
	if err := os.MkdirAll(filepath.Join(orders, "batches"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		filepath.Join(dir, "plan.yaml"):                         batchesPlan,
		filepath.Join(orders, "gradual.json"):                   `{"phase": "gradual", "frozen": "2026-11-01T12:00:00Z", "ids": ["a", "b", "c", "d", "e", "f", "g", "h"]}`,
		filepath.Join(orders, "batches", "gradual@25.json"):     `{"stop": {"phase": "gradual", "percent": 25}, "phase": "gradual", "frozen": "2026-11-01T12:00:00Z", "ids": ["a", "b"]}`,
		filepath.Join(orders, "batches", "gradual@50.json"):     `{"stop": {"phase": "gradual", "percent": 50}, "phase": "gradual", "frozen": "2026-11-02T12:00:00Z", "ids": ["c", "d"]}`,
		filepath.Join(orders, "batches", "gradual@50.json.tmp"): `{"stop":`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	owners := filepath.Join(dir, "owners.db")
	table, err := ownership.Open(owners, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	at := time.Date(2026, 11, 2, 13, 0, 0, 0, time.UTC)
	if err := table.Put(t.Context(), plan.Key{Namespace: "default", Name: "so"}, []ownership.Entity{
		{ID: "a", Owner: plan.Modern, Origin: ownership.Migrated, Batch: "gradual@25", At: at},
		{ID: "b", Owner: plan.Modern, Origin: ownership.Migrated, Batch: "gradual@50", At: at}, // it was in flight
		{ID: "c", Owner: plan.Legacy, Origin: ownership.BornLegacy, At: at},
		{ID: "d", Owner: plan.Legacy, Origin: ownership.Ended, At: at},
	}); err != nil {
		t.Fatal(err)
	}
	return []string{"entities", "batches", "so", dir, "--ownership", owners}, state
}

func TestBatchesAreShown(t *testing.T) {
	args, state := batchesFixture(t)
	args = append(args, "--state-dir", state)
	lines := func(out string) string {
		all := strings.Split(strings.TrimSpace(out), "\n")
		for i := range all {
			all[i] = strings.Join(strings.Fields(all[i]), " ")
		}
		return strings.Join(all, "\n")
	}
	code, out, errs := call(t, args...)
	if want := "STOP FROZEN ENTITIES MODERN LEGACY ENDED\ngradual@25 2026-11-01T12:00:00Z 2 2 0 0\ngradual@50 2026-11-02T12:00:00Z 2 0 1 1\ngradual@100 - 4 0 4 0"; code != exitOK || lines(out) != want || errs != "" {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	code, out, errs = call(t, append(args, "--stop", "gradual@25")...)
	if want := "ID OWNER HANDED OVER AT SINCE\na modern gradual@25 2026-11-02T13:00:00Z\nb modern gradual@50 2026-11-02T13:00:00Z"; code != exitOK || lines(out) != want || errs != "" {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	code, out, errs = call(t, append(args, "--stop", "gradual@100")...)
	if code != exitOK || !strings.HasPrefix(lines(out), "ID OWNER HANDED OVER AT SINCE\ne legacy - -\n") || !strings.Contains(errs, "gradual@100 was not entered yet: this is what it would hand over now.") {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	if code, out, _ = call(t, append(args, "-o", "json")...); code != exitOK || !strings.Contains(out, `"stop": "gradual@100"`) || strings.Count(out, `"frozen"`) != 2 {
		t.Errorf("code %d: %s", code, out)
	}
	if code, out, errs = call(t, append(args, "--stop", "setup")...); code != exitUsage || !strings.Contains(errs, "hands entities over at gradual@25, gradual@50, gradual@100") {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
}

func TestBatchesSayWhatIsNotThereYet(t *testing.T) {
	args, state := batchesFixture(t)
	code, out, errs := call(t, append(args, "--state-dir", filepath.Join(state, "other"))...)
	if code != exitOK || !strings.Contains(out, "gradual@25") || !strings.Contains(errs, "No stop with a share of the entities was entered yet") {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	noHandOver, _ := entitiesPlan(t)
	if code, out, errs := call(t, append([]string{"entities", "batches", "--state-dir", state}, noHandOver...)...); code != exitFindings || !strings.Contains(errs, "it has no spec.entities.handOver") {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
}
