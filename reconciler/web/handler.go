package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/live"
)

// Plans is what the handlers ask. Its methods are called from many goroutines
// at once.
type Plans interface {
	// Statuses of all plans, sorted by key.
	Statuses() []reconciler.Status
	// Status of one plan; false where there is none of that key.
	Status(key plan.Key) (reconciler.Status, bool)
	// History returns the newest n entries, oldest first.
	History(ctx context.Context, key plan.Key, n int) ([]reconciler.Entry, error)
	// RequestRollback rolls a plan back on a person's behalf. The zero
	// position means: to what the newest raise replaced.
	RequestRollback(ctx context.Context, key plan.Key, to plan.Position, reason string) (reconciler.Status, error)
	// Ready is nil once every plan was worked once.
	Ready() error
}

// Options of both handlers.
type Options struct {
	// Plans is required.
	Plans Plans
	// Metrics is served at /metrics; nil serves none.
	Metrics prometheus.Gatherer
	// Feed has what the pages of plans show of the past, and tells of news. Its
	// owner puts every status in, and closes it when the server ends: streams
	// of events end by that alone. Nil: there is none of either.
	Feed *live.Feed
	// Now is the clock of the page's ages; required.
	Now func() time.Time
	// Log takes failures to answer; nil: slog.Default.
	Log *slog.Logger
	// Several branches are watched: the page says whose each plan is.
	Several bool
	// Version of the daemon, for the foot of the page.
	Version string
}

func (o Options) log() *slog.Logger {
	if o.Log != nil {
		return o.Log
	}
	return slog.Default()
}

// Of the history, a page shows so many things that the daemon did.
const historyOnPage = 40

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static/style.css
var styleSheet []byte

//go:embed static/live.js
var script []byte

//go:embed static/icon.svg
var icon []byte

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"stamp":     stamp,
	"prose":     prose,
	"tone":      StateTone,
	"coord":     coord,
	"thousands": thousands,
	"percent":   func(f float64) string { return short(100*f) + " %" },
	"unseen":    func(s reconciler.Status) string { return decide.Unseen(s.Unknown()) },
}).ParseFS(templateFiles, "templates/*.html"))

type page struct {
	Options
}

// Handler serves /healthz, /readyz, /metrics and the status page. It answers
// GET and HEAD only and changes nothing.
func Handler(o Options) http.Handler {
	p := &page{Options: o}
	if p.Feed == nil {
		p.Feed = live.New()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.index)
	mux.HandleFunc("GET /plans/{namespace}/{name}", p.one)
	mux.HandleFunc("GET /events", p.events)
	mux.HandleFunc("GET /events/{namespace}/{name}", p.events)
	mux.Handle("GET /style.css", asset("text/css; charset=utf-8", styleSheet))
	mux.Handle("GET /live.js", asset("text/javascript; charset=utf-8", script))
	mux.Handle("GET /icon.svg", asset("image/svg+xml", icon))
	mux.HandleFunc("GET /healthz", p.healthz)
	mux.HandleFunc("GET /readyz", p.readyz)
	if o.Metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{}))
	}
	return secure(mux)
}

// contentPolicy lets the page load its own style sheet, icon and script and talk
// to the daemon, and nothing else: no script within the page, no frame, no form,
// no other host.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func asset(kind string, content []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "max-age=300")
		_, _ = w.Write(content)
	})
}

// healthz says that the process answers; a supervisor restarts it where it
// does not. It looks at nothing, since a restart mends no Git host.
func (p *page) healthz(w http.ResponseWriter, _ *http.Request) { plainText(w, http.StatusOK, "ok") }

func (p *page) readyz(w http.ResponseWriter, _ *http.Request) {
	switch err := p.Plans.Ready(); {
	case err == nil:
		plainText(w, http.StatusOK, "ok")
	case errors.Is(err, reconciler.ErrStandby):
		plainText(w, http.StatusOK, err.Error()) // ready to take over
	case p.Several && errors.Is(err, reconciler.ErrUnread):
		plainText(w, http.StatusOK, "ok, but "+err.Error()) // the others' plans are worked
	default:
		plainText(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
	}
}

func plainText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, text)
}

// render writes a page whole or not at all: a template that fails half-way
// must not look like a short page.
func (p *page) render(w http.ResponseWriter, r *http.Request, code int, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		p.log().Error("render page failed", "page", name, "path", r.URL.Path, "error", err)
		plainText(w, http.StatusInternalServerError, "the page could not be rendered; the daemon's log says why, and `changeover status` shows the same")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = b.WriteTo(w)
}
