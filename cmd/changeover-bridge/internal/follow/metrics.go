package follow

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/render/bridge"
)

// Results of a reading that found something new.
const (
	resultApplied  = "applied"  // other routes are served
	resultMarked   = "marked"   // the mark alone is new
	resultRejected = "rejected" // what was served before goes on
)

// Metrics of the config.
type Metrics struct {
	reloads  *prometheus.CounterVec
	info     *prometheus.GaugeVec
	rejected prometheus.Gauge
	applied  prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "changeover_bridge_config_reloads_total",
			Help: "Changes of the config by result: applied, marked (no other routes), rejected.",
		}, []string{"result"}),
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "changeover_bridge_config_info",
			Help: "1 for the config that is served.",
		}, []string{"plan", "stop", "hash"}),
		rejected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "changeover_bridge_config_rejected",
			Help: "1 while the config cannot be read, is missing or is refused.",
		}),
		applied: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "changeover_bridge_config_applied_timestamp_seconds",
			Help: "When the routes last changed.",
		}),
	}
	for _, result := range []string{resultApplied, resultMarked, resultRejected} {
		m.reloads.WithLabelValues(result)
	}
	reg.MustRegister(m.reloads, m.info, m.rejected, m.applied)
	return m
}

func (m *Metrics) serving(c bridge.Config) {
	m.info.Reset()
	m.info.WithLabelValues(c.Plan.Name, c.Stop.String(), c.Hash).Set(1)
}
