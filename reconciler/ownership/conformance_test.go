package ownership_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/test/postgres"
)

var (
	key   = plan.Key{Namespace: "so", Name: "onap"}
	other = plan.Key{Namespace: "so", Name: "other"}
	noon  = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
)

// TestStoresConform runs one suite over both stores. Opening a URL again is a
// second process at the same table.
func TestStoresConform(t *testing.T) {
	server := postgres.Start(t, "-F")
	for name, fresh := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "it's 100% a #?.db") },
		"postgres": func(*testing.T) string { return server.URL(false) },
	} {
		t.Run(name, func(t *testing.T) {
			for what, test := range map[string]func(*testing.T, string){
				"what is written is read": written, "add leaves what is there": adds, "put replaces": puts,
				"plans have tables of their own": plansApart, "pages": pages, "bad entities": refused,
				"wait sees another process": waits, "writers at once": writersAtOnce, "laws": laws, "deadlines": deadlines,
			} {
				t.Run(what, func(t *testing.T) { test(t, fresh(t)) })
			}
		})
	}
}

func open(t testing.TB, url string) ownership.Store {
	t.Helper()
	s, err := ownership.Open(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func entity(id string, owner plan.Side, origin ownership.Origin) ownership.Entity {
	return ownership.Entity{ID: id, Owner: owner, Origin: origin, At: noon}
}

func born(id string) ownership.Entity { return entity(id, plan.Modern, ownership.BornModern) }

func add(t testing.TB, s ownership.Store, entities ...ownership.Entity) {
	t.Helper()
	if err := s.Add(t.Context(), key, entities); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, s ownership.Store, entities ...ownership.Entity) {
	t.Helper()
	if err := s.Put(t.Context(), key, entities); err != nil {
		t.Fatal(err)
	}
}

func changes(t testing.TB, s ownership.Store, after int64) ownership.Page {
	t.Helper()
	p, err := s.Changes(t.Context(), key, after, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// table is what a store holds, without the revisions, which must rise.
func table(t testing.TB, s ownership.Store) map[string]ownership.Entity {
	t.Helper()
	out, last := map[string]ownership.Entity{}, int64(0)
	p := changes(t, s, 0)
	for _, e := range p.Entities {
		if e.Revision <= last || e.Revision > p.Head {
			t.Fatalf("revision %d after %d, head %d", e.Revision, last, p.Head)
		}
		last, e.Revision = e.Revision, 0
		out[e.ID] = e
	}
	return out
}

func want(t testing.TB, s ownership.Store, entities ...ownership.Entity) {
	t.Helper()
	m := map[string]ownership.Entity{}
	for _, e := range entities {
		m[e.ID] = e
	}
	if d := cmp.Diff(m, table(t, s)); d != "" {
		t.Fatalf("table (-want +got):\n%s", d)
	}
}

func written(t *testing.T, url string) {
	s := open(t, url)
	if p := changes(t, s, 0); len(p.Entities) != 0 || p.Head != 0 {
		t.Fatalf("a new table is %+v", p)
	}
	rows := []ownership.Entity{
		{ID: "a", Owner: plan.Legacy, Origin: ownership.BornLegacy, At: noon},
		{ID: "ä'\" %{};", Owner: plan.Modern, Origin: ownership.Migrated, Batch: "gradual@25/3", At: noon.Add(1234 * time.Millisecond)},
		{ID: strings.Repeat("x", plan.MaxEntityID), Owner: plan.Modern, Origin: ownership.BornModern, At: noon},
	}
	add(t, s, rows...)
	want(t, s, rows...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, open(t, url), rows...)
}

func adds(t *testing.T, url string) {
	s := open(t, url)
	legacy := entity("a", plan.Legacy, ownership.BornLegacy)
	add(t, s, legacy)
	head := changes(t, s, 0).Head
	add(t, s, born("a"), born("b"), entity("b", plan.Legacy, ownership.BornLegacy))
	want(t, s, legacy, born("b"))
	if p := changes(t, s, head); len(p.Entities) != 1 || p.Entities[0].ID != "b" {
		t.Errorf("changes after %d are %+v, want b alone", head, p)
	}
	add(t, s)
}

func puts(t *testing.T, url string) {
	s := open(t, url)
	add(t, s, born("a"), born("b"))
	head := changes(t, s, 0).Head
	back := entity("a", plan.Legacy, ownership.Migrated)
	put(t, s, born("a"), back)
	want(t, s, back, born("b"))
	if p := changes(t, s, head); len(p.Entities) != 1 || p.Entities[0].Owner != plan.Legacy || p.Entities[0].Revision <= head {
		t.Errorf("changes after %d are %+v, want a alone, on legacy", head, p)
	}
}

func plansApart(t *testing.T, url string) {
	s := open(t, url)
	add(t, s, born("a"))
	if err := s.Add(t.Context(), other, []ownership.Entity{entity("a", plan.Legacy, ownership.BornLegacy), born("c")}); err != nil {
		t.Fatal(err)
	}
	want(t, s, born("a"))
	p, err := s.Changes(t.Context(), other, 0, 10)
	if err != nil || len(p.Entities) != 2 || p.Entities[0].Owner != plan.Legacy {
		t.Errorf("the other plan has %+v, error %v", p, err)
	}
}

func pages(t *testing.T, url string) {
	s := open(t, url)
	var rows []ownership.Entity
	for i := range 25 {
		rows = append(rows, born(fmt.Sprint("id-", i)))
	}
	add(t, s, rows...)
	seen, after := 0, int64(0)
	for range 4 {
		p, err := s.Changes(t.Context(), key, after, 10)
		if err != nil || p.Head < 25 {
			t.Fatalf("%+v, error %v", p, err)
		}
		for _, e := range p.Entities {
			if e.ID != fmt.Sprint("id-", seen) {
				t.Fatalf("entity %d is %q: order is that of the list", seen, e.ID)
			}
			seen++
			after = e.Revision
		}
	}
	if seen != 25 {
		t.Errorf("%d entities in all pages, want 25", seen)
	}
}

func refused(t *testing.T, url string) {
	s := open(t, url)
	for _, e := range []ownership.Entity{
		born(""), born("a/b"), born("a\x00"), born("a\nb"), born("\xff"), born(".."), born("."), born(strings.Repeat("x", plan.MaxEntityID+1)),
		{ID: "a", Owner: "both", Origin: ownership.BornModern, At: noon}, {ID: "a", Owner: plan.Modern, Origin: "found", At: noon},
	} {
		for what, write := range map[string]func(context.Context, plan.Key, []ownership.Entity) error{"add": s.Add, "put": s.Put} {
			if err := write(t.Context(), key, []ownership.Entity{born("good"), e}); err == nil {
				t.Errorf("%s takes %+v", what, e)
			}
		}
	}
	want(t, s)
}

func waits(t *testing.T, url string) {
	reader, writer := open(t, url), open(t, url)
	if err := reader.Wait(t.Context(), key, 1); err != nil { // begins to listen
		t.Fatal(err)
	}
	for i := range 5 {
		after := changes(t, reader, 0).Head
		got := make(chan error, 1)
		go func() { got <- reader.Wait(t.Context(), key, after) }()
		add(t, writer, born(fmt.Sprint(i)))
		start := time.Now()
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took >= ownership.WaitFor {
			t.Errorf("wait returned after %s: it has seen nothing", took)
		}
		if p := changes(t, reader, after); len(p.Entities) != 1 {
			t.Errorf("round %d: after the wait the changes are %+v", i, p)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := reader.Wait(ctx, key, changes(t, reader, 0).Head); err != nil || ctx.Err() == nil {
		t.Errorf("without a change wait returned %v, its context is %v", err, ctx.Err())
	}
}

// writersAtOnce: whoever follows by revisions misses nothing, however many write.
func writersAtOnce(t *testing.T, url string) {
	const writers, each = 4, 25
	var wg sync.WaitGroup
	for w := range writers {
		s := open(t, url)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				if err := s.Add(t.Context(), key, []ownership.Entity{born(fmt.Sprintf("%d-%d", w, i)), born(fmt.Sprint("shared-", i))}); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	s, seen, after := open(t, url), map[string]int{}, int64(0)
	for last := false; !last; {
		select {
		case <-done:
			last = true
		default:
		}
		p := changes(t, s, after)
		for _, e := range p.Entities {
			seen[e.ID]++
			after = e.Revision
		}
	}
	if len(seen) != writers*each+each {
		t.Errorf("the follower saw %d ids, want %d", len(seen), writers*each+each)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was seen %d times", id, n)
		}
	}
}

// laws: a store is a map with a memory of what changed.
func laws(t *testing.T, url string) {
	s := open(t, url)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		key := plan.Key{Namespace: "laws", Name: fmt.Sprint("p", n)}
		model, follower, after := map[string]ownership.Entity{}, map[string]ownership.Entity{}, int64(0)
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			rows := rapid.SliceOfN(rapid.Custom(drawEntity), 0, 5).Draw(t, "rows")
			replace := rapid.Bool().Draw(t, "put")
			write := s.Add
			if replace {
				write = s.Put
			}
			if err := write(context.Background(), key, rows); err != nil {
				t.Fatal(err)
			}
			for _, e := range rows {
				if _, there := model[e.ID]; replace || !there {
					model[e.ID] = e
				}
			}
			if rapid.Bool().Draw(t, "follow") {
				after = follow(t, s, key, follower, after)
			}
		}
		follow(t, s, key, follower, after)
		if d := cmp.Diff(model, follower); d != "" {
			t.Fatalf("the follower has (-want +got):\n%s", d)
		}
	})
}

func follow(t *rapid.T, s ownership.Store, key plan.Key, into map[string]ownership.Entity, after int64) int64 {
	for {
		p, err := s.Changes(context.Background(), key, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Entities {
			after, e.Revision = e.Revision, 0
			into[e.ID] = e
		}
		if len(p.Entities) < 2 {
			return after
		}
	}
}

func drawEntity(t *rapid.T) ownership.Entity {
	return ownership.Entity{
		ID:     rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "id"),
		Owner:  rapid.SampledFrom([]plan.Side{plan.Legacy, plan.Modern}).Draw(t, "owner"),
		Origin: rapid.SampledFrom([]ownership.Origin{ownership.BornLegacy, ownership.BornModern, ownership.Migrated}).Draw(t, "origin"),
		Batch:  rapid.SampledFrom([]string{"", "b1"}).Draw(t, "batch"),
		At:     noon.Add(time.Duration(rapid.IntRange(0, 1e6).Draw(t, "at")) * time.Millisecond),
	}
}

func deadlines(t *testing.T, url string) {
	s := open(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Add(ctx, key, []ownership.Entity{born("a")}); err == nil {
		t.Error("add went on without its context")
	}
	if _, err := s.Changes(ctx, key, 0, 1); err == nil {
		t.Error("changes went on without its context")
	}
	want(t, s)
}
