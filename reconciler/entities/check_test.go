package entities_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/entities"
	"github.com/changeover-dev/changeover/reconciler/inventory"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/render/entity"
)

var (
	key  = plan.Key{Namespace: "so", Name: "onap"}
	noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
)

type obj = map[string]any

// listed is an inventory that is made while it is listed.
type listed struct {
	n    int
	item func(i int) (inventory.Item, bool)
	// before is called before the inventory is listed for the nth time, from 1.
	before func(n int) error
	times  atomic.Int64 // the comparison and the sync list at once
}

func (l *listed) List(_ context.Context, each func(inventory.Item) error) error {
	times := l.times.Add(1)
	if l.before != nil {
		if err := l.before(int(times)); err != nil {
			return err
		}
	}
	for i := range l.n {
		if it, ok := l.item(i); ok {
			if err := each(it); err != nil {
				return err
			}
		}
	}
	return nil
}

func (*listed) Get(context.Context, string) (inventory.Item, error) {
	return inventory.Item{}, inventory.ErrNoGet
}

func items(list ...inventory.Item) *listed {
	return &listed{n: len(list), item: func(i int) (inventory.Item, bool) { return list[i], true }}
}

// spec is a plan's entities with both inventories and the status map of the ONAP
// document.
func spec() *plan.Entities {
	in := plan.Inventory{HTTP: &plan.HTTPInventory{URL: "http://127.0.0.1/", Items: "body"}}
	return &plan.Entities{
		Source: &in, ID: "item.id", InFlight: `item.state == "Created"`, Modern: &plan.ModernInventory{Source: in, ID: "item.id"}, Concurrency: 4,
		Values: map[string]map[string]string{"status": {"Active": "COMPLETED", "Assigned": "PENDING", "Created": "IN_PROGRESS", "PendingDelete": "DELETING", "InventoryFailed": "FAILED"}},
		Verify: &plan.EntityVerify{Equal: []string{"legacy.name == modern.name", "values.status[legacy.state] == modern.status"}},
	}
}

