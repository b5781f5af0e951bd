package proxy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/clients"
	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/route"
	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/translation"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
	"github.com/changeover-dev/changeover/render/translate"
)

// Options of a Handler.
type Options struct {
	Limits Limits
	// TrustedProxies may say who the client is, in X-Forwarded-For.
	TrustedProxies []netip.Prefix
	// ClientsBy is what callers are told by who are counted.
	ClientsBy clients.By
	// Owners of entities; nil: plans that need them are refused.
	Owners  Owners
	Metrics *Metrics
	Log     *slog.Logger
}

// Handler serves the traffic. Before the first Serve it answers 503.
type Handler struct {
	limits  Limits
	trusted []netip.Prefix
	by      clients.By
	owners  Owners
	metrics *Metrics
	log     *slog.Logger
	proxy   *httputil.ReverseProxy
	compare comparing
	probes  *prober

	swap    sync.Mutex // held by Serve
	serving atomic.Pointer[serving]
}

// serving is one config, ready for requests. It does not change.
type serving struct {
	config bridge.Config
	table  *route.Table
	sides  map[plan.Side]*side
	meters []map[plan.Side]meter
	// mirror sends copies to modern; nil where no rule has any.
	mirror  *mirror
	mirrors []mirrorMeter // by rule
	// shadows compare the answers to copies; nil where no rule asks for it.
	shadows *shadows
	splits  splits
	// clients of the plan; nil where nobody is counted.
	clients *clients.Counter
	// births are seen in modern's answers; nil: the plan has no entities.
	births *births
}

// side is a backend as one config sees it.
type side struct {
	*backend
	sideMeter
}

// New returns a Handler without a config.
func New(o Options) *Handler {
	h := &Handler{limits: o.Limits.withDefaults(), trusted: o.TrustedProxies, by: o.ClientsBy, owners: o.Owners, metrics: o.Metrics, log: o.Log, compare: newComparing(), probes: newProber(o.Metrics, o.Log)}
	h.proxy = &httputil.ReverseProxy{
		Rewrite:        h.rewrite,
		Transport:      bySide{},
		ModifyResponse: h.modifyResponse,
		ErrorHandler:   h.fail,
		BufferPool:     buffers{},
		ErrorLog:       slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}
	return h
}

// Config is what is served; ok is false where there is none yet.
func (h *Handler) Config() (c bridge.Config, ok bool) {
	if s := h.serving.Load(); s != nil {
		return s.config, true
	}
	return bridge.Config{}, false
}

// Serve swaps the config. Requests under way end on the old one. A config that
// routes as the one that is served does not disturb anything. It fails, and
// changes nothing, for a config that did not pass its own Check.
func (h *Handler) Serve(c bridge.Config) error {
	h.swap.Lock()
	defer h.swap.Unlock()
	old := h.serving.Load()
	if old != nil && old.config.Hash == c.Hash {
		s := *old
		s.config = c // its mark may be new
		h.serving.Store(&s)
		return nil
	}
	if c.Behind != "" && len(h.trusted) == 0 {
		return fmt.Errorf("the plan's %[1]s stands before this bridge, which would take it for every caller: start the bridge with --trusted-proxies and the address of %[1]s", c.Behind)
	}
	table, err := route.Compile(c)
	if err != nil {
		return err
	}
	s := &serving{config: c, table: table, splits: newSplits(c, time.Now()), sides: map[plan.Side]*side{}, meters: h.metrics.meters(c)}
	for _, name := range []plan.Side{plan.Legacy, plan.Modern} {
		b, err := h.backend(old, name, c.Backends.Of(name).URL)
		if err != nil {
			return fmt.Errorf("serve config: %w", err)
		}
		s.sides[name] = &side{backend: b, sideMeter: h.metrics.side(c, name)}
		s.sides[name].show()
	}
	if s.births, err = h.follow(c, table); err != nil {
		return err
	}
	s.mirror, s.mirrors = h.mirror(old, s), h.metrics.mirrors(c)
	if s.shadows, err = h.shadowsOf(old, s); err != nil {
		return fmt.Errorf("serve config: %w", err)
	}
	s.clients = h.counter(old, c)
	h.serving.Store(s)
	if old != nil {
		old.shadows.leave(s.shadows)
		if old.mirror != nil && old.mirror != s.mirror {
			old.mirror.transport.CloseIdleConnections()
		}
		for name, was := range old.sides {
			if was.backend != s.sides[name].backend {
				was.transport.CloseIdleConnections()
			}
		}
	}
	return nil
}

// backend keeps the pool of a side whose URL stays.
func (h *Handler) backend(old *serving, name plan.Side, url string) (*backend, error) {
	if old != nil && old.config.Backends.Of(name).URL == url {
		return old.sides[name].backend, nil
	}
	return newBackend(name, url, h.limits)
}

// counter goes on with the clients of the same plan.
func (h *Handler) counter(old *serving, c bridge.Config) *clients.Counter {
	switch {
	case h.by.None():
		return nil
	case old != nil && old.config.Plan == c.Plan:
		return old.clients
	}
	return clients.New(h.by, time.Now())
}

// Clients are who called each side of the plan that is served; ok is false where
// nobody is counted, and before there is a config.
func (h *Handler) Clients() (out bridge.Clients, ok bool) {
	s := h.serving.Load()
	if s == nil || s.clients == nil {
		return out, false
	}
	out = s.clients.Report()
	out.Plan = s.config.Plan
	return out, true
}

// ClientsSince is when the counting of clients began; ok is false where nobody is
// counted.
func (h *Handler) ClientsSince() (since time.Time, ok bool) {
	s := h.serving.Load()
	if s == nil || s.clients == nil {
		return time.Time{}, false
	}
	return s.clients.Since(), true
}

