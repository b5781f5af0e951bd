package handover

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
)

// Metrics of hand-overs. A nil one counts nothing.
type Metrics struct {
	total *prometheus.CounterVec
	held  *prometheus.HistogramVec
}

// NewMetrics registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "changeover_handover_entities_total",
			Help: "Entities that were tried to be given to a side, by what came of it: moved, inFlight, absent, failed.",
		}, []string{"namespace", "plan", "to", "result"}),
		held: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "changeover_handover_blocked_seconds", Help: "How long writes to an entity were kept off.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, .8, 1, 2.5},
		}, []string{"namespace", "plan"}),
	}
	reg.MustRegister(m.total, m.held)
	return m
}

func (m *Metrics) count(key plan.Key, to plan.Side, out outcome) {
	if m != nil {
		m.total.WithLabelValues(key.Namespace, key.Name, string(to), string(out)).Inc()
	}
}

func (m *Metrics) blocked(key plan.Key, d time.Duration) {
	if m != nil {
		m.held.WithLabelValues(key.Namespace, key.Name).Observe(d.Seconds())
	}
}
