package nginx_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/nginx"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

// percents are the stops of the fixture's phase `gradual`.
var percents = []plan.Percent{10, 25, 50, 75, 100}

// migration is a plan with two live backends in front of which nginx stands.
type migration struct {
	*plan.Plan
	legacy, modern *httptest.Server
	asked          atomic.Int64 // requests that reached a backend
}

func newMigration(t testing.TB) *migration {
	t.Helper()
	m := &migration{}
	m.legacy, m.modern = m.side(t, plan.Legacy), m.side(t, plan.Modern)
	m.Plan = &plan.Plan{
		Metadata: plan.Metadata{Name: "onap-so", Namespace: "migrations"},
		Spec: plan.Spec{
			Backends: plan.Backends{Legacy: plan.Backend{URL: m.legacy.URL}, Modern: plan.Backend{URL: m.modern.URL}},
			Gateway:  &plan.Gateway{NGINX: &plan.NGINXGateway{}},
			Identity: &plan.Identity{Header: "X-Tenant-ID", Cohort: "so"},
			Phases: []plan.Phase{
				{Name: "setup", Routes: []plan.Route{{To: plan.ToLegacy}}},
				{Name: "gradual", Percents: percents, Routes: []plan.Route{{To: plan.ToSplit}}},
				{Name: "sunset", Routes: []plan.Route{
					{Match: &plan.Match{Methods: []string{"POST"}, PathPrefix: "/old"}, Respond: &plan.Respond{Status: 410, Body: "gone\n"}},
					{To: plan.ToModern},
				}},
			},
		},
	}
	return m
}

// side is a backend that says who it is and what it was asked.
func (m *migration) side(t testing.TB, s plan.Side) *httptest.Server {
	t.Helper()
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.asked.Add(1)
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Answered-By", string(s))
		for _, name := range []string{"X-Changeover-Side", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "X-Force"} {
			w.Header().Set("Got-"+name, r.Header.Get(name))
		}
		w.Header().Set("Got-Host", r.Host)
		w.Header().Set("Got-URI", r.RequestURI)
		fmt.Fprintf(w, "%s:%s", s, body)
	}))
	t.Cleanup(b.Close)
	return b
}

func mark(stop plan.Position) reconciler.Mark {
	return reconciler.Mark{
		Stop: stop, Since: time.Date(2026, 5, 4, 3, 2, 1, 987654321, time.UTC),
		Revision: plan.Revision(strings.Repeat("a1", 20)),
	}
}

var (
	setup  = plan.Position{Phase: "setup"}
	at10   = plan.Position{Phase: "gradual", Percent: 10}
	at25   = plan.Position{Phase: "gradual", Percent: 25}
	at100  = plan.Position{Phase: "gradual", Percent: 100}
	sunset = plan.Position{Phase: "sunset"}
)

func open(t testing.TB, s *nginxtest.Server) *nginx.Gateway {
	t.Helper()
	return openWith(t, options(s))
}

func openWith(t testing.TB, o nginx.Options) *nginx.Gateway {
	t.Helper()
	g, err := nginx.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func options(s *nginxtest.Server) nginx.Options {
	return nginx.Options{Dir: s.Dir, Conf: s.Conf, URL: s.URL}
}

func context10s(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func apply(t testing.TB, g *nginx.Gateway, p *plan.Plan, stop plan.Position) {
	t.Helper()
	if err := g.Apply(context10s(t), p, mark(stop)); err != nil {
		t.Fatal(err)
	}
	state := observe(t, g, p, stop)
	if !state.Serving || state.Message != "" || state.Mark == nil || state.Mark.Stop != stop {
		t.Fatalf("after Apply at %s it observes %+v", stop, state)
	}
}

func observe(t testing.TB, g *nginx.Gateway, p *plan.Plan, stop plan.Position) reconciler.TrafficState {
	t.Helper()
	state, err := g.Observe(context10s(t), p, stop)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// client keeps no connection, so each request may meet any worker.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       10 * time.Second,
}

func do(t testing.TB, c *http.Client, method, url string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// snapshot is every path below the include folder with what would change if
// it were written.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		out[path] = fmt.Sprintf("inode %d, size %d, modified %d, changed %d", stat.Ino, stat.Size, stat.Mtim.Nano(), stat.Ctim.Nano())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
