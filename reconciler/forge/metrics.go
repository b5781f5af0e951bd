package forge

import "github.com/prometheus/client_golang/prometheus"

// Observer registers the count of requests to a forge and returns what counts
// them, for Options.Observe. It may be called from several goroutines.
func Observer(reg prometheus.Registerer, kind Kind) (func(call, code string), error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "changeover_forge_requests_total", Help: "Requests to the forge's API, by call and by the answer's code; error: no answer came.",
	}, []string{"forge", "call", "code"})
	if err := reg.Register(requests); err != nil {
		return nil, err
	}
	return func(call, code string) { requests.WithLabelValues(string(kind), call, code).Inc() }, nil
}
