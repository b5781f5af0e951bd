package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/test/stack"
)

const handoverPlan = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: orders}
spec:
  position: {phase: setup}
  backends:
    legacy: {url: "OLD"}
    modern: {url: "NEW"}
  gateway: {GATEWAY: {}}
  identity: {header: X-User}
  entities:
    match: {path: "/deployments/{id}"}
    source: {http: {url: "OLD/inventory", item: "'OLD/inventory/' + id"}}
    order: item.born
    inFlight: item.busy
    modern: {source: {http: {url: "NEW/inventory", item: "'NEW/inventory/' + id"}}}
    handOver: [{http: {url: "'NEW/take/' + id"}}]
    handBack: [{http: {url: "'OLD/take/' + id"}}]
    verify:
      legacy: {http: {url: "'OLD/inventory/' + id"}}
      modern: {http: {url: "'NEW/inventory/' + id"}}
      equal: ["legacy.writes == modern.writes"]
    rate: 500
    concurrency: 4
  phases:
    - {name: setup, routes: [{to: legacy}]}
    - name: gradual
      percents: [10, 25, 50, 75, 100]
      routes:
        - match: {methods: [POST], path: /deployments}
          to: modern
        - {to: owner}
    - {name: sunset, routes: [{to: modern}]}
`

// deployment is an entity as a backend has it. Writes are those of clients, in the
// order in which they came.
type deployment struct {
	ID     string   `json:"id"`
	Born   int      `json:"born"`
	Busy   bool     `json:"busy"`
	Writes []string `json:"writes"`
}

// orchestrator is a small real backend: it keeps deployments, and takes them over
// from another one.
type orchestrator struct {
	*httptest.Server
	other *orchestrator

	mu      sync.Mutex
	all     map[string]*deployment
	taken   int // hand-overs so far
	applied map[string]int
}

func newOrchestrator(t *testing.T) *orchestrator {
	o := &orchestrator{all: map[string]*deployment{}, applied: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /inventory", func(w http.ResponseWriter, _ *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		list := []deployment{}
		for _, d := range o.all {
			list = append(list, *d)
		}
		_ = json.NewEncoder(w).Encode(list)
	})
	mux.HandleFunc("GET /inventory/{id}", func(w http.ResponseWriter, r *http.Request) { o.answer(w, r.PathValue("id")) })
	mux.HandleFunc("GET /deployments/{id}", func(w http.ResponseWriter, r *http.Request) { o.answer(w, r.PathValue("id")) })
	mux.HandleFunc("PUT /deployments/{id}", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return // half a write is none
		}
		time.Sleep(rand.N(5 * time.Millisecond))
		o.mu.Lock()
		d := o.all[r.PathValue("id")]
		if d != nil {
			d.Writes = append(d.Writes, string(b))
			o.applied[string(b)]++
		}
		o.mu.Unlock()
		time.Sleep(rand.N(5 * time.Millisecond))
		if d == nil {
			http.NotFound(w, r)
		}
	})
	mux.HandleFunc("DELETE /deployments/{id}", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(rand.N(5 * time.Millisecond))
		o.mu.Lock()
		d := o.all[r.PathValue("id")]
		delete(o.all, r.PathValue("id"))
		o.mu.Unlock()
		if d == nil {
			http.NotFound(w, r)
		}
	})
	mux.HandleFunc("POST /deployments", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		o.mu.Lock()
		o.all[string(b)] = &deployment{ID: string(b), Writes: []string{}}
		o.mu.Unlock()
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(deployment{ID: string(b)})
	})
	mux.HandleFunc("PUT /take/{id}", o.take)
	o.Server = httptest.NewServer(mux)
	t.Cleanup(o.Close)
	return o
}

func (o *orchestrator) answer(w http.ResponseWriter, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.all[id]
	if d == nil {
		http.Error(w, "not here", http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(d)
}

// take copies a deployment from the other one. One in ten fails.
func (o *orchestrator) take(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	o.other.mu.Lock()
	var copied deployment
	d := o.other.all[id]
	if d != nil {
		copied = *d
		copied.Writes = slices.Clone(d.Writes)
	}
	o.other.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.taken++
	switch {
	case d == nil:
		http.NotFound(w, r)
	case o.taken%10 == 0:
		http.Error(w, "no", http.StatusInternalServerError)
	default:
		o.all[id] = &copied
	}
}

func startMigration(t *testing.T, n int) *migration {
	m := &migration{t: t, legacy: newOrchestrator(t), modern: newOrchestrator(t), acked: map[string][]string{}, deleting: map[string]bool{}, deleted: map[string]bool{}}
	m.legacy.other, m.modern.other = m.modern, m.legacy
	for i := range n {
		id := fmt.Sprintf("d%04d", i)
		m.ids = append(m.ids, id)
		m.legacy.all[id] = &deployment{ID: id, Born: i, Busy: i%20 == 7, Writes: []string{}}
	}
	dir := t.TempDir()
	table := "sqlite://" + filepath.Join(dir, "owners.db")
	m.s = stack.Start(t, stack.Options{
		Bin: bin, Gateway: "bridge", Plan: strings.NewReplacer("OLD", m.legacy.URL, "NEW", m.modern.URL).Replace(handoverPlan),
		BridgeArgs: []string{"--ownership", table, "--ownership-spool", filepath.Join(dir, "spool")},
		Args:       []string{"--ownership", table, "--allow-host", strings.TrimPrefix(m.legacy.URL, "http://"), "--allow-host", strings.TrimPrefix(m.modern.URL, "http://")},
	})
	var err error
	if m.owners, err = ownership.Open(table, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.owners.Close() })
	m.table = table
	m.s.StartDaemon()
	m.at("setup")
	return m
}

// at waits until a stop is in effect.
func (m *migration) at(stop string) reconciler.Status {
	m.t.Helper()
	return m.s.Await(stop, 3*time.Minute, func(s reconciler.Status) bool {
		return s.Effective.String() == stop && s.Move == nil && s.Declared == s.Effective
	})
}

// owned are the ids that modern owns.
func (m *migration) owned() (ids []string) {
	m.t.Helper()
	p, err := m.owners.Changes(m.t.Context(), plan.Key{Namespace: "default", Name: "orders"}, 0, 100_000)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range p.Entities {
		if e.Owner == plan.Modern {
			ids = append(ids, e.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// TestEntitiesAreHandedOverUnderLoad goes through every stop while clients write and
// the daemon is killed, and back from half of it.
func TestEntitiesAreHandedOverUnderLoad(t *testing.T) {
	n, kills := count(40, 1000), count(3, 51)
	m := startMigration(t, n)
	watched := m.watch()
	stop := m.clients()
	began := time.Now()
	killed := 0
	for _, percent := range []int{10, 25, 50} {
		at := fmt.Sprintf("gradual@%d", percent)
		m.s.Declare(at)
		for range kills / 3 {
			time.Sleep(rand.N(1500 * time.Millisecond)) // any moment will do
			m.s.KillDaemon()
			killed++
			m.s.StartDaemon()
		}
		m.at(at)
		m.share(percent)
		// From now on the order is frozen: what is deleted leaves a gap in it.
		m.deletable.Store(int64(n * percent / 500))
	}
	m.await("something is deleted", func() bool { return m.gone() > 0 })
	m.create("fresh")
	// Back at half of the way: what was given away goes back, what was born stays.
	m.s.Declare("setup")
	m.at("setup")
	m.s.Await("all is handed back", 3*time.Minute, func(reconciler.Status) bool { return slices.Equal(m.living(m.owned()), []string{"fresh"}) })
	if m.legacy.has("fresh") {
		t.Error("what was born on modern was given to legacy")
	}
	for _, stop := range []string{"gradual@75", "gradual@100"} {
		m.s.Declare(stop)
		m.at(stop)
	}
	m.share(100)
	m.legacy.calm() // nothing is in flight any more
	m.s.Await("the stragglers", 3*time.Minute, func(reconciler.Status) bool { return len(m.living(m.owned())) == len(m.living(m.ids))+1 })
	m.s.Declare("sunset")
	m.at("sunset")
	stop()
	blocks := watched()
	m.settled()
	blocks.judge(t)
	writes := 0
	for _, w := range m.acked {
		writes += len(w)
	}
	longest := time.Duration(m.longest.Load())
	t.Logf("%d entities, %d writes, %d refused for a moment, the longest for %s, %d failed, %d deleted, %d kills, %s; %s", n, writes, m.refused.Load(), longest, m.failed.Load(), m.gone(), killed, time.Since(began).Round(time.Second), blocks)
	if m.failed.Load() > 0 {
		t.Errorf("%d requests failed", m.failed.Load())
	}
}

// share checks that modern owns the oldest, but for those in flight.
func (m *migration) share(percent int) {
	m.t.Helper()
	want := []string{}
	for i, id := range m.ids[:(len(m.ids)*percent+99)/100] {
		if i%20 != 7 {
			want = append(want, id)
		}
	}
	got, want := m.living(slices.DeleteFunc(m.owned(), func(id string) bool { return id == "fresh" })), m.living(want)
	if !slices.Equal(got, want) {
		m.t.Errorf("at %d %% modern owns %v, want %v", percent, got, want)
	}
}

func (m *migration) create(id string) {
	m.t.Helper()
	res, err := http.Post(m.s.URL+"/deployments", "text/plain", strings.NewReader(id))
	if err != nil {
		m.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusCreated || res.Header.Get("X-Changeover-Side") != "modern" {
		m.t.Errorf("a create is answered %d by %s", res.StatusCode, res.Header.Get("X-Changeover-Side"))
	}
}

func (o *orchestrator) has(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all[id] != nil
}

func (o *orchestrator) calm() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.all {
		d.Busy = false
	}
}