func open(t testing.TB) ownership.Store {
	t.Helper()
	s, err := ownership.Open(filepath.Join(t.TempDir(), "owners.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func options(t testing.TB, e *plan.Entities, s ownership.Store, legacy, modern inventory.Source) entities.Options {
	t.Helper()
	p, err := entity.Compile(e)
	if err != nil {
		t.Fatal(err)
	}
	return entities.Options{Plan: key, Entities: e, Store: s, Legacy: legacy, Modern: modern, Program: p, Dir: t.TempDir(), Pause: time.Millisecond, Now: func() time.Time { return noon }}
}

func check(t testing.TB, c *entities.Checker) (entities.Counts, []string) {
	t.Helper()
	var found []string
	counts, err := c.Check(t.Context(), func(f entities.Finding) { found = append(found, string(f.Kind)+" "+f.ID) })
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return counts, found
}

// The kinds that are planted: what the table, legacy and modern have of an id, and
// what must be found of it.
var planted = []struct {
	name               string
	row                string // owner and origin; "": none
	legacy, modern     string // live, kept (not live), differs (live), twice, odd; "": not listed
	finding            []entities.Kind
	counts             func(*entities.Counts)
	state, modernState string
}{
	{name: "legacy's", row: "legacy", legacy: "live", counts: func(c *entities.Counts) { c.Legacy++ }},
	{name: "legacy's with a copy", row: "legacy", legacy: "live", modern: "kept", counts: func(c *entities.Counts) { c.Legacy++; c.Compared++ }},
	{name: "in flight", row: "legacy", legacy: "live", state: "Created", counts: func(c *entities.Counts) { c.Legacy++; c.InFlight++ }},
	{name: "handed over", row: "migrated", legacy: "kept", modern: "live", counts: func(c *entities.Counts) { c.Modern++ }},
	{name: "born on modern", row: "modern", modern: "live", counts: func(c *entities.Counts) { c.Modern++ }},
	{name: "deleted on legacy", row: "legacy", legacy: "kept", counts: func(c *entities.Counts) { c.Ended++ }},
	{name: "ended", row: "ended", counts: func(c *entities.Counts) { c.Ended++ }},
	{name: "history", legacy: "kept", counts: func(*entities.Counts) {}},
	{name: "new on legacy", legacy: "live", counts: func(c *entities.Counts) { c.Legacy++; c.New++ }},

	{name: "lost by legacy", row: "legacy", finding: []entities.Kind{entities.Orphaned}, counts: func(c *entities.Counts) { c.Legacy++ }},
	{name: "lost by modern", row: "migrated", legacy: "kept", finding: []entities.Kind{entities.Orphaned}, counts: func(c *entities.Counts) { c.Modern++ }},
	{name: "only the other has it", row: "modern", legacy: "live", finding: []entities.Kind{entities.Orphaned}, counts: func(c *entities.Counts) { c.Modern++ }},
	{name: "only a copy is left", row: "legacy", modern: "kept", finding: []entities.Kind{entities.Orphaned}, counts: func(c *entities.Counts) { c.Legacy++ }},
	{name: "unknown on modern", modern: "live", finding: []entities.Kind{entities.Unknown}, counts: func(*entities.Counts) {}},
	{name: "unknown on both", legacy: "live", modern: "live", finding: []entities.Kind{entities.Unknown, entities.DoubleClaimed}, counts: func(*entities.Counts) {}},
	{name: "listed twice", row: "legacy", legacy: "twice", finding: []entities.Kind{entities.Unknown}, counts: func(*entities.Counts) {}},
	{name: "no state", row: "legacy", legacy: "odd", finding: []entities.Kind{entities.Unknown}, counts: func(*entities.Counts) {}},
	{name: "claimed twice", row: "migrated", legacy: "live", modern: "live", finding: []entities.Kind{entities.DoubleClaimed}, counts: func(c *entities.Counts) { c.Modern++; c.Compared++ }},
	{name: "another name", row: "legacy", legacy: "differs", modern: "kept", finding: []entities.Kind{entities.Mismatched}, counts: func(c *entities.Counts) { c.Legacy++; c.Compared++ }},
	{name: "another status", row: "legacy", legacy: "live", modern: "kept", state: "Assigned", modernState: "COMPLETED", finding: []entities.Kind{entities.Mismatched}, counts: func(c *entities.Counts) { c.Legacy++; c.Compared++ }},
	{name: "a status that no map has", row: "legacy", legacy: "live", modern: "kept", state: "Frozen", modernState: "FAILED", finding: []entities.Kind{entities.Mismatched}, counts: func(c *entities.Counts) { c.Legacy++; c.Compared++ }},
}

// healthy is how many of planted are in order.
const healthy = 9

// kindOf is what the ith entity is: one in a hundred is not in order.
func kindOf(i int) int {
	if i%100 == 50 {
		return healthy + i/100%(len(planted)-healthy)
	}
	return i % healthy
}

func idOf(i int) string { return fmt.Sprintf("service-%08x", uint32(i)*2654435761) }

func value(i int, p string, state, field string) obj {
	name := fmt.Sprint("vFW ", i)
	if p == "differs" {
		name += "!"
	}
	v := obj{"id": idOf(i), "name": name, field: state, "region": "RegionOne", "tenant": strings.Repeat("t", 60)}
	if p == "odd" {
		delete(v, field)
	}
	return v
}

// TestEverythingThatIsPlantedIsFoundAndNothingElse is show 5.
func TestEverythingThatIsPlantedIsFoundAndNothingElse(t *testing.T) {
	n := 4200
	if os.Getenv("CHANGEOVER_ACCEPT") != "" {
		n = 100_000
	}
	store := open(t)
	var want entities.Counts
	var wanted []string
	var rows []ownership.Entity
	for i := range n {
		p := planted[kindOf(i)]
		p.counts(&want)
		for _, k := range p.finding {
			wanted = append(wanted, string(k)+" "+idOf(i))
			switch k {
			case entities.Orphaned:
				want.Orphaned++
			case entities.Unknown:
				want.Unknown++
			case entities.DoubleClaimed:
				want.DoubleClaimed++
			case entities.Mismatched:
				want.Mismatched++
			}
		}
		if e := map[string]ownership.Entity{
			"legacy": {Owner: plan.Legacy, Origin: ownership.BornLegacy}, "modern": {Owner: plan.Modern, Origin: ownership.BornModern},
			"migrated": {Owner: plan.Modern, Origin: ownership.Migrated}, "ended": {Owner: plan.Legacy, Origin: ownership.Ended},
		}[p.row]; e.Owner != "" {
			e.ID, e.At = idOf(i), noon
			rows = append(rows, e)
		}
	}
	want.Total = want.Legacy + want.Modern + want.Unknown
	slices.Sort(wanted)
	for c := range slices.Chunk(rows, 5000) {
		if err := store.Add(t.Context(), key, c); err != nil {
			t.Fatal(err)
		}
	}
	side := func(seed uint64, of func(i int) (p, state, field string)) *listed {
		order := rand.New(rand.NewPCG(seed, 1)).Perm(2 * n)
		return &listed{n: 2 * n, item: func(at int) (inventory.Item, bool) {
			i := order[at] % n
			p, state, field := of(i)
			if p == "" || order[at] >= n && p != "twice" {
				return inventory.Item{}, false
			}
			return inventory.Item{ID: idOf(i), Live: p != "kept", Value: value(i, p, state, field)}, true
		}}
	}
	statuses := spec().Values["status"]
	state := func(i int) string {
		if s := planted[kindOf(i)].state; s != "" {
			return s
		}
		return "Active"
	}
	legacy := side(1, func(i int) (string, string, string) { return planted[kindOf(i)].legacy, state(i), "state" })
	modern := side(2, func(i int) (string, string, string) {
		p := planted[kindOf(i)]
		if p.modernState != "" {
			return p.modern, p.modernState, "status"
		}
		return p.modern, statuses[state(i)], "status"
	})
	o := options(t, spec(), store, legacy, modern)
	o.Memory = n * 40 // so that some runs are written
	var base, stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&base)
	peak := uint64(0)
	o.Progress = func(read, judged int64) {
		if (read+judged)%10_000 < 1000 {
			runtime.ReadMemStats(&stats)
			peak = max(peak, stats.HeapAlloc)
		}
	}
	start := time.Now()
	counts, found := check(t, entities.New(o))
	if d := cmp.Diff(want, counts); d != "" {
		t.Errorf("counts (-want +got):\n%s", d)
	}
	if d := cmp.Diff(wanted, found); d != "" {
		t.Errorf("findings (-want +got):\n%s", d)
	}
	took, grown := time.Since(start), float64(peak-min(peak, base.HeapAlloc))/(1<<20)
	t.Logf("%d entities, %d findings, two passes in %s, %.1f MiB of heap more at the peak", n, len(found), took.Round(time.Millisecond), grown)
	if grown > 64 {
		t.Errorf("it took %.1f MiB, want at most 64", grown)
	}
}

// TestWhatMovesMeanwhileIsNotInvented: an entity is handed over between the
// readings of the two inventories, and one is born.
func TestWhatMovesMeanwhileIsNotInvented(t *testing.T) {
	store := open(t)
	put := func(id string, owner plan.Side, origin ownership.Origin) {
		if err := store.Put(t.Context(), key, []ownership.Entity{{ID: id, Owner: owner, Origin: origin, At: noon}}); err != nil {
			t.Fatal(err)
		}
	}
	put("a", plan.Legacy, ownership.BornLegacy)
	put("lost", plan.Legacy, ownership.BornLegacy)
	moved := false
	legacy := &listed{n: 1, item: func(int) (inventory.Item, bool) {
		return inventory.Item{ID: "a", Live: true, Value: obj{"id": "a", "name": "n", "state": "Active"}}, !moved
	}}
	modern := &listed{n: 2, item: func(i int) (inventory.Item, bool) {
		id := []string{"a", "born"}[i]
		return inventory.Item{ID: id, Live: true, Value: obj{"id": id, "name": "n", "status": "COMPLETED"}}, moved
	}}
	modern.before = func(n int) error {
		if n == 1 {
			moved = true
			put("a", plan.Modern, ownership.Migrated)
			put("born", plan.Modern, ownership.BornModern)
		}
		return nil
	}
	c := entities.New(options(t, spec(), store, legacy, modern))
	counts, found := check(t, c)
	if len(found) != 1 || found[0] != "orphaned lost" || counts.Modern != 2 || counts.DoubleClaimed+counts.Unknown != 0 {
		t.Errorf("found %v, counts %+v; want the lost one alone", found, counts)
	}
	before := modern.times.Load()
	if _, found = check(t, c); len(found) != 1 || modern.times.Load() != before+1 {
		t.Errorf("found %v in %d passes: what was found before needs no second look", found, modern.times.Load()-before)
	}
}

func TestWhatIsNewOnLegacyIsAddedToTheTable(t *testing.T) {
	store := open(t)
	legacy := items(
		inventory.Item{ID: "new", Live: true, Value: obj{"state": "Active"}}, inventory.Item{ID: "old", Live: false, Value: obj{"state": "Active"}},
		inventory.Item{ID: "both", Live: true, Value: obj{"state": "Active", "name": "n"}}, inventory.Item{ID: "owned", Live: true, Value: obj{"state": "Active"}},
	)
	modern := items(inventory.Item{ID: "both", Live: true, Value: obj{"status": "COMPLETED", "name": "n"}})
	if err := store.Add(t.Context(), key, []ownership.Entity{{ID: "owned", Owner: plan.Modern, Origin: ownership.BornModern, At: noon}}); err != nil {
		t.Fatal(err)
	}
	table := func() (out []string) {
		p, err := store.Changes(t.Context(), key, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Entities {
			out = append(out, fmt.Sprint(e.ID, " ", e.Owner, " ", e.Origin))
		}
		return out
	}
	o := options(t, spec(), store, legacy, modern)
	if counts, _ := check(t, entities.New(o)); counts.New != 1 || len(table()) != 1 {
		t.Errorf("a check that may not write: %+v, table %v", counts, table())
	}
	o.Seed = true
	check(t, entities.New(o))
	if d := cmp.Diff([]string{"owned modern bornModern", "new legacy bornLegacy"}, table()); d != "" {
		t.Errorf("table (-want +got):\n%s", d)
	}
}

func TestAListThatBreaksOffGivesNoResult(t *testing.T) {
	gone := errors.New("connection lost")
	for _, side := range []string{"legacy", "modern"} {
		store, legacy, modern := open(t), items(inventory.Item{ID: "a", Live: true, Value: obj{"state": "Active"}}), items()
		map[string]*listed{"legacy": legacy, "modern": modern}[side].before = func(int) error { return gone }
		o := options(t, spec(), store, legacy, modern)
		o.Seed = true
		counts, err := entities.New(o).Check(t.Context(), func(f entities.Finding) { t.Errorf("found %+v", f) })
		if !errors.Is(err, gone) || counts != (entities.Counts{}) {
			t.Errorf("%s breaks off: %+v, error %v", side, counts, err)
		}
		if p, err := store.Changes(t.Context(), key, 0, 10); err != nil || len(p.Entities) > 0 {
			t.Errorf("the table has %v, error %v", p.Entities, err)
		}
	}
}

func TestASampleIsAnotherEachTime(t *testing.T) {
	const n = 2000
	e := spec()
	e.Verify.Sample = 100
	of := func(field, status string) *listed {
		return &listed{n: n, item: func(i int) (inventory.Item, bool) {
			return inventory.Item{ID: idOf(i), Live: field == "state", Value: obj{"name": "n", field: status}}, true
		}}
	}
	store := open(t)
	c := entities.New(options(t, e, store, of("state", "Active"), of("status", "FAILED")))
	seen := map[string]int{}
	for range 3 {
		counts, found := check(t, c)
		if counts.Compared < 40 || counts.Compared > 200 || int64(len(found)) != counts.Compared {
			t.Errorf("%d were compared and %d found, want about 100", counts.Compared, len(found))
		}
		for _, f := range found {
			seen[f]++
		}
	}
	if len(seen) < 200 {
		t.Errorf("three samples have %d entities in all", len(seen))
	}
}
