package webhook

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// Bounds of a Handler. A host that is told 413 or 429 shows it to its people,
// and the branch is read at the next interval all the same.
const (
	// MaxBody of a delivery, in bytes.
	MaxBody = 1 << 20

	perSecond  = 50 // deliveries
	burst      = 100
	concurrent = 8 // bodies read at the same time
	bodyTime   = 10 * time.Second
)

// Options of a Handler. All are required.
type Options struct {
	// Secret is asked at each delivery, so that another one counts at once.
	Secret func() ([]byte, error)
	// Branches that are watched: a push to another one wakes nothing.
	Branches []string
	// Wake is told which of them was pushed to, or nothing where the delivery
	// does not say. It is called from several goroutines and must not block.
	Wake       func(branch string)
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// handler is safe for use by several goroutines.
type handler struct {
	o          Options
	limit      *rate.Limiter
	bodies     chan struct{}
	deliveries *prometheus.CounterVec
}

// New serves POST /hook/github, /hook/gitlab, /hook/gitea and /hook/generic. It
// answers 202 where the delivery shows the secret, whether or not it wakes; 401
// where it does not; 413 for more than MaxBody; 429 for too many at a time, of
// which the ones with a wrong secret count as well; 503 where the secret cannot
// be read. The error is of the metrics' registration.
func New(o Options) (http.Handler, error) {
	h := &handler{
		o: o, limit: rate.NewLimiter(perSecond, burst), bodies: make(chan struct{}, concurrent),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "changeover_webhook_deliveries_total", Help: "Deliveries to the webhook, by Git host and by what came of them.",
		}, []string{"kind", "outcome"}),
	}
	if err := o.Registerer.Register(h.deliveries); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for name, k := range kinds {
		for _, outcome := range []string{"woke", "ignored", "refused", "limited", "failed"} {
			h.deliveries.WithLabelValues(name, outcome)
		}
		mux.HandleFunc("POST /hook/"+name, func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, name, k) })
	}
	return mux, nil
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request, name string, k kind) {
	answer := func(outcome string, code int, text string) {
		h.deliveries.WithLabelValues(name, outcome).Inc()
		if code == http.StatusTooManyRequests || code >= 500 {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, text, code)
	}
	if !h.limit.Allow() {
		answer("limited", http.StatusTooManyRequests, "too many deliveries")
		return
	}
	select {
	case h.bodies <- struct{}{}:
		defer func() { <-h.bodies }()
	default:
		answer("limited", http.StatusTooManyRequests, "too many deliveries at the same time")
		return
	}
	body, err := read(w, r)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		answer("refused", http.StatusRequestEntityTooLarge, "the delivery has more than 1 MiB")
		return
	case err != nil:
		answer("refused", http.StatusBadRequest, "the delivery ended early")
		return
	}
	secret, err := h.o.Secret()
	if err != nil {
		h.o.Log.Error("the webhook's secret cannot be read: deliveries are refused", "err", err.Error())
		answer("failed", http.StatusServiceUnavailable, "the secret cannot be read")
		return
	}
	if !k.shown(r.Header, secret, body) {
		answer("refused", http.StatusUnauthorized, "the delivery does not show the secret")
		return
	}
	event := k.event(r.Header)
	branch, told := branchOf(body)
	if event != "" && !slices.Contains(k.wakes, event) || told && !slices.Contains(h.o.Branches, branch) {
		answer("ignored", http.StatusAccepted, "nothing to do for this")
		return
	}
	h.o.Log.Debug("woken by a webhook", "kind", name, "event", event)
	h.o.Wake(branch)
	answer("woke", http.StatusAccepted, "the branch is read")
}

// read takes the body, of which a length that is too large is refused before the
// first byte is read.
func read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > MaxBody {
		return nil, &http.MaxBytesError{Limit: MaxBody}
	}
	// Without a deadline the server's own counts.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	return io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
}
