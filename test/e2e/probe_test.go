package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// probe is a scrape target whose text a test writes.
type probe struct {
	addr string
	text atomic.Value
}

func newProbe(t *testing.T) *probe {
	p := &probe{}
	p.set("probe 0\n")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, p.text.Load().(string))
	}))
	t.Cleanup(srv.Close)
	p.addr = strings.TrimPrefix(srv.URL, "http://")
	return p
}

func (p *probe) set(text string) { p.text.Store(text) }

// stale exposes a sample of this moment for ever.
func (p *probe) stale() { p.set(fmt.Sprintf("stamped 0 %d\n", time.Now().UnixMilli())) }

// middle stands between the daemon and Prometheus.
type middle struct {
	mode atomic.Value // pass, 500 or slow
}

func (m *middle) start(t *testing.T) func(string) string {
	m.mode.Store("pass")
	return func(prometheus string) string {
		u, err := url.Parse(prometheus)
		if err != nil {
			t.Fatal(err)
		}
		next := httputil.NewSingleHostReverseProxy(u)
		next.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) {
			// As a Prometheus that is gone: no answer at all.
			if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = c.Close()
			}
		}
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch m.mode.Load() {
			case "500":
				http.Error(w, "boom", http.StatusInternalServerError)
			case "slow":
				select {
				case <-time.After(30 * time.Second):
				case <-r.Context().Done():
				}
			default:
				next.ServeHTTP(w, r)
			}
		}))
		t.Cleanup(func() {
			srv.CloseClientConnections()
			srv.Close()
		})
		return srv.URL
	}
}
