package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/proxy"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// fixture is a bridge between a client and two backends.
type fixture struct {
	*proxy.Handler
	registry *prometheus.Registry
	url      string
	t        testing.TB
}

// newFixture starts a bridge whose last rule sends everything to modern.
func newFixture(t testing.TB, legacy, modern string, o proxy.Options, rules ...bridge.Rule) *fixture {
	t.Helper()
	f := &fixture{registry: prometheus.NewRegistry(), t: t}
	o.Metrics = proxy.NewMetrics(f.registry)
	o.Log = slog.New(slog.DiscardHandler)
	f.Handler = proxy.New(o)
	f.registry.MustRegister(f.ShadowMetrics())
	f.serve(configOf(t, legacy, modern, rules...))
	s := httptest.NewUnstartedServer(f)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

func configOf(t testing.TB, legacy, modern string, rules ...bridge.Rule) bridge.Config {
	t.Helper()
	c := bridge.Config{
		Version: bridge.Version, Salt: "so",
		Plan:     plan.Key{Namespace: "default", Name: "so"},
		Stop:     plan.Position{Phase: "gradual", Percent: 25},
		Backends: plan.Backends{Legacy: plan.Backend{URL: legacy}, Modern: plan.Backend{URL: modern}},
		Rules:    append(rules, bridge.Rule{To: plan.ToModern}),
	}
	var err error
	if c.Hash, err = c.Sum(); err != nil {
		t.Fatal(err)
	}
	return c
}

func (f *fixture) serve(c bridge.Config) {
	f.t.Helper()
	if err := f.Serve(c); err != nil {
		f.t.Fatal(err)
	}
}

func backend(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// metric waits for a sample of a counter, gauge or histogram (its count) to
// reach a value: some are counted after the client has its answer.
func (f *fixture) metric(want float64, name string, labels ...string) {
	f.t.Helper()
	var got float64
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = f.sample(name, labels); got == want {
			return
		}
	}
	f.t.Errorf("%s%v is %v, want %v", name, labels, got, want)
}

func (f *fixture) sample(name string, labels []string) float64 {
	f.t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if hasLabels(m, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}

func hasLabels(m *dto.Metric, want []string) bool {
	have := map[string]string{}
	for _, l := range m.GetLabel() {
		have[l.GetName()] = l.GetValue()
	}
	for _, w := range want {
		if name, value, _ := strings.Cut(w, "="); have[name] != value {
			return false
		}
	}
	return true
}

// plainTransport adds nothing to a request by itself.
var plainTransport = &http.Transport{DisableCompression: true}

// send is one request, with its body read.
func send(t testing.TB, r *http.Request, err error) (*http.Response, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	res, err := plainTransport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func get(t testing.TB, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return send(t, r, err)
}

func TestBeforeTheFirstConfigItAnswers503(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := proxy.New(proxy.Options{Metrics: proxy.NewMetrics(reg), Log: slog.New(slog.DiscardHandler)})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "no config yet") || w.Header().Get("Retry-After") == "" {
		t.Errorf("answer %d %q, want 503 that says why", w.Code, w.Body)
	}
}

func TestABackendSeesTheRequestAsTheClientWroteIt(t *testing.T) {
	var got *http.Request
	modern := backend(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("X-Changeover-Side", "legacy") // a lie
		w.Header().Set("Location", "http://a.example.com/next")
		w.WriteHeader(302)
	})
	f := newFixture(t, "http://127.0.0.1:1", modern.URL+"/base", proxy.Options{})
	r, err := http.NewRequest("DELETE", f.url+"/a%2Fb//./c?x=1;y=2&z=%zz", nil)
	r.Host = "a.example.com"
	r.Header.Set("X-Changeover-Side", "legacy")
	r.Header.Set("X-Forwarded-For", "6.6.6.6")
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("Forwarded", "for=6.6.6.6")
	r.Header.Set("User-Agent", "")
	res, _ := send(t, r, err)

	if got.Method != "DELETE" || got.RequestURI != "/base/a%2Fb//./c?x=1;y=2&z=%zz" || got.Host != "a.example.com" {
		t.Errorf("backend got %s %s for host %s", got.Method, got.RequestURI, got.Host)
	}
	for name, want := range map[string]string{
		"X-Changeover-Side": "modern",
		"X-Forwarded-For":   "127.0.0.1",
		"X-Forwarded-Host":  "a.example.com",
		"X-Forwarded-Proto": "http",
		"Forwarded":         "",
		"User-Agent":        "",
		"Accept-Encoding":   "",
	} {
		if v := strings.Join(got.Header.Values(name), " | "); v != want {
			t.Errorf("backend got %s %q, want %q", name, v, want)
		}
	}
	if res.StatusCode != 302 || strings.Join(res.Header.Values("X-Changeover-Side"), "|") != "modern" {
		t.Errorf("client got %d, side %q", res.StatusCode, res.Header.Values("X-Changeover-Side"))
	}
	f.metric(1, "changeover_bridge_requests_total", "plan=so", "route=0", "side=modern", "code=302")
	f.metric(1, "changeover_bridge_request_duration_seconds", "plan=so", "route=0", "side=modern")
	f.metric(0, "changeover_bridge_in_flight_requests", "side=modern")
}

func TestOnlyATrustedProxySaysWhoTheClientIs(t *testing.T) {
	var got http.Header
	modern := backend(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header })
	f := newFixture(t, "http://127.0.0.1:1", modern.URL,
		proxy.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	get(t, f.url, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: so.example.com")
	if got.Get("X-Forwarded-For") != "192.0.2.7, 127.0.0.1" || got.Get("X-Forwarded-Proto") != "https" || got.Get("X-Forwarded-Host") != "so.example.com" {
		t.Errorf("backend got %v, want what the trusted proxy said", got)
	}
}

func TestAClientBehindATrustedProxyIsIdentifiedByItsOwnAddress(t *testing.T) {
	sideOf := func(address string) string {
		if plan.OnModern(plan.Bucket("so", address), 50) {
			return "modern"
		}
		return "legacy"
	}
	b := backend(t, func(http.ResponseWriter, *http.Request) {})
	f := newFixture(t, b.URL, b.URL, proxy.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}})
	half := plan.Percent(50)
	c := configOf(t, b.URL, b.URL)
	c.Identity = &bridge.Identity{ClientIP: true}
	c.Rules = []bridge.Rule{{To: plan.ToSplit, Percent: &half}}
	c.Hash, _ = c.Sum()
	f.serve(c)
	for i := range 50 {
		address := fmt.Sprintf("192.0.2.%d", i)
		// The first entry is what the client claims, the last a proxy.
		said := address
		if i%2 == 1 {
			said += ":4711" // as some proxies do
		}
		res, _ := get(t, f.url, "X-Forwarded-For: 6.6.6.6, "+said, "X-Forwarded-For: 10.1.2.3")
		if side := res.Header.Get("X-Changeover-Side"); side != sideOf(address) {
			t.Fatalf("client %s went to %s, want %s", address, side, sideOf(address))
		}
	}
}

