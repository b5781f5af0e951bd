package gatewaytest

import (
	"maps"
	"net/http"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Key is what requests are counted by.
type Key struct {
	// Route is NAMESPACE/NAME; empty where no route fitted.
	Route string
	// Backend is NAMESPACE/NAME:PORT of the Service, Side what it is called;
	// empty where the fixture answered before it chose one.
	Backend, Side string
	// Code of the answer. 502 is a backend that did not answer, 499 a client
	// that left, and for a mirror 0 one that was dropped or not answered.
	Code   int
	Mirror bool
}

// counts is both what tests ask and what Prometheus scrapes. Its methods may be
// called from several goroutines.
type counts struct {
	mu    sync.Mutex
	byKey map[Key]int

	requests, mirrored *prometheus.Desc
}

func newCounts() *counts {
	names := []string{"side", "code", "route"}
	return &counts{
		byKey:    map[Key]int{},
		requests: prometheus.NewDesc("requests_total", "Requests that the gateway answered.", names, nil),
		mirrored: prometheus.NewDesc("mirrored_total", "Requests that the gateway mirrored; code 0 where there was no answer.", names, nil),
	}
}

func (c *counts) add(k Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byKey[k]++
}

// expect makes series for what may come, so that rates exist from the start.
func (c *counts) expect(entries []entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		for _, code := range []int{http.StatusOK, http.StatusInternalServerError} {
			for _, b := range e.action.backends {
				c.byKey[Key{Route: e.route, Backend: b.service, Side: b.side, Code: code}] += 0
			}
			for _, m := range e.action.mirrors {
				c.byKey[Key{Route: e.route, Backend: m.service, Side: m.side, Code: code, Mirror: true}] += 0
			}
		}
	}
}

func (c *counts) all() map[Key]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.byKey)
}

// Describe is for the registry.
func (c *counts) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.requests
	ch <- c.mirrored
}

// Collect is for the registry. Backends of one side are one series.
func (c *counts) Collect(ch chan<- prometheus.Metric) {
	sums := map[Key]int{}
	for k, n := range c.all() {
		k.Backend = ""
		sums[k] += n
	}
	for k, n := range sums {
		desc := c.requests
		if k.Mirror {
			desc = c.mirrored
		}
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), k.Side, strconv.Itoa(k.Code), k.Route)
	}
}

func (c *counts) handler() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
}
