package webhook

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// MaxConnections is how many may be open to the listener of a Handler: the
// daemon needs memory and descriptors for other things. The next ones wait.
const MaxConnections = 512

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
	bodies     bodies
	refusals   refusals
	deliveries *prometheus.CounterVec
}

// New serves POST /hook/github, /hook/gitlab, /hook/gitea and /hook/generic. It
// answers 202 where the delivery shows the secret, whether or not it wakes; 401
// where it does not; 413 for more than MaxBody; 400 for a body that ends early
// or does not come; 429 where bodies are too much at a time; 503 where the
// secret cannot be read. A token is looked at before the body, so that no
// flood of others keeps it out; a signature needs the body, and many small ones
// that are wrong keep none out. What is refused is logged, for each reason once
// a minute. The error is of the metrics' registration.
func New(o Options) (http.Handler, error) {
	h := &handler{
		o:        o,
		bodies:   bodies{memory: semaphore.NewWeighted(memory), unproven: rate.NewLimiter(perSecond, perSecond)},
		refusals: refusals{log: o.Log, seen: map[string]*refusal{}},
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

// answer to a delivery.
type answer struct {
	outcome string
	code    int
	text    string
}

var (
	woke     = answer{"woke", http.StatusAccepted, "the branch is read"}
	ignored  = answer{"ignored", http.StatusAccepted, "nothing to do for this"}
	unproven = answer{"refused", http.StatusUnauthorized, "the delivery does not show the secret"}
	large    = answer{"refused", http.StatusRequestEntityTooLarge, "the delivery has more than 1 MiB"}
	early    = answer{"refused", http.StatusBadRequest, "the delivery ended early"}
	limited  = answer{"limited", http.StatusTooManyRequests, "too much is delivered at the same time"}
	failed   = answer{"failed", http.StatusServiceUnavailable, "the secret cannot be read"}
)

func (h *handler) serve(w http.ResponseWriter, r *http.Request, name string, k kind) {
	// It is for what is left of a refused body too. Without a deadline the
	// server's own counts.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	a, err := h.take(w, r, k)
	h.deliveries.WithLabelValues(name, a.outcome).Inc()
	if a.code != http.StatusAccepted {
		h.refusals.note(a, err, name, r.RemoteAddr, time.Now())
	}
	if a.code == http.StatusTooManyRequests || a.code >= 500 {
		w.Header().Set("Retry-After", "1")
	}
	http.Error(w, a.text, a.code)
}

// take decides on a delivery. The error is of failed.
func (h *handler) take(w http.ResponseWriter, r *http.Request, k kind) (answer, error) {
	if r.ContentLength > MaxBody {
		return large, nil // before its first byte is read
	}
	secret, err := h.o.Secret()
	if err != nil {
		return failed, err
	}
	p := k.proof(r.Header)
	if p.sum == nil && !same(p.token, secret) {
		return unproven, nil
	}
	body, done, err := h.bodies.read(http.MaxBytesReader(w, r.Body, MaxBody), p.sum == nil)
	defer done()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return large, nil
	case errors.Is(err, errLimited):
		return limited, nil
	case err != nil:
		return early, nil
	}
	if p.sum != nil && !signed(p.sum, secret, body) {
		return unproven, nil
	}
	event := k.event(r.Header)
	branch, told := branchOf(body)
	if event != "" && !slices.Contains(k.wakes, event) || told && !slices.Contains(h.o.Branches, branch) {
		return ignored, nil
	}
	h.o.Wake(branch)
	return woke, nil
}