func TestRespondAnswersAtTheBridge(t *testing.T) {
	f := newFixture(t, "http://127.0.0.1:1", "http://127.0.0.1:1", proxy.Options{}, bridge.Rule{
		Match:   &plan.Match{PathPrefix: "/old/"},
		Respond: &plan.Respond{Status: 410, Body: "gone\n", Headers: map[string]string{"Sunset": "Sat, 01 Aug 2026 00:00:00 GMT"}},
	})
	res, body := get(t, f.url+"/old/7")
	if res.StatusCode != 410 || body != "gone\n" || res.Header.Get("Sunset") == "" || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("answer %d %q %v", res.StatusCode, body, res.Header)
	}
	if side, ok := res.Header["X-Changeover-Side"]; ok {
		t.Errorf("the bridge's own answer names side %q", side)
	}
	f.metric(1, "changeover_bridge_requests_total", "route=0", "side=none", "code=410")
}

func TestADeadBackendIs502ThatNamesTheSide(t *testing.T) {
	f := newFixture(t, "http://127.0.0.1:1", "http://127.0.0.1:1", proxy.Options{})
	res, body := get(t, f.url)
	if res.StatusCode != 502 || body != "changeover-bridge: the modern side could not be reached\n" ||
		!strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") || res.Header.Get("X-Changeover-Side") != "modern" {
		t.Errorf("answer %d %q %v", res.StatusCode, body, res.Header)
	}
	f.metric(1, "changeover_bridge_requests_total", "side=modern", "code=502")
	f.metric(1, "changeover_bridge_upstream_failures_total", "plan=so", "side=modern", "reason=connect")
}

