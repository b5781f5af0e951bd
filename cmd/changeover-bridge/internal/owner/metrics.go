package owner

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	births   *prometheus.CounterVec
	duration prometheus.Histogram
	broken   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, k *Keeper) *metrics {
	m := &metrics{
		births: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "changeover_bridge_owner_births_total",
			Help: "Entities that modern created, by what became of their record: stored, spooled (the store was down), failed (the client got 503), unreadable (the answer had no id).",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "changeover_bridge_owner_birth_duration_seconds", Help: "Time to record an entity that modern created, before its client gets the answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
	}
	m.broken = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "changeover_bridge_owner_blocks_lifted_total", Help: "Hand-overs that took too long, so that this bridge let writes to the entity go on.",
	})
	for _, result := range []string{resultStored, resultSpooled, resultFailed, "unreadable"} {
		m.births.WithLabelValues(result)
	}
	gauge := func(name, help string, labels prometheus.Labels, value func(Health) float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "changeover_bridge_owner_" + name, Help: help, ConstLabels: labels},
			func() float64 { return value(k.Health()) }))
	}
	const entities = "Entities whose owner is known, by owner."
	gauge("entities", entities, prometheus.Labels{"owner": "legacy"}, func(h Health) float64 { return float64(h.Legacy) })
	gauge("entities", entities, prometheus.Labels{"owner": "modern"}, func(h Health) float64 { return float64(h.Modern) })
	gauge("loaded", "1 when the ownership table was read once since the start.", nil, func(h Health) float64 { return one(h.Loaded) })
	gauge("store_up", "1 while the ownership store can be read and written.", nil, func(h Health) float64 { return one(h.Error == "") })
	gauge("spooled_births", "Births that wait for the ownership store.", nil, func(h Health) float64 { return float64(h.Spooled) })
	gauge("revision", "Revision of the ownership table that is known.", nil, func(h Health) float64 { return float64(h.Revision) })
	reg.MustRegister(m.births, m.duration, m.broken)
	return m
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
