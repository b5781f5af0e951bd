package transform

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// metrics of the transforms.
type metrics struct {
	sources, done, failed, orphaned *prometheus.GaugeVec
	objects, failures               *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	labels := []string{"plan", "transform"}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "changeover_transform_" + name, Help: help}, labels)
	}
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "changeover_transform_" + name, Help: help}, append(labels[:2:2], more...))
	}
	m := &metrics{
		sources:  gauge("sources", "Sources of a transform."),
		done:     gauge("done", "Sources that are transformed."),
		failed:   gauge("failed", "Sources that fail now and are tried again."),
		orphaned: gauge("orphaned", "Targets that no source gives any more, when last looked."),
		objects:  counter("objects_total", "Objects that were written.", "target"),
		failures: counter("failures_total", "Attempts to transform a source that failed."),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.sources, m.done, m.failed, m.orphaned, m.objects, m.failures} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) progress(key plan.Key, transform string, total, done, failed int) {
	m.sources.WithLabelValues(key.String(), transform).Set(float64(total))
	m.done.WithLabelValues(key.String(), transform).Set(float64(done))
	m.failed.WithLabelValues(key.String(), transform).Set(float64(failed))
}

// progressOf an Undo.
func progressOf(j *job, r *Report) reconciler.Progress {
	done := 0
	for _, rec := range j.s.records {
		if rec.Read == "" {
			done++
		}
	}
	gone := j.total - len(j.s.records)
	return reconciler.Progress{Total: j.before.Total + j.total, Finished: j.before.Finished + done + gone,
		Message: fmt.Sprintf("transform %s: %d objects removed, %d kept", j.t.Plan.Name, r.Removed, r.Kept)}
}
