package backends

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Backend is one running order service. Its methods may be called from several
// goroutines.
type Backend struct {
	addr     string
	http     *http.Server
	requests *prometheus.CounterVec

	every  atomic.Int64 // fail every n-th request; 0: none
	served atomic.Int64
	faults atomic.Int64
}

// Start serves orders and /metrics on a free loopback port. The side is the
// label of its metrics and stands in its answers. Close ends it, not ctx.
func Start(ctx context.Context, side string) (*Backend, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the %s backend: %w", side, err)
	}
	b := &Backend{
		addr: l.Addr().String(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name:        "orders_requests_total",
			Help:        "Requests by method and status code.",
			ConstLabels: prometheus.Labels{"side": side},
		}, []string{"method", "code"}),
	}
	// The series of good answers exist from the start, so that rates see the
	// very first request. Those of errors do not: hence `or vector(0)` in the
	// plan's query.
	b.requests.WithLabelValues(http.MethodGet, "200")
	b.requests.WithLabelValues(http.MethodPost, "201")
	reg := prometheus.NewRegistry()
	reg.MustRegister(b.requests)
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /orders", b.answer(side, http.StatusOK))
	mux.HandleFunc("POST /orders", b.answer(side, http.StatusCreated))
	b.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := b.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("serve the %s backend: %v", side, err))
		}
	}()
	return b, nil
}

// Addr is host:port.
func (b *Backend) Addr() string { return b.addr }

// Break makes every n-th request fail with 500; 0 heals.
func (b *Backend) Break(n int) { b.every.Store(int64(n)) }

// Faults is how many requests it has failed on purpose.
func (b *Backend) Faults() int64 { return b.faults.Load() }

// Close ends serving at once.
func (b *Backend) Close() error { return b.http.Close() }

func (b *Backend) answer(side string, ok int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		code := ok
		n := b.served.Add(1)
		if every := b.every.Load(); every > 0 && n%every == 0 {
			code = http.StatusInternalServerError
			b.faults.Add(1)
		}
		b.requests.WithLabelValues(r.Method, strconv.Itoa(code)).Inc()
		// The body is read whole, so that the connection can be used again.
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprintf(w, "{\"orders\": %q, \"status\": %d}\n", side, code)
	}
}