// RecentClients are how many known clients a side has had since a time.
func (h *Handler) RecentClients(side plan.Side, since time.Time) int {
	if s := h.serving.Load(); s != nil && s.clients != nil {
		return s.clients.Recent(side, since)
	}
	return 0
}

// mirror keeps the connections for copies while modern's URL stays.
func (h *Handler) mirror(old, s *serving) *mirror {
	modern := s.sides[plan.Modern].backend
	switch {
	case !slices.ContainsFunc(s.config.Rules, func(r bridge.Rule) bool { return r.Mirror != nil }):
		return nil
	case old != nil && old.mirror != nil && old.sides[plan.Modern].backend == modern:
		return old.mirror
	}
	return newMirror(modern, h.log)
}

// exchange is one request on its way; it travels in the request's context.
type exchange struct {
	side    *side
	meter   meter
	start   time.Time
	code    int // 0 before the answer's headers
	counted bool
	// body fails when the client's body cannot be read.
	body *clientBody
	// rewrite is what changes on the way; nil: nothing.
	rewrite *route.Rewrite
	// translation of what goes to modern; nil: none. translated is the request
	// to modern that it made; nil for one to legacy.
	translation *translate.Translation
	translated  *translation.Exchange
	// mirror takes a copy for modern; nil: none. meter counts it.
	mirror  *mirror
	mirrors mirrorMeter
	copied  *copied
	// unsafe copies are allowed.
	unsafe bool
	// shadow compares the answer to the copy with this one; nil: nothing does.
	shadow *shadowOf
	// births are looked for in the answer; nil: none can be.
	births *births
	// unsure: the backend did not answer, and may still do what it was asked to.
	unsure bool
	// birth: this is a request by which modern creates an entity.
	birth bool
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

// count counts the exchange once.
func (e *exchange) count() {
	if !e.counted {
		e.counted = true
		e.meter.observe(e.code, time.Since(e.start))
	}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := h.serving.Load()
	if s == nil {
		h.metrics.unconfigured.Inc()
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "no config yet; it waits for the daemon to write one")
		return
	}
	if code, why := route.Refuse(r); code != 0 {
		refuse(w, code, why)
		return
	}
	start := time.Now()
	client := h.clientOf(r)
	var e *exchange
	if s.births != nil {
		end, ok := h.named(w, &r, s)
		if !ok {
			return
		}
		if end != nil {
			defer func() { end(e) }()
		}
	}
	choice := s.table.Choose(r, client)
	s.table.Hide(r)
	if choice.Probe != "" && h.probes.has(r, s, choice) {
		choice = choice.Found()
	}
	if choice.Entity != route.NoEntity && !h.known(w, choice) {
		return
	}
	if choice.Respond != nil {
		respond(w, choice.Respond)
		s.meters[choice.Rule][none].observe(choice.Respond.Status, time.Since(start))
		return
	}
	if s.clients != nil {
		s.clients.Seen(choice.Side, h.by.Name(r, client), start)
	}
	e = &exchange{side: s.sides[choice.Side], meter: s.meters[choice.Rule][choice.Side], start: start, rewrite: choice.Rewrite, translation: choice.Translate, births: s.births}
	if choice.Mirror {
		e.mirror, e.mirrors = s.mirror, s.mirrors[choice.Rule]
		e.unsafe = s.config.Rules[choice.Rule].Mirror.Unsafe
		if s.shadows != nil {
			e.shadow = s.shadows.byRule[choice.Rule]
		}
	}
	if !e.side.enter() {
		e.full(w)
		return
	}
	if choice.Split {
		s.splits.count(choice)
	}
	h.forward(w, r, e)
}

// full answers a request of which the side has no room.
func (e *exchange) full(w http.ResponseWriter) {
	e.code = http.StatusServiceUnavailable
	e.side.failures.WithLabelValues(reasonLimit).Inc()
	w.Header().Set(bridge.HeaderSide, string(e.side.side))
	w.Header().Set("Retry-After", "1")
	refuse(w, e.code, "too many requests are under way to the "+string(e.side.side)+" side")
	e.count()
}

func (h *Handler) forward(w http.ResponseWriter, r *http.Request, e *exchange) {
	e.side.sideMeter.inFlight.Inc()
	whole := false
	defer func() {
		e.side.leave()
		e.side.sideMeter.inFlight.Dec()
		if e.copied != nil {
			e.copied.send()
			e.copied.judged.end()
		}
		// The proxy panics to break off an answer that it cannot finish.
		switch {
		case whole:
		case r.Context().Err() != nil:
			e.side.left.Inc()
		default:
			e.side.aborted.Inc()
		}
		e.count()
	}()
	if e.translation != nil && e.side.side == plan.Modern && !h.translate(w, r, e) {
		whole = true
		return
	}
	if r.ContentLength != 0 {
		// A backend may answer before it has read everything. Without this
		// the server would first read the rest from the client, and take it
		// away from the backend. An error means HTTP/2, which always can.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	h.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, e)))
	whole = true
}

// respond answers by a rule of the plan.
func respond(w http.ResponseWriter, r *plan.Respond) {
	for name, value := range r.Headers {
		w.Header().Set(name, value)
	}
	if r.Body != "" && w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.WriteHeader(r.Status)
	io.WriteString(w, r.Body)
}

// refuse answers by the bridge itself, in plain text.
func refuse(w http.ResponseWriter, code int, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	io.WriteString(w, "changeover-bridge: "+why+"\n")
}
