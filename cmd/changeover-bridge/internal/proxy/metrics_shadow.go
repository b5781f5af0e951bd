package proxy

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// shadowCollector tells metrics from what comparing answers has found.
type shadowCollector struct {
	h                              *Handler
	comparisons, eligible, pending *prometheus.Desc
}

// ShadowMetrics are of the comparisons of the config that is served.
func (h *Handler) ShadowMetrics() prometheus.Collector {
	return &shadowCollector{
		h: h,
		comparisons: prometheus.NewDesc("changeover_bridge_shadow_comparisons_total",
			"Comparisons of modern's answers with legacy's, by index of the rule and by verdict: matched, mismatched, ignored, errored, not_comparable, dropped.",
			[]string{"plan", "route", "verdict"}, nil),
		eligible: prometheus.NewDesc("changeover_bridge_shadow_eligible_requests_total",
			"Requests that a rule could compare, by index of the rule; those that were not drawn are estimated.", []string{"plan", "route"}, nil),
		pending: prometheus.NewDesc("changeover_bridge_shadow_pending_comparisons",
			"Comparisons that differ where the baseline cannot tell yet whether it is noise, by index of the rule.", []string{"plan", "route"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *shadowCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.comparisons
	out <- c.eligible
	out <- c.pending
}

// Collect implements prometheus.Collector.
func (c *shadowCollector) Collect(out chan<- prometheus.Metric) {
	s := c.h.serving.Load()
	if s == nil || s.shadows == nil {
		return
	}
	for i, of := range s.shadows.byRule {
		if of == nil {
			continue
		}
		t, name, route := of.Total(), s.config.Plan.Name, strconv.Itoa(i)
		for verdict, n := range map[string]int64{
			"matched": t.Matched, "mismatched": t.Mismatched, "ignored": t.Ignored, "errored": t.Errored, "not_comparable": t.NotComparable, "dropped": t.Dropped,
		} {
			out <- prometheus.MustNewConstMetric(c.comparisons, prometheus.CounterValue, float64(n), name, route, verdict)
		}
		out <- prometheus.MustNewConstMetric(c.eligible, prometheus.CounterValue, float64(t.Eligible), name, route)
		out <- prometheus.MustNewConstMetric(c.pending, prometheus.GaugeValue, float64(t.Pending), name, route)
	}
}
