package reconciler

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// metrics of the loop, as design names them.
type metrics struct {
	declared, effective, stop *prometheus.GaugeVec
	position, verdict, signal *prometheus.GaugeVec
	healthy, pending, blind   *prometheus.GaugeVec
	unverified, share, astray *prometheus.GaugeVec
	flag                      *prometheus.GaugeVec
	decisions, rollbacks      *prometheus.CounterVec
	drifts, errors            *prometheus.CounterVec
	gitSeconds, applySeconds  *prometheus.HistogramVec
	workSeconds               prometheus.Histogram
	toApplied, toSafe         *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "changeover_" + name, Help: help}, append([]string{"plan"}, labels...))
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "changeover_" + name, Help: help}, append([]string{"plan"}, labels...))
	}
	hist := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "changeover_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(0.005, 2.5, 12),
		}, labels)
	}
	m := &metrics{
		declared:     gauge("declared_percent", "Percentage that Git declares."),
		effective:    gauge("effective_percent", "Percentage that the data plane was brought to."),
		stop:         gauge("stop_index", "Index of the effective stop on the itinerary, from 0; -1 for none."),
		position:     gauge("plan_position", "1 for the effective phase.", "phase"),
		verdict:      gauge("gate_verdict", "1 for the verdict of each gate of the effective stop.", "gate", "effect", "verdict"),
		signal:       gauge("signal_value", "Newest value of each signal that a gate read.", "signal"),
		healthy:      gauge("data_plane_healthy", "1 while the data plane serves what was applied."),
		pending:      gauge("revert_pending", "1 while a revert is not on the branch yet."),
		unverified:   gauge("git_unverified", "1 while the branch's head is not taken up, as it is not signed as it must be."),
		blind:        gauge("blind_seconds", "For how long at least one gate of the effective stop has not been known; 0 while all are."),
		share:        gauge("observed_percent", "Share of the requests of split routes that went to modern in the newest interval."),
		flag:         gauge("flag_percent", "Percentage of the callers who have a flag on modern where no rule decides; 0 where it is off.", "flag"),
		astray:       gauge("split_mismatch", "1 while requests are seen not to be split as declared."),
		decisions:    counter("decisions_total", "Decisions, one for each evaluation.", "verb", "reason"),
		rollbacks:    counter("rollbacks_total", "Rollbacks that were begun.", "reason"),
		drifts:       counter("drift_corrections_total", "Times that the data plane was brought back to what was applied."),
		errors:       counter("work_errors_total", "Evaluations that ended with an error."),
		gitSeconds:   hist("git_operations_seconds", "Time of a Git operation.", "operation", "result"),
		applySeconds: hist("apply_seconds", "Time to apply and observe a stop.", "plan", "target", "result"),
		workSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "changeover_work_seconds", Help: "Time of one evaluation of a plan.", Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}),
		toApplied: hist("move_seconds", "From the decision to move until it was observed in the data plane.", "plan", "verb"),
		toSafe:    hist("breach_to_safe_seconds", "From the decision to roll back until the traffic was seen back.", "plan"),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.declared, m.effective, m.stop, m.position, m.verdict, m.signal, m.healthy, m.pending, m.blind, m.unverified, m.share, m.astray, m.flag, m.decisions, m.rollbacks,
		m.drifts, m.errors, m.gitSeconds, m.applySeconds, m.workSeconds, m.toApplied, m.toSafe,
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics: %w", err)
		}
	}
	return m, nil
}

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

func (m *metrics) git(op string, d time.Duration, err error) {
	m.gitSeconds.WithLabelValues(op, result(err)).Observe(d.Seconds())
}

func (m *metrics) applied(key plan.Key, target string, d time.Duration, err error) {
	m.applySeconds.WithLabelValues(key.String(), target, result(err)).Observe(d.Seconds())
}

func (m *metrics) worked(key plan.Key, d time.Duration, err error) {
	m.workSeconds.Observe(d.Seconds())
	if err != nil {
		m.errors.WithLabelValues(key.String()).Inc()
	}
}

func (m *metrics) drift(key plan.Key) { m.drifts.WithLabelValues(key.String()).Inc() }

func (m *metrics) decided(key plan.Key, d decide.Decision) {
	m.decisions.WithLabelValues(key.String(), string(d.Verb), string(d.Reason)).Inc()
	if d.Verb == decide.Rollback && d.Reason != decide.Resuming {
		m.rollbacks.WithLabelValues(key.String(), string(d.Reason)).Inc()
	}
}

// moved observes how long a move took; breach is when a rollback was decided.
func (m *metrics) moved(key plan.Key, mv decide.Move, now, breach time.Time) {
	m.toApplied.WithLabelValues(key.String(), string(mv.Verb)).Observe(now.Sub(mv.Started).Seconds())
	if mv.Verb == decide.Rollback && !breach.IsZero() {
		m.toSafe.WithLabelValues(key.String()).Observe(now.Sub(breach).Seconds())
	}
}

func (m *metrics) status(s Status) {
	key := s.Key.String()
	m.declared.WithLabelValues(key).Set(float64(s.Declared.Percent))
	m.effective.WithLabelValues(key).Set(float64(s.Effective.Percent))
	m.stop.WithLabelValues(key).Set(float64(s.Itinerary.Index(s.Effective)))
	m.healthy.WithLabelValues(key).Set(number(s.Observed.Gateway.Healthy))
	m.pending.WithLabelValues(key).Set(number(s.Pending != nil))
	m.unverified.WithLabelValues(key).Set(number(s.Unverified))
	m.blind.WithLabelValues(key).Set(blindSeconds(s))
	m.astray.WithLabelValues(key).Set(number(s.Observed.Split != ""))
	m.share.DeleteLabelValues(key) // rather none than an old one
	if s.Split != nil && s.Split.Requests.Total() > 0 {
		m.share.WithLabelValues(key).Set(100 * float64(s.Split.Requests.Modern) / float64(s.Split.Requests.Total()))
	}
	m.flag.DeletePartialMatch(prometheus.Labels{"plan": key})
	for _, f := range s.Flags {
		m.flag.WithLabelValues(key, f.Name).Set(float64(f.Percent))
	}
	m.position.DeletePartialMatch(prometheus.Labels{"plan": key})
	if !s.Effective.IsZero() {
		m.position.WithLabelValues(key, s.Effective.Phase).Set(1)
	}
	m.verdict.DeletePartialMatch(prometheus.Labels{"plan": key})
	m.signal.DeletePartialMatch(prometheus.Labels{"plan": key})
	for _, r := range s.Gates {
		for _, v := range []gates.Verdict{gates.Pass, gates.Fail, gates.NoData, gates.Error} {
			m.verdict.WithLabelValues(key, r.Name, string(r.Effect), string(v)).Set(number(v == r.Verdict))
		}
		for name, v := range r.Values {
			m.signal.WithLabelValues(key, name).Set(v)
		}
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