func TestASilentBackendIs504ThatNamesTheSide(t *testing.T) {
	release := make(chan struct{})
	modern := backend(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	f := newFixture(t, "http://127.0.0.1:1", modern.URL, proxy.Options{Limits: proxy.Limits{Header: 50 * time.Millisecond}})
	res, body := get(t, f.url)
	if res.StatusCode != 504 || body != "changeover-bridge: the modern side did not answer in time\n" {
		t.Errorf("answer %d %q", res.StatusCode, body)
	}
	f.metric(1, "changeover_bridge_requests_total", "side=modern", "code=504")
	f.metric(1, "changeover_bridge_upstream_failures_total", "side=modern", "reason=timeout")
}

func TestAClientThatLeavesIsNoErrorOfTheSide(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	modern := backend(t, func(_ http.ResponseWriter, r *http.Request) { close(arrived); <-release })
	defer close(release)
	f := newFixture(t, "http://127.0.0.1:1", modern.URL, proxy.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	r, err := http.NewRequestWithContext(ctx, "GET", f.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultTransport.RoundTrip(r); err == nil {
		t.Fatal("the canceled request was answered")
	}
	f.metric(1, "changeover_bridge_requests_total", "side=modern", "code=499")
	f.metric(1, "changeover_bridge_upstream_failures_total", "side=modern", "reason=canceled")
}

func TestABrokenBodyOfAClientIsNoErrorOfTheSide(t *testing.T) {
	modern := backend(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	f := newFixture(t, "http://127.0.0.1:1", modern.URL, proxy.Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nthis is no chunk\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 400 {
		t.Errorf("answer %d, want 400", res.StatusCode)
	}
	f.metric(1, "changeover_bridge_upstream_failures_total", "side=modern", "reason=client")
}

func TestMoreRequestsThanTheLimitAre503(t *testing.T) {
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	modern := backend(t, func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-release })
	f := newFixture(t, modern.URL, modern.URL, proxy.Options{Limits: proxy.Limits{MaxInFlight: 2}},
		bridge.Rule{Match: &plan.Match{Path: "/legacy"}, To: plan.ToLegacy})
	done := make(chan int, 2)
	for range 2 {
		go func() {
			res, err := http.Get(f.url)
			if err != nil {
				done <- 0
				return
			}
			res.Body.Close()
			done <- res.StatusCode
		}()
		<-arrived
	}
	f.metric(2, "changeover_bridge_in_flight_requests", "side=modern")
	res, body := get(t, f.url)
	if res.StatusCode != 503 || !strings.Contains(body, "too many requests are under way to the modern side") {
		t.Errorf("answer %d %q, want 503", res.StatusCode, body)
	}
	close(release)
	if a, b := <-done, <-done; a != 200 || b != 200 {
		t.Errorf("the requests within the limit got %d and %d", a, b)
	}
	f.metric(0, "changeover_bridge_in_flight_requests", "side=modern")
	if res, _ := get(t, f.url); res.StatusCode != 200 {
		t.Errorf("after the others ended: %d, want 200", res.StatusCode)
	}
}

func TestCONNECTIsRefused(t *testing.T) {
	f := newFixture(t, "http://127.0.0.1:1", "http://127.0.0.1:1", proxy.Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 405 {
		t.Errorf("answer %v, error %v, want 405", res, err)
	}
}

func TestAnEncodedSlashStaysBesideABareByte(t *testing.T) {
	var got string
	modern := backend(t, func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI })
	f := newFixture(t, "http://127.0.0.1:1", modern.URL+"/base", proxy.Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /é^%%2fx%%41?y=%%2f HTTP/1.1\r\nHost: example.com\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if want := "/base/%C3%A9%5E%2fx%41?y=%2f"; err != nil || res.StatusCode != 200 || got != want {
		t.Errorf("answer %v, error %v; the backend was asked for %q, want %q", res, err, got, want)
	}
}
