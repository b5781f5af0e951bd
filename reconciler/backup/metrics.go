package backup

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of backups and restores, by plan.
type metrics struct {
	objects, bytes, made *prometheus.GaugeVec
	seconds              *prometheus.HistogramVec
	failures             *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "changeover_backup_" + name, Help: help}, []string{"plan"})
	}
	m := &metrics{
		objects: gauge("objects", "Objects in the newest backup that this daemon made or found."),
		bytes:   gauge("bytes", "Bytes of the newest backup that this daemon made or found."),
		made:    gauge("timestamp_seconds", "When the newest backup that this daemon made or found was begun."),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "changeover_backup_duration_seconds", Help: "Time to make, read back and publish a backup, or to restore one.",
			Buckets: prometheus.ExponentialBuckets(0.1, 2.5, 10),
		}, []string{"plan", "operation"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "changeover_backup_failures_total", Help: "Backups and restores that failed; they are tried again.",
		}, []string{"plan", "operation"}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.objects, m.bytes, m.made, m.seconds, m.failures} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of backups: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) newest(b Manifest) {
	key := b.Plan.String()
	m.objects.WithLabelValues(key).Set(float64(b.Objects))
	m.bytes.WithLabelValues(key).Set(float64(b.Bytes))
	m.made.WithLabelValues(key).Set(float64(b.Begun.UnixMilli()) / 1000)
}
