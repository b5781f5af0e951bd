package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/ownership"
	"github.com/changeover-dev/changeover/test/stack"
)

// migration is a hand-over under way, with clients that write.
type migration struct {
	t              *testing.T
	s              *stack.Stack
	legacy, modern *orchestrator
	owners         ownership.Store
	table          string // its URL
	ids            []string

	mu    sync.Mutex
	acked map[string][]string // by id: writes whose clients were told of success
	// deleting are the ids that somebody has begun to delete, deleted those whose
	// clients were told of success. deletable is how many may be.
	deleting, deleted map[string]bool
	deletable         atomic.Int64

	refused atomic.Int64
	longest atomic.Int64 // for which an id was refused, in ns
	failed  atomic.Int64
}

// clients write, read and delete until the returned function is called.
func (m *migration) clients() (stop func()) {
	var all sync.WaitGroup
	done := make(chan struct{})
	for c := range 4 {
		all.Go(func() {
			blocked := map[string]time.Time{}
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				id := m.ids[rand.N(len(m.ids))]
				switch {
				case rand.N(50) == 0 && m.mayDelete(id):
					m.remove(id)
				case !m.isGoing(id):
					m.write(id, fmt.Sprintf("c%d-%d", c, i), blocked)
				}
			}
		})
	}
	return func() { close(done); all.Wait() }
}

func (m *migration) write(id, token string, blocked map[string]time.Time) {
	req, err := http.NewRequest("PUT", m.s.URL+"/deployments/"+id, strings.NewReader(token))
	if err != nil {
		m.t.Error(err)
		return
	}
	sent := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		m.failed.Add(1)
		return
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		delete(blocked, id)
		m.mu.Lock()
		m.acked[id] = append(m.acked[id], token)
		m.mu.Unlock()
	case http.StatusServiceUnavailable:
		m.refused.Add(1)
		if since, ok := blocked[id]; ok {
			m.longest.Store(max(m.longest.Load(), int64(sent.Sub(since))))
		} else {
			blocked[id] = sent
		}
		m.write(id, token+"'", blocked) // a client that insists
	case http.StatusNotFound:
		if !m.isGoing(id) {
			m.failed.Add(1)
		}
	default:
		m.failed.Add(1)
	}
}

// mayDelete begins the deletion of an id, where one more may be deleted.
func (m *migration) mayDelete(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deleting[id] || int64(len(m.deleting)) >= m.deletable.Load() {
		return false
	}
	m.deleting[id] = true
	return true
}

// remove deletes an entity, as a client that insists.
func (m *migration) remove(id string) {
	for {
		req, err := http.NewRequest("DELETE", m.s.URL+"/deployments/"+id, nil)
		if err != nil {
			m.t.Error(err)
			return
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			m.failed.Add(1)
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		switch res.StatusCode {
		case http.StatusOK:
			m.mu.Lock()
			m.deleted[id] = true
			m.mu.Unlock()
			return
		case http.StatusServiceUnavailable:
			m.refused.Add(1)
		default:
			m.t.Errorf("the deletion of %s is answered %d", id, res.StatusCode)
			return
		}
	}
}

func (m *migration) isGoing(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.deleting[id]
}

// gone is how many were deleted.
func (m *migration) gone() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.deleted)
}

// living are the ids of a list that nobody has begun to delete.
func (m *migration) living(ids []string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return m.deleting[id] })
}

func (m *migration) await(what string, ok func() bool) {
	m.t.Helper()
	m.s.Await(what, 3*time.Minute, func(reconciler.Status) bool { return ok() })
}

// settled checks that the owner has every write, once, and the other side took none
// of them too; and that what was deleted has not come back.
func (m *migration) settled() {
	m.t.Helper()
	modern := m.owned()
	for id, acked := range m.acked {
		owner := m.legacy
		if slices.Contains(modern, id) {
			owner = m.modern
		}
		have := map[string]int{}
		switch d := owner.all[id]; {
		case m.deleted[id] && d != nil:
			m.t.Errorf("%s was deleted, and its owner has it", id)
		case !m.deleted[id] && d == nil:
			m.t.Errorf("%s is lost: its owner does not have it", id)
			continue
		case d != nil:
			for _, w := range d.Writes {
				have[w]++
			}
		}
		for _, w := range acked {
			if !m.deleted[id] && have[w] != 1 || m.legacy.applied[w]+m.modern.applied[w] != 1 {
				m.t.Errorf("%s: the write %s is %d times with its owner, applied %d times by legacy and %d by modern", id, w, have[w], m.legacy.applied[w], m.modern.applied[w])
			}
		}
	}
}
