package entities

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
)

// Metrics of the entities of all plans. Nil ones count nothing.
type Metrics struct {
	entities *prometheus.GaugeVec
	failed   *prometheus.CounterVec
}

// NewMetrics registers the metrics, or takes those that are registered already.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		entities: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "changeover_entities",
			Help: "Entities of a plan at the last comparison of the inventories, by what they are: legacy and modern (their owner), inFlight, orphaned, unknown, doubleClaimed, mismatched. What is not known has no value.",
		}, []string{"plan", "is"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "changeover_entities_comparisons_failed_total",
			Help: "Comparisons of the inventories of a plan that gave no result.",
		}, []string{"plan"}),
	}
	m.entities, m.failed = registered(r, m.entities), registered(r, m.failed)
	return m
}

func registered[C prometheus.Collector](r prometheus.Registerer, c C) C {
	var twice prometheus.AlreadyRegisteredError
	if err := r.Register(c); errors.As(err, &twice) {
		if before, ok := twice.ExistingCollector.(C); ok {
			return before
		}
	}
	return c
}

func (m *Metrics) set(key plan.Key, e *gates.Entities, err error) {
	if m == nil {
		return
	}
	p := key.String()
	m.entities.DeletePartialMatch(prometheus.Labels{"plan": p})
	if err != nil {
		m.failed.WithLabelValues(p).Inc()
		return
	}
	for is, n := range map[string]int64{
		"legacy": e.Legacy, "modern": e.Modern, "inFlight": e.InFlight, "orphaned": e.Orphaned, "unknown": e.Unknown,
		"doubleClaimed": e.DoubleClaimed, "mismatched": e.Mismatched,
	} {
		if e.Untold[is] == "" {
			m.entities.WithLabelValues(p, is).Set(float64(n))
		}
	}
}

func (m *Metrics) forget(key plan.Key) {
	if m != nil {
		m.entities.DeletePartialMatch(prometheus.Labels{"plan": key.String()})
	}
}
