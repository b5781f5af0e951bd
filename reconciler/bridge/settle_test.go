package bridge_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/changeover-dev/changeover/reconciler/bridge"
)

// replicas are those that are ready, and those that end their requests.
type replicas struct {
	mu             sync.Mutex
	ready, leaving []string
	joins          string // becomes ready when the first was asked
}

func (r *replicas) URLs(context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready, nil
}

func (r *replicas) Leaving(context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leaving, nil
}

func (r *replicas) asked() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.joins != "" {
		r.ready, r.joins = append(r.ready, r.joins), ""
	}
}

// TestEveryReplicaHasToSettle: the ready ones, those that end their requests, and
// those that come meanwhile.
func TestEveryReplicaHasToSettle(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	r := &replicas{}
	serve := func(name string, code int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path != "/_changeover/so/settle" || q.URL.Query().Get("id") != "a b" || q.URL.Query().Get("revision") != "7" {
				t.Errorf("it is asked %s", q.URL)
			}
			mu.Lock()
			asked[name]++
			mu.Unlock()
			r.asked()
			if code != http.StatusNoContent {
				http.Error(w, "1 writes are under way", code)
				return
			}
			w.WriteHeader(code)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	g, err := bridge.New(bridge.Options{Store: bridge.File(filepath.Join(t.TempDir(), "b.json")), Replicas: r})
	if err != nil {
		t.Fatal(err)
	}
	r.ready, r.leaving, r.joins = []string{serve("ready", 204)}, []string{serve("leaving", 204)}, serve("new", 204)
	if err := g.Settle(t.Context(), planOf("so"), "a b", 7); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"ready", "leaving", "new"} {
		if asked[name] != 1 {
			t.Errorf("%s was asked %d times", name, asked[name])
		}
	}
	r.leaving = []string{serve("busy", 409)}
	if err := g.Settle(t.Context(), planOf("so"), "a b", 7); err == nil || !strings.Contains(err.Error(), "status 409: 1 writes are under way") {
		t.Errorf("one that is busy is no error: %v", err)
	}
	r.ready, r.leaving = nil, nil
	if err := g.Settle(t.Context(), planOf("so"), "a b", 7); err == nil {
		t.Error("without a bridge it settles")
	}
}
