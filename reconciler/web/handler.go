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
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
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

// historyOnPage is how many entries the page of one plan shows.
const historyOnPage = 20

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static/style.css
var styleSheet []byte

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"stamp":   stamp,
	"prose":   prose,
	"values":  FormatValues,
	"tone":    StateTone,
	"vtone":   VerdictTone,
	"verdict": VerdictWord,
	"unseen":  func(s reconciler.Status) string { return decide.Unseen(s.Unknown()) },
}).ParseFS(templateFiles, "templates/*.html"))

type page struct {
	Options
}

// Handler serves /healthz, /readyz, /metrics and the status page. It answers
// GET and HEAD only and changes nothing.
func Handler(o Options) http.Handler {
	p := &page{Options: o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.index)
	mux.HandleFunc("GET /plans/{namespace}/{name}", p.one)
	mux.HandleFunc("GET /style.css", p.style)
	mux.HandleFunc("GET /healthz", p.healthz)
	mux.HandleFunc("GET /readyz", p.readyz)
	if o.Metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{}))
	}
	return secure(mux)
}

// contentPolicy lets the page load its own style sheet and nothing else: no
// script, no frame, no form, no other host.
const contentPolicy = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

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

func (p *page) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(styleSheet)
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

type indexData struct {
	Title    string
	Version  string
	Now      time.Time
	NotReady string
	Several  bool
	Plans    []row
}

type row struct {
	reconciler.Status
	Age    string
	Reason decide.Reason
	Why    string
}

func (p *page) index(w http.ResponseWriter, r *http.Request) {
	now := p.Now()
	d := indexData{Title: "All plans", Version: p.Version, Now: now, Several: p.Several}
	if err := p.Plans.Ready(); err != nil {
		d.NotReady = err.Error()
	}
	for _, s := range p.Plans.Statuses() {
		reason, why := Why(s)
		d.Plans = append(d.Plans, row{Status: s, Age: Age(s.Since, now), Reason: reason, Why: why})
	}
	p.render(w, r, http.StatusOK, "index.html", d)
}

type oneData struct {
	Title   string
	Version string
	Now     time.Time
	S       reconciler.Status
	Age     string
	Advice  []string
	Stops   []stopOnLine
	// History, newest first.
	History      []reconciler.Entry
	HistoryError string
}

// stopOnLine is a stop of the itinerary as the page draws it.
type stopOnLine struct {
	Stop                string
	Passed              bool
	Effective, Declared bool
}

func (p *page) one(w http.ResponseWriter, r *http.Request) {
	key := plan.Key{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	s, ok := p.Plans.Status(key)
	if !ok {
		p.render(w, r, http.StatusNotFound, "missing.html", struct {
			Title, Version string
			Now            time.Time
			Key            plan.Key
		}{"No such plan", p.Version, p.Now(), key})
		return
	}
	now := p.Now()
	d := oneData{Title: key.String(), Version: p.Version, Now: now, S: s, Age: Age(s.Since, now), Advice: Advice(s), Stops: line(s)}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	entries, err := p.Plans.History(ctx, key, historyOnPage)
	if err != nil {
		// The rest of the page is what matters in an incident.
		d.HistoryError = err.Error()
	}
	slices.Reverse(entries)
	d.History = entries
	p.render(w, r, http.StatusOK, "plan.html", d)
}

func line(s reconciler.Status) []stopOnLine {
	at := s.Itinerary.Index(s.Effective)
	out := make([]stopOnLine, 0, len(s.Itinerary))
	for i, stop := range s.Itinerary {
		out = append(out, stopOnLine{Stop: stop.String(), Passed: i < at, Effective: i == at, Declared: stop == s.Declared})
	}
	return out
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
