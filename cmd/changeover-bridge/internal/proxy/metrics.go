package proxy

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// none is the side of what the bridge answers by a rule of its own.
const none plan.Side = "none"

// Why a request got no answer from its backend.
const (
	reasonConnect  = "connect"  // no connection
	reasonTimeout  = "timeout"  // no connection or no answer in time
	reasonProtocol = "protocol" // the connection broke, or no HTTP came back
	reasonCanceled = "canceled" // the client left first
	reasonClient   = "client"   // the client's body could not be read
	reasonLimit    = "limit"    // too many requests in flight
	// reasonTranslate: the request or its answer could not be translated.
	reasonTranslate = "translation"
	reasonOwner     = "owner" // the birth of an entity could not be recorded
)

// Metrics of the traffic.
type Metrics struct {
	requests     *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	inFlight     *prometheus.GaugeVec
	circuitOpen  *prometheus.GaugeVec
	failures     *prometheus.CounterVec
	aborted      *prometheus.CounterVec
	unconfigured prometheus.Counter
	copies       *prometheus.CounterVec
	copySeconds  *prometheus.HistogramVec
	lookups      *prometheus.CounterVec
	probes       *prometheus.CounterVec
}

// seconds are the buckets of durations.
var seconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "changeover_bridge_requests_total",
			Help: "Requests by plan, index of the rule, side and status code; 499 is a client that left before the answer.",
		}, []string{"plan", "route", "side", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "changeover_bridge_request_duration_seconds",
			Help:    "Time from a request's headers to the end of its answer; for an upgraded connection to the upgrade.",
			Buckets: seconds,
		}, []string{"plan", "route", "side"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "changeover_bridge_in_flight_requests",
			Help: "Requests and upgraded connections under way, by side.",
		}, []string{"side"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "changeover_bridge_upstream_failures_total",
			Help: "Requests that got no answer from their backend, by side and reason.",
		}, []string{"plan", "side", "reason"}),
		aborted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "changeover_bridge_aborted_responses_total",
			Help: "Answers that broke off after their headers were sent, by side and by who left.",
		}, []string{"plan", "side", "by"}),
		unconfigured: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "changeover_bridge_unconfigured_requests_total",
			Help: "Requests answered with 503 because there is no config yet.",
		}),
		copies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "changeover_bridge_shadow_requests_total",
			Help: "Copies of requests for modern, by index of the rule and by what came of them: answered, failed, dropped, too_large, incomplete, untranslated.",
		}, []string{"plan", "route", "outcome"}),
		copySeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "changeover_bridge_shadow_duration_seconds", Help: "Time that modern took to answer copies of requests.", Buckets: seconds,
		}, []string{"plan", "route"}),
	}
	m.lookups = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "changeover_bridge_owner_lookups_total",
		Help: "Requests that name an entity, by its owner: legacy, modern, unknown (the routes decided), not_ready and blocked (answered with 503), unreadable (its body cannot be read for the id; answered with 4xx).",
	}, []string{"owner"})
	m.probes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "changeover_bridge_owner_probes_total",
		Help: "Questions to modern whether it has an entity that nobody is known to own, by what came of them: found, absent, failed.",
	}, []string{"outcome"})
	m.circuitOpen = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "changeover_bridge_circuit_open",
		Help: "1 while a side has given no answer to five requests in a row or more. No traffic is moved by that.",
	}, []string{"plan", "side"})
	reg.MustRegister(m.probes, m.circuitOpen, m.lookups, m.requests, m.duration, m.inFlight, m.failures, m.aborted, m.unconfigured, m.copies, m.copySeconds)
	return m
}

// meter counts for one rule and one side, with the labels resolved.
type meter struct {
	requests *prometheus.CounterVec
	duration prometheus.Observer
}

func (m meter) observe(code int, took time.Duration) {
	m.requests.WithLabelValues(strconv.Itoa(code)).Inc()
	m.duration.Observe(took.Seconds())
}

// mirrorMeter counts the copies of one rule's requests.
type mirrorMeter struct {
	copies   *prometheus.CounterVec
	duration prometheus.Observer
}

func (m mirrorMeter) count(outcome string) { m.copies.WithLabelValues(outcome).Inc() }

// mirrors are those of the rules that copy requests.
func (m *Metrics) mirrors(c bridge.Config) []mirrorMeter {
	out := make([]mirrorMeter, len(c.Rules))
	for i, r := range c.Rules {
		if r.Mirror == nil {
			continue
		}
		l := prometheus.Labels{"plan": c.Plan.Name, "route": strconv.Itoa(i)}
		out[i] = mirrorMeter{copies: m.copies.MustCurryWith(l), duration: m.copySeconds.With(l)}
		for _, outcome := range []string{mirrorAnswered, mirrorFailed, mirrorDropped, mirrorTooLarge, mirrorPartial, mirrorUntranslated} {
			out[i].copies.WithLabelValues(outcome)
		}
	}
	return out
}

// sideMeter counts for one side of a plan.
type sideMeter struct {
	inFlight prometheus.Gauge
	// aborted by the backend and by the client.
	aborted, left prometheus.Counter
	failures      *prometheus.CounterVec
	circuitOpen   prometheus.Gauge
}

func (m *Metrics) meters(c bridge.Config) []map[plan.Side]meter {
	out := make([]map[plan.Side]meter, len(c.Rules))
	for i, r := range c.Rules {
		out[i] = map[plan.Side]meter{}
		for _, side := range sidesOf(r, c.Entities != nil) {
			l := prometheus.Labels{"plan": c.Plan.Name, "route": strconv.Itoa(i), "side": string(side)}
			out[i][side] = meter{requests: m.requests.MustCurryWith(l), duration: m.duration.With(l)}
		}
	}
	return out
}

func (m *Metrics) side(c bridge.Config, side plan.Side) sideMeter {
	return sideMeter{
		inFlight: m.inFlight.WithLabelValues(string(side)),
		aborted:  m.aborted.WithLabelValues(c.Plan.Name, string(side), "backend"),
		left:     m.aborted.WithLabelValues(c.Plan.Name, string(side), "client"),
		failures: m.failures.MustCurryWith(prometheus.Labels{"plan": c.Plan.Name, "side": string(side)}),

		circuitOpen: m.circuitOpen.WithLabelValues(c.Plan.Name, string(side)),
	}
}

// sidesOf are those that may answer a rule's requests. With entities, the owner
// may be either.
func sidesOf(r bridge.Rule, entities bool) []plan.Side {
	switch {
	case entities && r.Respond != nil:
		return []plan.Side{plan.Legacy, plan.Modern, none}
	case entities:
		return []plan.Side{plan.Legacy, plan.Modern}
	}
	switch r.To {
	case plan.ToSplit, plan.ToOwner:
		return []plan.Side{plan.Legacy, plan.Modern}
	case plan.ToLegacy, plan.ToModern:
		return []plan.Side{plan.Side(r.To)}
	}
	return []plan.Side{none}
}
