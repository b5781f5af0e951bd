package app

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/clients"
	"github.com/changeover-dev/changeover/render/bridge"
)

// newTestBridge is a bridge in this process that serves a config.
func newTestBridge(t *testing.T, o Options) (*Bridge, bridge.Config) {
	t.Helper()
	legacy, modern := sides(t)
	o.Config = filepath.Join(t.TempDir(), "bridge.json")
	c := render(t, planOf(legacy, modern, 0), 10)
	write(t, o.Config, c)
	b, err := newBridge(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b.follower.Read(t.Context())
	return b, c
}

func TestOnlyThisHostLearnsTheVersionFromTheTrafficListener(t *testing.T) {
	b, c := newTestBridge(t, Options{})
	for _, x := range []struct {
		peer, path, header string
		code               int
	}{
		{"127.0.0.1:4711", "/_changeover/so/version", "", 200},
		{"[::1]:4711", "/_changeover/so/version", "", 200},
		{"[::ffff:127.0.0.1]:4711", "/_changeover/so/version", "", 200},
		{"127.0.0.1:4711", "/_changeover/other/version", "", 404},
		{"127.0.0.1:4711", "/_changeover/so/versions", "", 404},
		{"192.0.2.7:4711", "/_changeover/so/version", "", 404},
		{"192.0.2.7:4711", "/_changeover/", "", 404},
		{"192.0.2.7:4711", "//_changeover/so/version", "", 404},
		{"192.0.2.7:4711", "/x/../_changeover/so/version", "", 404},
		{"192.0.2.7:4711", "/%5fchangeover/so/version", "", 404},
		{"127.0.0.1:4711", "/_changeover/so/version", "X-Forwarded-For", 404},
		{"127.0.0.1:4711", "/_changeover/so/version", "X-Real-Ip", 404},
	} {
		r := httptest.NewRequest("GET", x.path, nil)
		r.RemoteAddr = x.peer
		if x.header != "" {
			r.Header.Set(x.header, "192.0.2.7")
		}
		w := httptest.NewRecorder()
		b.traffic(w, r)
		if w.Code != x.code || (w.Body.String() == c.Hash+"\n") != (x.code == 200) || w.Header().Get("X-Backend") != "" {
			t.Errorf("%s asks for %s (%s): %d %q, want %d and no backend", x.peer, x.path, x.header, w.Code, w.Body, x.code)
		}
	}
}

func TestTheAdminTokenGuardsMetricsAndProfiles(t *testing.T) {
	by, err := clients.ParseBy("user-agent")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := newTestBridge(t, Options{AdminToken: "secret", ClientsBy: by})
	h := b.admin()
	ask := func(path, token string) int {
		r := httptest.NewRequest("GET", path, nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for path, want := range map[string]int{
		"/metrics": 200, bridge.ClientsPath: 200, bridge.ShadowPath: 503 /* nothing is compared */, "/debug/pprof/": 200, "/debug/pprof/cmdline": 200,
	} {
		if none, wrong, right := ask(path, ""), ask(path, "secrets"), ask(path, "secret"); none != 401 || wrong != 401 || right != want {
			t.Errorf("%s answers %d without, %d with a wrong, %d with the right token", path, none, wrong, right)
		}
	}
	for _, path := range []string{"/healthz", bridge.VersionPath("so")} {
		if code := ask(path, ""); code != 200 {
			t.Errorf("%s answers %d without a token, want it open", path, code)
		}
	}
}

// TestWhoCallsIsTold over a change of the config, and by a metric.
func TestWhoCallsIsTold(t *testing.T) {
	by, err := clients.ParseBy("header:X-Team")
	if err != nil {
		t.Fatal(err)
	}
	b, c := newTestBridge(t, Options{ClientsBy: by})
	call := func(team string) {
		r := httptest.NewRequest("POST", "/orders", nil) // goes to legacy, as most do at 10 %
		r.Header.Set("X-Team", team)
		b.traffic(httptest.NewRecorder(), r)
	}
	for range 3 {
		call("billing")
	}
	write(t, b.o.Config, render(t, planOf(c.Backends.Legacy.URL, c.Backends.Modern.URL, 0), 50))
	b.follower.Read(t.Context())
	call("billing")
	call("shipping")
	w := httptest.NewRecorder()
	b.admin().ServeHTTP(w, httptest.NewRequest("GET", bridge.ClientsPath, nil))
	var got bridge.Clients
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	counts := map[string]int64{}
	for _, side := range got.Sides {
		for _, c := range side.Clients {
			counts[c.Name] += c.Requests
		}
	}
	if got.By != "header:X-Team" || got.Plan.Name != "so" || counts["billing"] != 4 || counts["shipping"] != 1 {
		t.Errorf("it tells %+v", got)
	}
	w = httptest.NewRecorder()
	b.admin().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), `changeover_bridge_clients{side="legacy"}`) {
		t.Error("there is no metric of clients")
	}
}

func TestNobodyIsCountedUnlessAsked(t *testing.T) {
	b, _ := newTestBridge(t, Options{})
	w := httptest.NewRecorder()
	b.admin().ServeHTTP(w, httptest.NewRequest("GET", bridge.ClientsPath, nil))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "--clients-by is none") {
		t.Errorf("answered %d: %s", w.Code, w.Body)
	}
}

