package entities_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/call"
	"github.com/changeover-dev/changeover/reconciler/entities"
	"github.com/changeover-dev/changeover/reconciler/inventory"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

// modernSystem takes upserts; what it refuses it answers with 503.
type modernSystem struct {
	mu     sync.Mutex
	got    map[string]string // by id
	writes int
	refuse string // id
}

func (m *modernSystem) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/deployments/")
	b, _ := io.ReadAll(r.Body)
	m.mu.Lock()
	defer m.mu.Unlock()
	if id == m.refuse {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	m.writes++
	m.got[id] = string(b)
}

func (m *modernSystem) list(t *testing.T) *listed {
	t.Helper()
	l := &listed{}
	l.before = func(int) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		var items []inventory.Item
		for id, body := range m.got {
			var v obj
			if err := json.Unmarshal([]byte(body), &v); err != nil {
				return err
			}
			items = append(items, inventory.Item{ID: id, Value: v})
		}
		l.n, l.item = len(items), func(i int) (inventory.Item, bool) { return items[i], true }
		return nil
	}
	return l
}

// synced is a plan that syncs to a modern system, and what it needs.
func synced(t *testing.T, m *modernSystem, legacy *listed, store ownership.Store) (*plan.Plan, func(*plan.Plan) (entities.Options, error)) {
	t.Helper()
	m.got = map[string]string{}
	s := httptest.NewServer(m)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := call.New(call.Options{AllowHosts: []string{u.Host}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	e := spec()
	e.Rate, e.Interval = 10_000, plan.Duration(5*time.Millisecond)
	e.Sync = &plan.EntitySync{Interval: plan.Duration(5 * time.Millisecond), Upsert: plan.EntityStep{HTTP: plan.HTTPCall{
		Method: "PUT", URL: fmt.Sprintf("%q + escape(id)", s.URL+"/deployments/"), Body: `{"name": item.name, "status": values.status[item.state]}`,
	}}}
	p := &plan.Plan{Metadata: plan.Metadata{Namespace: key.Namespace, Name: key.Name}, Spec: plan.Spec{Entities: e}}
	return p, func(p *plan.Plan) (entities.Options, error) {
		o := options(t, p.Spec.Entities, store, legacy, m.list(t))
		o.Caller = c
		return o, nil
	}
}

func legacyItems(n int) *listed {
	states := []string{"Active", "Assigned", "Created", "PendingDelete", "InventoryFailed"}
	return &listed{n: n, item: func(i int) (inventory.Item, bool) {
		return inventory.Item{ID: fmt.Sprint("e", i), Live: i != 7, Value: obj{"name": fmt.Sprint("n", i), "state": states[i%len(states)]}}, true
	}}
}

func TestARoundWritesWhatLegacyOwnsAndNothingElse(t *testing.T) {
	store, m := open(t), &modernSystem{refuse: "e3"}
	p, with := synced(t, m, legacyItems(10), store)
	if err := store.Add(t.Context(), key, []ownership.Entity{{ID: "e1", Owner: plan.Modern, Origin: ownership.Migrated, At: noon}}); err != nil {
		t.Fatal(err)
	}
	o, err := with(p)
	if err != nil {
		t.Fatal(err)
	}
	var locks entities.Locks
	unlock, ok := locks.TryLock(key, "e2")
	if !ok {
		t.Fatal("a free lock is taken")
	}
	s := entities.NewSyncer(o, &locks)
	got, err := s.Round(t.Context())
	if err != nil || got.Written != 6 || got.Failed != 1 || got.Skipped != 3 || !strings.Contains(got.Error, `"e3"`) {
		t.Errorf("%+v, error %v; want all but e1 (modern's), e2 (locked), e3 (refused) and e7 (not live)", got, err)
	}
	unlock()
	m.refuse = ""
	before := m.got["e0"]
	if got, err = s.Round(t.Context()); err != nil || got.Written != 8 || got.Failed != 0 || m.got["e0"] != before || before != `{"name":"n0","status":"COMPLETED"}` {
		t.Errorf("the second round: %+v, error %v, modern has %s", got, err, m.got["e0"])
	}
	if m.got["e1"] != "" || m.got["e7"] != "" {
		t.Errorf("modern got %v", m.got)
	}
}

// until waits for what a watcher tells.
func until(t *testing.T, w *entities.Watcher, p *plan.Plan, writes bool, what string, is func(*gates.Entities) bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		e := w.Tell(p, writes)
		if is(e) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: it tells %+v", what, e)
		}
	}
}

func TestAWatcherComparesAndSyncs(t *testing.T) {
	store, m := open(t), &modernSystem{}
	p, with := synced(t, m, legacyItems(10), store)
	w := entities.NewWatcher(entities.WatchOptions{Open: with, Locks: &entities.Locks{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()

	if e := w.Tell(p, false); e == nil || e.Why == "" {
		t.Errorf("before a comparison it tells %+v", e)
	}
	until(t, w, p, false, "a plan that may not be written", func(e *gates.Entities) bool {
		return e.Why == "" && e.Total == 9 && e.Legacy == 9 && e.InFlight == 1 && e.Untold["syncLag"] != "" && e.Untold["mismatched"] == ""
	})
	if page, err := store.Changes(t.Context(), key, 0, 10); err != nil || len(page.Entities) > 0 || m.writes > 0 {
		t.Fatalf("it wrote %v to the table and %d to modern, error %v", page.Entities, m.writes, err)
	}
	until(t, w, p, true, "a plan that may", func(e *gates.Entities) bool {
		page, err := store.Changes(t.Context(), key, 0, 10)
		return err == nil && len(page.Entities) == 9 && e.Why == "" && e.Untold["syncLag"] == "" && e.SyncLag < time.Minute && e.Mismatched == 0
	})
	m.mu.Lock()
	writes := m.writes
	m.mu.Unlock()
	if writes < 9 {
		t.Errorf("modern was written %d times", writes)
	}
	other := *p
	e := *p.Spec.Entities
	e.Sync, other.Spec.Entities = nil, &e
	until(t, w, &other, true, "other entities", func(e *gates.Entities) bool {
		return e.Why == "" && strings.Contains(e.Untold["syncLag"], "spec.entities.sync")
	})
	if w.Tell(&plan.Plan{}, true) != nil {
		t.Error("it tells of a plan without entities")
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(60 * time.Second):
		t.Error("the watcher does not end")
	}
}

func TestAWatcherTellsWhyNothingIsKnown(t *testing.T) {
	legacy := legacyItems(3)
	legacy.before = func(int) error { return fmt.Errorf("list source: page 2: answered 500") }
	p, with := synced(t, &modernSystem{}, legacy, open(t))
	w := entities.NewWatcher(entities.WatchOptions{Open: with, Locks: &entities.Locks{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	defer func() { cancel(); <-ended }() // before its folder goes
	until(t, w, p, true, "an inventory that breaks off", func(e *gates.Entities) bool { return strings.Contains(e.Why, "page 2") })
}
