package follow_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/configmap"
	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/follow"
	"github.com/changeover-dev/changeover/render/bridge"
	"github.com/changeover-dev/changeover/test/child"
)

// place is where a config is kept, from the side of its writer.
type place struct {
	source follow.Source
	put    func(src []byte)
	remove func()
	spoil  func() // from now on it cannot be read
	mend   func() // what was there before it was spoilt is there again
	says   string // while it is spoilt
}

// places are one of each kind of source.
func places(t *testing.T) map[string]place {
	return map[string]place{"file": inFile(t), "ConfigMap": inConfigMap(t)}
}

func inFile(t *testing.T) place {
	path := filepath.Join(t.TempDir(), "bridge.json")
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	return place{
		source: follow.File{Path: path, Reread: time.Hour, Log: slog.New(slog.DiscardHandler)},
		put:    func(src []byte) { replace(t, path, src) },
		remove: func() { do(os.Remove(path)) },
		spoil:  func() { do(os.Rename(path, path+".aside")); do(os.Mkdir(path, 0o755)) },
		mend:   func() { do(os.Remove(path)); do(os.Rename(path+".aside", path)) },
		says:   "is no regular file",
	}
}

func inConfigMap(t *testing.T) place {
	a := newAPI(t)
	source, err := configmap.New(&rest.Config{Host: "http://" + a.addr}, "edge", "so")
	if err != nil {
		t.Fatal(err)
	}
	return place{
		source: source,
		put:    func(src []byte) { a.set(map[string]string{bridge.ConfigMapKey: string(src)}) },
		remove: func() { a.set(nil) },
		spoil:  a.stop,
		mend:   a.start,
		says:   "the API server cannot be reached",
	}
}

// api is as much of an API server as a source needs: one ConfigMap, edge/so,
// that can be listed and watched by its name.
type api struct {
	t      *testing.T
	addr   string
	server *httptest.Server

	mu      sync.Mutex
	changed *sync.Cond
	closed  bool
	version int
	data    map[string]string // nil: the object does not exist
	past    []string          // an event for each version
}

func newAPI(t *testing.T) *api {
	a := &api{t: t, addr: child.FreeAddr(t)}
	a.changed = sync.NewCond(&a.mu)
	a.start()
	t.Cleanup(a.stop)
	return a
}

func (a *api) start() {
	l, err := net.Listen("tcp", a.addr)
	if err != nil {
		a.t.Fatal(err)
	}
	a.ends(false)
	a.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: a}}
	a.server.Start()
}

// stop drops every connection, and refuses those to come.
func (a *api) stop() {
	a.ends(true)
	a.server.Close()
}

func (a *api) ends(closed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = closed
	a.changed.Broadcast()
}

func (a *api) object() map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": a.data,
		"metadata": map[string]any{"namespace": "edge", "name": "so", "resourceVersion": strconv.Itoa(a.version)}}
}

func (a *api) set(data map[string]string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kind := "MODIFIED"
	switch {
	case data == nil:
		kind, data = "DELETED", a.data
	case a.data == nil:
		kind = "ADDED"
	}
	a.data = data
	a.version++
	event, err := json.Marshal(map[string]any{"type": kind, "object": a.object()})
	if err != nil {
		a.t.Error(err)
	}
	if kind == "DELETED" {
		a.data = nil
	}
	a.past = append(a.past, string(event))
	a.changed.Broadcast()
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.URL.Path != "/api/v1/namespaces/edge/configmaps" || r.URL.Query().Get("fieldSelector") != "metadata.name=so" {
		a.t.Errorf("it asks for %s: an account with the right to one ConfigMap may not", r.URL)
	}
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Query().Get("watch") == "" {
		items := []any{}
		if a.data != nil {
			items = append(items, a.object())
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "v1", "kind": "ConfigMapList", "items": items,
			"metadata": map[string]any{"resourceVersion": strconv.Itoa(a.version)}})
		return
	}
	at, err := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if err != nil {
		a.t.Errorf("it watches from version %q", r.URL.Query().Get("resourceVersion"))
	}
	gone := false
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-r.Context().Done():
			a.mu.Lock()
			defer a.mu.Unlock()
			gone = true
			a.changed.Broadcast()
		case <-stop:
		}
	}()
	w.(http.Flusher).Flush()
	for !gone && !a.closed {
		for ; at < a.version; at++ {
			_, _ = w.Write([]byte(a.past[at] + "\n"))
		}
		w.(http.Flusher).Flush()
		a.changed.Wait()
	}
}

