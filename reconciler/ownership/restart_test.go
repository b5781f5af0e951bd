package ownership_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/test/postgres"
)

// TestPostgreSQLRestartsInTheMiddle is show 6: several bridges write while the
// server crashes and comes back. What a write said is there is there, and owned by
// one side; a follower that read on misses nothing.
func TestPostgreSQLRestartsInTheMiddle(t *testing.T) {
	const bridges, each = 3, 40
	server := postgres.Start(t)
	url := server.URL(false)
	var written atomic.Int64
	var wg sync.WaitGroup
	for b := range bridges {
		s := open(t, url)
		wg.Go(func() {
			for i := range each {
				rows := []ownership.Entity{born(fmt.Sprintf("%d-%d", b, i)), entity(fmt.Sprint("shared-", i), []plan.Side{plan.Legacy, plan.Modern}[b%2], ownership.Migrated)}
				for deadline := time.Now().Add(120 * time.Second); ; time.Sleep(20 * time.Millisecond) {
					err := s.Add(t.Context(), key, rows)
					if err == nil {
						break
					}
					if time.Now().After(deadline) {
						t.Errorf("bridge %d cannot write again: %v", b, err)
						return
					}
				}
				written.Add(1)
			}
		})
	}
	for written.Load() < bridges*each/3 && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
	s := open(t, url)
	before, half := map[string]ownership.Entity{}, int64(0)
	for _, e := range changes(t, s, 0).Entities {
		before[e.ID], half = e, e.Revision
	}
	server.Stop()
	server.Run()
	wg.Wait()
	after := map[string]ownership.Entity{}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		p, err := s.Changes(t.Context(), key, 0, 1000)
		if err == nil {
			for _, e := range p.Entities {
				after[e.ID] = e
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if len(after) != bridges*each+each {
		t.Errorf("the table has %d ids, want %d", len(after), bridges*each+each)
	}
	for id, e := range before {
		if after[id] != e {
			t.Errorf("%s was %+v and is %+v", id, e, after[id])
		}
	}
	rest := changes(t, s, half).Entities
	if len(rest) != len(after)-len(before) {
		t.Errorf("who had read %d rows gets %d more, want %d", len(before), len(rest), len(after)-len(before))
	}
}
