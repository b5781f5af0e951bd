package bridge_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler/bridge"
)

// pods are replicas that come and go.
type pods struct {
	mu    sync.Mutex
	urls  []string
	asked int
	next  func() // once, at the second question
}

var errNoPods = errors.New("the Service has no ready endpoint")

func (p *pods) URLs(context.Context) ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.asked == 2 && p.next != nil {
		p.next()
	}
	if len(p.urls) == 0 {
		return nil, errNoPods
	}
	return slices.Clone(p.urls), nil
}

func overPods(t *testing.T, file string, p *pods) *bridge.Gateway {
	t.Helper()
	g, err := bridge.New(bridge.Options{
		Store: bridge.File(file), Replicas: p, Timeout: 500 * time.Millisecond, Probe: 100 * time.Millisecond, Interval: 2 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestReplicasThatComeWhileOthersAreAskedAreAskedToo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bridge.json")
	one, late := newReplica(t, file, "follows"), newReplica(t, file, "stuck")
	p := &pods{urls: []string{one.URL}}
	p.next = func() { p.urls = append(p.urls, late.URL) }
	err := overPods(t, file, p).Apply(t.Context(), planOf("so"), mark(at(10)))
	if !errors.Is(err, bridge.ErrNotObserved) || !strings.Contains(err.Error(), late.URL+" does not serve the plan yet") {
		t.Errorf("error %v, want that the late one is reported", err)
	}
}

func TestAReplicaThatIsGoneIsNotWaitedForAtTheEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bridge.json")
	one, gone := newReplica(t, file, "follows"), newReplica(t, file, "hangs")
	p := &pods{urls: []string{one.URL, gone.URL}}
	p.next = func() { p.urls = p.urls[:1] }
	if err := overPods(t, file, p).Apply(t.Context(), planOf("so"), mark(at(10))); err != nil {
		t.Errorf("error %v, and the silent one is no replica any more", err)
	}
}

func TestNoReplicaAtAllIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bridge.json")
	p := new(pods)
	g := overPods(t, file, p)
	err := g.Apply(t.Context(), planOf("so"), mark(at(10)))
	if !errors.Is(err, bridge.ErrNotObserved) || !errors.Is(err, errNoPods) || !strings.Contains(err.Error(), "the config is written and stays") {
		t.Errorf("error %v", err)
	}
	s, err := g.Observe(t.Context(), planOf("so"), at(10))
	if err != nil || s.Serving || s.Mark == nil || s.Mark.Stop != at(10) || s.Hash != "" || s.Message != errNoPods.Error() {
		t.Errorf("state %+v, error %v, want the mark and that nobody serves it", s, err)
	}
	if _, err := g.Split(t.Context(), planOf("so"), at(10)); !errors.Is(err, errNoPods) {
		t.Errorf("the split of nobody: error %v", err)
	}
}

// Bridges that have just been installed are ready once they have a config.
func TestReplicasThatAreReadyByTheConfigAreWaitedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bridge.json")
	one := newReplica(t, file, "follows")
	p := new(pods)
	p.next = func() { p.urls = []string{one.URL} }
	if err := overPods(t, file, p).Apply(t.Context(), planOf("so"), mark(at(10))); err != nil {
		t.Error(err)
	}
}
