package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
)

// blocks is what a reader saw of the table of owners, which has nothing to do with
// daemon, bridge and clients.
type blocks struct {
	reads, changes, flips, blocked int
	// longest for which an entity was seen blocked, and which one: between the first
	// read that showed it and the last one. At most is up to the read that showed the
	// end, which a busy machine delays.
	longest, atMost time.Duration
	id              string
	wrong           []string
}

func (b *blocks) String() string {
	return fmt.Sprintf("the table was read %d times: %d changes, %d of owners, %d blocks, the longest (%s) for %s, at most %s",
		b.reads, b.changes, b.flips, b.blocked, b.id, b.longest.Round(time.Millisecond), b.atMost.Round(time.Millisecond))
}

// judge fails the test for what must never be. A block of a second is one of a bridge
// that does not keep to its lease; a machine that others use may take longer.
func (b *blocks) judge(t *testing.T) {
	t.Helper()
	for _, w := range b.wrong {
		t.Error(w)
	}
	if most := time.Duration(count(20, 1)) * time.Second; b.longest >= most {
		t.Errorf("%s was blocked for %s, at most %s are allowed", b.id, b.longest, most)
	}
	if b.flips == 0 || b.blocked == 0 {
		t.Errorf("the reader saw nothing: %s", b)
	}
}

// row is an entity as the reader has seen it last.
type row struct {
	ownership.Entity
	since, still, before time.Time // of its block: first and last seen, and the read before the first
}

// watch follows the table of owners until the returned function is called.
func (m *migration) watch() (stop func() *blocks) {
	m.t.Helper()
	table, err := ownership.Open(m.table, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b, rows := &blocks{}, map[string]*row{}
	var reader sync.WaitGroup
	reader.Go(func() {
		defer table.Close()
		last := time.Now()
		for after := int64(0); ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
			begun := time.Now()
			p, err := table.Changes(context.Background(), plan.Key{Namespace: "default", Name: "orders"}, after, 100_000)
			if err != nil {
				b.wrong = append(b.wrong, "read the table: "+err.Error())
				return
			}
			b.reads++
			changed := map[string]bool{}
			for _, e := range p.Entities {
				after, changed[e.ID] = e.Revision, true
				b.see(rows, e, last, time.Now())
			}
			for id, r := range rows {
				if r.Block != "" && !changed[id] {
					r.still = begun
				}
			}
			last = begun
		}
	})
	return func() *blocks { cancel(); reader.Wait(); return b }
}

// see takes in what a read shows of an entity.
func (b *blocks) see(rows map[string]*row, e ownership.Entity, before, now time.Time) {
	b.changes++
	r := rows[e.ID]
	if r == nil {
		r = &row{Entity: e}
		rows[e.ID] = r
		if e.Block != "" {
			b.blocked++
			r.since, r.still, r.before = now, now, before
		}
		return
	}
	was := r.Entity
	bad := func(what string) {
		b.wrong = append(b.wrong, fmt.Sprintf("%s %s: %s of %s at revision %d, %s of %s at %d", e.ID, what, was.Origin, was.Owner, was.Revision, e.Origin, e.Owner, e.Revision))
	}
	switch {
	case e.Revision <= was.Revision:
		bad("went back")
	case was.Origin == ownership.BornModern && e.Owner != plan.Modern:
		bad("was taken from modern, where it was born")
	case e.Owner == plan.Modern && e.Origin == ownership.BornLegacy || e.Owner == plan.Legacy && e.Origin == ownership.Migrated:
		bad("has an owner that does not go with its origin")
	case e.Owner != was.Owner && e.Block != "" && e.Block == was.Block:
		bad("changed its owner and kept its block")
	}
	if e.Owner != was.Owner {
		b.flips++
	}
	if was.Block != "" && e.Block != was.Block {
		if d := r.still.Sub(r.since); d > b.longest || b.id == "" {
			b.longest, b.id = d, e.ID
		}
		b.atMost = max(b.atMost, now.Sub(r.before))
	}
	if e.Block != "" && e.Block != was.Block {
		b.blocked++
		r.since, r.still, r.before = now, now, before
	}
	r.Entity = e
}
