package stack

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Backend is one side: it answers with its name and the request's body, and
// exposes requests_total{side,code} on /metrics.
type Backend struct {
	URL  string
	side string
	// errors is the share of requests that are answered with 500, in percent.
	errors   atomic.Int64
	requests *prometheus.CounterVec
}

func newBackend(t testing.TB, side string) *Backend {
	b := &Backend{side: side, requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "requests_total", Help: "Requests by side and code.",
	}, []string{"side", "code"})}
	reg := prometheus.NewRegistry()
	reg.MustRegister(b.requests)
	for _, code := range []string{"200", "500"} {
		b.requests.WithLabelValues(side, code) // so that rates exist from the start
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("/", b.serve)
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	b.URL = srv.URL
	return b
}

func (b *Backend) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	code := http.StatusOK
	if rand.Int64N(100) < b.errors.Load() {
		code = http.StatusInternalServerError
	}
	b.requests.WithLabelValues(b.side, strconv.Itoa(code)).Inc()
	w.WriteHeader(code)
	fmt.Fprintf(w, "%s:%s", b.side, body)
}

// Break makes a share of the requests fail, in percent; 0 heals it.
func (b *Backend) Break(percent int) { b.errors.Store(int64(percent)) }