func TestTheErrorHeaderIsOneLine(t *testing.T) {
	got := oneLine("a\r\nSet-Cookie: b\x00é" + strings.Repeat("x", 1000))
	if len(got) > 512 || strings.ContainsAny(got, "\r\n\x00") {
		t.Errorf("got %q", got)
	}
}

func TestFlags(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "") // it runs in no pod
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", 2, "want one of --config FILE and --config-map NAMESPACE/NAME"},
		{"--config x --config-map a/b", 2, "want one of --config FILE and --config-map NAMESPACE/NAME"},
		{"--config x --kubeconfig k", 2, "--kubeconfig and --config-cache go with --config-map"},
		{"--config x --config-cache c", 2, "--kubeconfig and --config-cache go with --config-map"},
		{"--config-map a", 2, "want NAMESPACE/NAME, such as changeover-system/orders-bridge"},
		{"--config-map a/b/c", 2, "want NAMESPACE/NAME"},
		{"--config-map a/b --kubeconfig /does/not/exist", 3, "no such file"},
		{"--config-map a/b", 3, "outside of a pod give --kubeconfig"},
		{"--config x extra", 2, `unexpected argument "extra"`},
		{"--nonsense", 2, "flag provided but not defined"},
		{"--config x --admin 0.0.0.0:1", 2, "is not loopback"},
		{"--config x --admin :1", 2, "is not loopback"},
		{"--config x --trusted-proxies 10.0.0.0/33", 2, "want an address or a CIDR"},
		{"--config x --clients-by agent", 2, "want user-agent, address, header:NAME or none"},
		{"--config x --clients-by header:Cookie", 2, "it holds secrets"},
		{"--config x --drain-timeout 0s", 2, "longer than 0"},
		{"--config x --backend-max-in-flight 0", 2, "at least 1"},
		{"--config x --admin-token-file /does/not/exist", 3, "no such file"},
		{"--config x --admin-token-file " + empty, 3, "is empty"},
		{"--config x --listen 256.0.0.1:1", 3, "listen for traffic"},
		{"--help", 0, "Usage: changeover-bridge --config FILE"},
		{"--version", 0, "changeover-bridge "},
	} {
		var out bytes.Buffer
		if code := Main(strings.Fields(c.args), &out, &out); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%q exits with %d and says %q, want %d and %q", c.args, code, out.String(), c.code, c.want)
		}
	}
	o, _, err := parseFlags(strings.Fields("--config x --trusted-proxies 10.1.2.3/8,::1"), &bytes.Buffer{})
	if err != nil || len(o.TrustedProxies) != 2 || o.TrustedProxies[0].String() != "10.0.0.0/8" || o.TrustedProxies[1].String() != "::1/128" {
		t.Errorf("trusted proxies %v, error %v", o.TrustedProxies, err)
	}
}

func TestHealthTellsThatItDrains(t *testing.T) {
	b, _ := newTestBridge(t, Options{})
	b.draining.Store(true)
	w := httptest.NewRecorder()
	b.healthz(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), `"draining"`) {
		t.Errorf("health is %d %q", w.Code, w.Body)
	}
}
