package app

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/owner"
	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/route"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// traffic is the handler of the traffic listener: the proxy, and in front of
// it what the bridge keeps to itself.
func (b *Bridge) traffic(w http.ResponseWriter, r *http.Request) {
	if path, _ := route.Path(r.URL); !strings.HasPrefix(path, bridge.ReservedPrefix) {
		b.proxy.ServeHTTP(w, r)
		return
	}
	if !fromThisHost(r) {
		// As if it were not there: it is nobody else's affair.
		http.NotFound(w, r)
		return
	}
	b.own(w, r)
}

// fromThisHost reports whether a program on this host asks, for itself and not
// as a proxy for somebody else.
func fromThisHost(r *http.Request) bool {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && ap.Addr().Unmap().IsLoopback() &&
		r.Header.Get("X-Forwarded-For") == "" && r.Header.Get("Forwarded") == "" && r.Header.Get("X-Real-Ip") == ""
}

// own answers at the reserved paths. The hash is of the config that requests
// are served by at this moment; where the config as it is now was
// refused, two headers say which and why.
func (b *Bridge) own(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if s := b.follower.Status(); s.Rejected != "" {
		w.Header().Set(bridge.HeaderRejected, s.Rejected)
		w.Header().Set(bridge.HeaderError, oneLine(s.Error))
	}
	if r.URL.Path == bridge.OwnerPath {
		b.owner(w, r)
		return
	}
	c, ok := b.proxy.Config()
	switch {
	case !ok:
		w.WriteHeader(http.StatusServiceUnavailable)
		w.Write([]byte("changeover-bridge: no config yet; it waits for the daemon to write one\n"))
	case r.URL.Path == bridge.SplitPath(c.Plan.Name):
		b.split(w)
	case r.URL.Path == bridge.SettlePath(c.Plan.Name):
		b.settle(w, r)
	case r.URL.Path == bridge.FactsPath(c.Plan.Name):
		b.facts(w)
	case r.URL.Path != bridge.VersionPath(c.Plan.Name):
		w.WriteHeader(http.StatusNotFound)
		w.Write([]byte("changeover-bridge: nothing here; it serves " + bridge.VersionPath(c.Plan.Name) + "\n"))
	default:
		w.Write([]byte(c.Hash + "\n"))
	}
}

// facts tells what gates read. It names nobody.
func (b *Bridge) facts(w http.ResponseWriter) {
	var f bridge.Facts
	if since, ok := b.proxy.ClientsSince(); ok {
		hour := time.Now().Add(-recent)
		f.Clients = &bridge.RecentClients{Since: since, Legacy: b.proxy.RecentClients(plan.Legacy, hour), Modern: b.proxy.RecentClients(plan.Modern, hour)}
	}
	if s, ok := b.proxy.Shadow(); ok {
		f.Shadow = &bridge.ShadowCounts{}
		for _, e := range s.Endpoints {
			f.Shadow.Add(e.ShadowCounts)
		}
	}
	if owns, ok := b.proxy.ModernOwns(); ok {
		f.ModernOwns = &owns
	}
	tell(w, f)
}

// split tells how requests were split. It names no caller.
func (b *Bridge) split(w http.ResponseWriter) {
	s, _ := b.proxy.Split() // there is a config
	tell(w, s)
}

// tell answers with JSON that is of this moment.
func tell(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // the client may have left
}

// oneLine makes a text fit for a header.
func oneLine(s string) string {
	const most = 512
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, s)
	if len(s) > most {
		s = s[:most]
	}
	return s
}

// admin is the handler of the admin listener. Health and version are open;
// everything else needs the token where there is one.
func (b *Bridge) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", b.healthz)
	mux.HandleFunc("GET "+bridge.ReservedPrefix, b.own)
	mux.Handle("GET /metrics", b.guarded(promhttp.HandlerFor(b.registry, promhttp.HandlerOpts{Registry: b.registry})))
	mux.Handle("GET "+bridge.ClientsPath, b.guarded(http.HandlerFunc(b.clients)))
	mux.Handle("GET "+bridge.ShadowPath, b.guarded(http.HandlerFunc(b.shadow)))
	mux.Handle("GET /debug/pprof/", b.guarded(http.HandlerFunc(pprof.Index)))
	mux.Handle("GET /debug/pprof/cmdline", b.guarded(http.HandlerFunc(pprof.Cmdline)))
	mux.Handle("GET /debug/pprof/profile", b.guarded(http.HandlerFunc(pprof.Profile)))
	mux.Handle("GET /debug/pprof/symbol", b.guarded(http.HandlerFunc(pprof.Symbol)))
	mux.Handle("GET /debug/pprof/trace", b.guarded(http.HandlerFunc(pprof.Trace)))
	return mux
}

// clients tells who calls which side.
func (b *Bridge) clients(w http.ResponseWriter, _ *http.Request) {
	c, ok := b.proxy.Clients()
	if !ok {
		http.Error(w, "changeover-bridge: no clients are counted: there is no config yet, or --clients-by is none", http.StatusServiceUnavailable)
		return
	}
	tell(w, c)
}

// shadow tells how modern's answers compare with legacy's.
func (b *Bridge) shadow(w http.ResponseWriter, _ *http.Request) {
	s, ok := b.proxy.Shadow()
	if !ok {
		http.Error(w, "changeover-bridge: nothing is compared: there is no config yet, or no route of the stop has mirror.compare", http.StatusServiceUnavailable)
		return
	}
	tell(w, s)
}

func (b *Bridge) guarded(h http.Handler) http.Handler {
	if b.o.AdminToken == "" {
		return h
	}
	want := []byte("Bearer " + b.o.AdminToken)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "changeover-bridge: want the admin token as a bearer token", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// health is the answer of /healthz.
type health struct {
	// State is ok, degraded (the config is refused or cannot be read, or the
	// ownership store is down, and what was before goes on), waiting (no config
	// or no owners yet) or draining. The last two answer 503.
	State string         `json:"state"`
	Plan  *plan.Key      `json:"plan,omitempty"`
	Stop  *plan.Position `json:"stop,omitempty"`
	Hash  string         `json:"hash,omitempty"`
	Error string         `json:"error,omitempty"`
	// Failing are the sides that do not answer. The bridge is well all the same.
	Failing []plan.Side `json:"failing,omitempty"`
	// Owners of entities; nil where the bridge knows none.
	Owners *owner.Health `json:"owners,omitempty"`
}

func (b *Bridge) healthz(w http.ResponseWriter, _ *http.Request) {
	h := health{State: "ok", Error: b.follower.Status().Error, Failing: b.proxy.Failing()}
	code := http.StatusOK
	c, ok := b.proxy.Config()
	if ok {
		h.Plan, h.Stop, h.Hash = &c.Plan, &c.Stop, c.Hash
	}
	switch {
	case b.draining.Load():
		h.State, code = "draining", http.StatusServiceUnavailable
	case !ok:
		h.State, code = "waiting", http.StatusServiceUnavailable
	case h.Error != "":
		h.State = "degraded"
	}
	if b.owners != nil && c.Entities != nil {
		h.Owners = new(b.owners.Health())
		switch {
		case code != http.StatusOK:
		case !h.Owners.Loaded:
			h.State, code = "waiting", http.StatusServiceUnavailable
		case h.Owners.Error != "":
			h.State = "degraded"
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(h) // the client may have left
}