// TestEverySourceIsFollowed is what each kind of source must do.
func TestEverySourceIsFollowed(t *testing.T) {
	for kind, p := range places(t) {
		t.Run(kind, func(t *testing.T) {
			f := newFixtureOf(t, p.source, "")
			one, two, three := config(t, 1), config(t, 2), config(t, 3)
			serves := func(c bridge.Config) func(follow.Status) bool {
				return func(s follow.Status) bool { return s == follow.Status{Hash: c.Hash} }
			}
			if _, err := p.source.Read(t.Context()); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("nothing is there, and the error is %v", err)
			}
			f.Read(t.Context())
			f.reloads(0, 0, 0) // it waits
			f.run()
			p.put(encode(t, one))
			f.awaits("the first config", serves(one))
			p.put(encode(t, two))
			f.awaits("the next config", serves(two))

			bad := []byte(`{"version": 1}`)
			p.put(bad)
			f.awaits("what is refused", func(s follow.Status) bool {
				return s.Hash == two.Hash && s.Rejected == bridge.Digest(bad) && strings.Contains(s.Error, "want a namespace and a name")
			})
			large := append(encode(t, one), bytes.Repeat([]byte(" "), bridge.MaxBytes)...)
			p.put(large)
			f.awaits("what is too large", func(s follow.Status) bool {
				return s.Hash == two.Hash && s.Rejected != "" && strings.Contains(s.Error, "want at most")
			})
			p.put(encode(t, two))
			f.awaits("the good one again", serves(two))
			f.reloads(2, 0, 2)

			p.remove()
			f.awaits("that it is gone", func(s follow.Status) bool {
				return s.Hash == two.Hash && s.Rejected == "" && strings.Contains(s.Error, "does not exist")
			})
			p.put(encode(t, two))
			f.awaits("that it is back", serves(two))

			p.spoil()
			f.awaits("that it cannot be read", func(s follow.Status) bool {
				return s.Hash == two.Hash && s.Rejected == "" && strings.Contains(s.Error, p.says)
			})
			p.mend()
			f.awaits("that it can be read again", serves(two))
			p.put(encode(t, three))
			f.awaits("a change after that", serves(three))
			f.mu.Lock()
			defer f.mu.Unlock()
			if !slices.Equal(f.served, []string{one.Hash, two.Hash, three.Hash}) {
				t.Errorf("served %v, want each config once", f.served)
			}
		})
	}
}

func TestABridgeStartsFromItsCache(t *testing.T) {
	for kind, p := range places(t) {
		t.Run(kind, func(t *testing.T) {
			cache := follow.Cache(filepath.Join(t.TempDir(), "cache.json"))
			one, two := config(t, 1), config(t, 2)
			p.put(encode(t, one))
			newFixtureOf(t, p.source, cache).Read(t.Context())
			p.put([]byte("{}")) // refused, so that it is not kept
			refused := newFixtureOf(t, p.source, cache)
			refused.Read(t.Context())
			if s := refused.Status(); s.Hash != one.Hash || s.Rejected != bridge.Digest([]byte("{}")) {
				t.Errorf("status %+v, want the cached hash %s and what was refused", s, one.Hash)
			}
			p.spoil()
			f := newFixtureOf(t, p.source, cache)
			f.Read(t.Context())
			if s := f.Status(); s.Hash != one.Hash || !strings.Contains(s.Error, p.says) {
				t.Errorf("status %+v, want the cached hash %s and why it is from there", s, one.Hash)
			}
			none := newFixtureOf(t, p.source, "")
			none.Read(t.Context())
			if s := none.Status(); s.Hash != "" || !strings.Contains(s.Error, p.says) {
				t.Errorf("without a cache: status %+v", s)
			}
			f.run()
			p.mend()
			p.put(encode(t, two))
			f.awaits("the source instead of the cache", func(s follow.Status) bool { return s == follow.Status{Hash: two.Hash} })
			kept, err := os.ReadFile(string(cache))
			if err != nil || !bytes.Equal(kept, encode(t, two)) {
				t.Errorf("the cache is not the last good config (%v):\n%s", err, kept)
			}
		})
	}
}

func TestADamagedCacheIsNoConfig(t *testing.T) {
	dir := t.TempDir()
	for what, spoil := range map[string]func(path string) error{
		"is no config": func(path string) error { return os.WriteFile(path, []byte("{"), 0o600) },
		"is a folder":  func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		path := filepath.Join(dir, what)
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		p := inFile(t)
		f := newFixtureOf(t, p.source, follow.Cache(path))
		f.Read(t.Context())
		if s := f.Status(); s.Hash != "" || !strings.Contains(s.Error, "does not exist") {
			t.Errorf("a cache that %s: status %+v", what, s)
		}
		// What cannot be cached is served all the same.
		c := config(t, 1)
		p.put(encode(t, c))
		f.Read(t.Context())
		if s := f.Status(); s != (follow.Status{Hash: c.Hash}) {
			t.Errorf("a cache that %s: status %+v", what, s)
		}
	}
}

// A ConfigMap without the key is as one that is not there.
func TestAConfigMapWithoutTheKeyIsWaitedFor(t *testing.T) {
	a := newAPI(t)
	source, err := configmap.New(&rest.Config{Host: "http://" + a.addr}, "edge", "so")
	if err != nil {
		t.Fatal(err)
	}
	a.set(map[string]string{"other": "x"})
	if _, err := source.Read(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), `ConfigMap "edge/so" has no key "bridge.json"`) {
		t.Errorf("error %v", err)
	}
}
