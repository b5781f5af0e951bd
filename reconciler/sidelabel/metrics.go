package sidelabel

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
)

type metrics struct {
	objects  *prometheus.GaugeVec
	changes  *prometheus.CounterVec
	failures *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		objects: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "changeover_labelled_entities", Help: "Objects whose owner is a label, by how they stand: legacy, modern, validation, nobody, inFlight, queued, failed, mismatched.",
		}, []string{"plan", "state"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "changeover_labelled_entities_changes_total", Help: "Labels that were written, by kind: birth or flip.",
		}, []string{"plan", "kind", "to"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "changeover_labelled_entities_failures_total", Help: "Labels that could not be written.",
		}, []string{"plan"}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.objects, m.changes, m.failures} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of labelled entities: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) survey(key plan.Key, s Survey) {
	for state, n := range map[string]int{
		"legacy": s.Legacy - s.Validation, "modern": s.Modern, "validation": s.Validation, "nobody": s.Nobody, "inFlight": s.InFlight,
		"queued": len(s.Queued), "failed": len(s.Failed), "mismatched": s.Mismatched,
	} {
		m.objects.WithLabelValues(key.String(), state).Set(float64(n))
	}
}

func (m *metrics) changed(key plan.Key, c Change) {
	kind := "birth"
	if c.Flip {
		kind = "flip"
	}
	m.changes.WithLabelValues(key.String(), kind, string(c.To.Side)).Inc()
}
