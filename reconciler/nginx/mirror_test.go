package nginx_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/counts"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

// mirroring is a plan of one stop with these routes, applied.
func mirroring(t testing.TB, s *nginxtest.Server, modern string, routes ...plan.Route) *migration {
	t.Helper()
	m := newMigration(t)
	m.Spec.Backends.Modern.URL = modern
	m.Spec.Phases = []plan.Phase{{Name: "setup", Routes: routes}}
	apply(t, open(t, s), m.Plan, setup)
	return m
}

func route(prefix string, to plan.Dest, m *plan.Mirror) plan.Route {
	return plan.Route{Match: &plan.Match{PathPrefix: prefix}, To: to, Mirror: m}
}

// sent asks, with a body of that text; chunked where it begins so.
func sent(t testing.TB, c *http.Client, method, url, body string, header http.Header) (*http.Response, string) {
	t.Helper()
	var r io.Reader = strings.NewReader(body)
	if strings.HasPrefix(body, "chunked") {
		r = io.MultiReader(r) // of no known length
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, r)
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
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(got)
}

type mirrorCase struct {
	method, uri, body string
	copied            bool
	header            http.Header
}

// checkCopies asks for each and compares what modern got.
func checkCopies(t *testing.T, s *nginxtest.Server, modern *copies, cases []mirrorCase) {
	t.Helper()
	host := strings.TrimPrefix(s.URL, "http://")
	c := pooled(t)
	for _, tc := range cases {
		resp, body := sent(t, c, tc.method, s.URL+tc.uri, tc.body, tc.header)
		if tc.method == "HEAD" {
			body = "legacy:" + tc.body
		}
		if body != "legacy:"+tc.body || resp.Header.Get("X-Answered-By") != "legacy" || resp.Header.Get("X-Changeover-Side") != "legacy" {
			t.Errorf("%s %s is answered %d %.50q by %q", tc.method, tc.uri, resp.StatusCode, body, resp.Header.Get("X-Answered-By"))
		}
		var want []string
		if tc.copied {
			want = []string{fmt.Sprintf("%s %s %s side=modern body=%s <nil>", tc.method, tc.uri, host, short(tc.body))}
		}
		if d := cmp.Diff(want, modern.take(t, len(want))); d != "" {
			t.Errorf("%s %s of %d bytes, copies (-want +got):\n%s", tc.method, tc.uri, len(tc.body), d)
		}
	}
}

func TestACopyIsWhatTheClientSent(t *testing.T) {
	s, modern := nginxtest.Start(t), newCopies(t)
	mirroring(t, s, modern.URL,
		plan.Route{Match: &plan.Match{Methods: []string{"POST", "GET"}, PathPrefix: "/unsafe/"}, To: plan.ToLegacy, Mirror: &plan.Mirror{AllowUnsafe: "why"}},
		route("/safe/", plan.ToLegacy, &plan.Mirror{}), plan.Route{To: plan.ToLegacy})
	checkCopies(t, s, modern, []mirrorCase{
		{method: "GET", uri: "/safe/a%2Fb/./c//d/%24x?q=%20&r", copied: true},
		{method: "GET", uri: "/safe/?", copied: true},
		{method: "HEAD", uri: "/safe/x", copied: true},
		{method: "OPTIONS", uri: "/safe/x", copied: true},
		{method: "GET", uri: "/safe/x", body: "query", copied: true},
		{method: "POST", uri: "/safe/x", body: "b"},
		{method: "DELETE", uri: "/safe/x"},
		{method: "PROPFIND", uri: "/safe/x"},
		{method: "GET", uri: "/safe/ws", header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}},
		{method: "POST", uri: "/unsafe/x?y", body: "text", copied: true},
		{method: "POST", uri: "/unsafe/x", body: "chunked text", copied: true},
		{method: "POST", uri: "/unsafe/x", body: strings.Repeat("0123456789abcdef", 16<<10), copied: true},
		{method: "POST", uri: "/unsafe/x", body: strings.Repeat("0123456789abcdef", 16<<10) + "x"},
		{method: "POST", uri: "/unsafe/x", body: "chunked" + strings.Repeat("x", 256<<10)},
		{method: "GET", uri: "/unsafe/x", copied: true},
		{method: "PUT", uri: "/unsafe/x", body: "not of the rule"},
		{method: "GET", uri: "/else"},
	})
	for _, path := range []string{"/_changeover/onap-so/mirror", "/_changeover/onap-so/mirror/modern"} {
		if resp, _ := do(t, client, "GET", s.URL+path, nil); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s is answered %d from outside", path, resp.StatusCode)
		}
	}
	if got := modern.take(t, 0); got != nil {
		t.Errorf("copies %q of what was refused", got)
	}
}

func TestWithoutUnsafeCopiesNoBodyIsReadForThem(t *testing.T) {
	s, modern := nginxtest.Start(t), newCopies(t)
	mirroring(t, s, modern.URL, plan.Route{To: plan.ToLegacy, Mirror: &plan.Mirror{}})
	checkCopies(t, s, modern, []mirrorCase{
		{method: "GET", uri: "/x", copied: true},
		{method: "GET", uri: "/x", copied: true, header: http.Header{"Upgrade": {"h2c"}}},
		{method: "GET", uri: "/x", body: "text"},
		{method: "GET", uri: "/x", body: "chunked text"},
		{method: "POST", uri: "/x", body: strings.Repeat("x", 300_000)},
	})
	if strings.Contains(s.Log(), "too large body") {
		t.Errorf("nginx complains of bodies that are not copied:\n%s", s.Log())
	}
}

func TestCopiesAreOfTheDeclaredShare(t *testing.T) {
	requests := counts.Of(3000, 1000)
	s, modern := nginxtest.Start(t), newCopies(t)
	half, share := plan.Percent(50), plan.Percent(7.5)
	mirroring(t, s, modern.URL, route("/ten", plan.ToLegacy, &plan.Mirror{Percent: &share}),
		// Callers without a key: their side is drawn by the request's id, as the copy is.
		plan.Route{Match: &plan.Match{PathPrefix: "/split"}, To: plan.ToSplit, Percent: &half, Mirror: &plan.Mirror{Percent: &half}})
	c := pooled(t)
	check := func(what string, got, of int, share float64) {
		t.Helper()
		sigma := math.Sqrt(float64(of) * share * (1 - share))
		t.Logf("%s: %d copies of %d requests", what, got, of)
		if math.Abs(float64(got)-float64(of)*share) > 5*sigma {
			t.Errorf("%s: %d of %d requests are copied, want %v within %.0f", what, got, of, float64(of)*share, 5*sigma)
		}
	}
	for range requests {
		do(t, c, "GET", s.URL+"/ten", nil)
	}
	check("7.5 %", len(modern.take(t, 0)), requests, 0.075)
	legacy := make(map[string]bool)
	for i := range requests {
		path := fmt.Sprintf("/split/%d", i)
		resp, _ := do(t, c, "GET", s.URL+path, nil)
		legacy[path] = resp.Header.Get("X-Changeover-Side") == "legacy"
	}
	ofModern, ofLegacy, copied := 0, 0, 0
	for _, l := range legacy {
		if l {
			ofLegacy++
		}
	}
	for _, line := range modern.take(t, requests-ofLegacy) {
		if legacy[strings.Fields(line)[1]] {
			copied++
		} else {
			ofModern++
		}
	}
	if want := requests - ofLegacy; ofModern != want {
		t.Errorf("modern got %d requests of its side, want each of the %d once", ofModern, want)
	}
	check("50 % of the part of a split that goes to legacy", copied, ofLegacy, 0.5)
}

// TestABadModernFailsNoRequest measures, interleaved, requests with copies and
// without, each over one connection that is kept and over fresh ones.
func TestABadModernFailsNoRequest(t *testing.T) {
	const slack = 250 * time.Millisecond // of a machine that is busy
	for _, bad := range badModerns {
		t.Run(bad.name, func(t *testing.T) {
			s := nginxtest.Start(t)
			mirroring(t, s, bad.url(t), route("/copied", plan.ToLegacy, &plan.Mirror{AllowUnsafe: "why"}), plan.Route{To: plan.ToLegacy})
			took := make(map[string][]time.Duration)
			keptCopied, keptPlain := pooled(t), pooled(t)
			for range bad.n {
				for _, k := range []struct {
					kind, path string
					c          *http.Client
				}{{"kept, copied", "/copied", keptCopied}, {"kept", "/", keptPlain}, {"fresh, copied", "/copied", client}, {"fresh", "/", client}} {
					start := time.Now()
					resp, body := sent(t, k.c, "POST", s.URL+k.path, "text", nil)
					took[k.kind] = append(took[k.kind], time.Since(start))
					if body != "legacy:text" || resp.StatusCode != http.StatusOK || resp.Header.Get("X-Changeover-Side") != "legacy" {
						t.Fatalf("%s is answered %d %.50q", k.path, resp.StatusCode, body)
					}
				}
			}
			for kind, d := range took {
				slices.Sort(d)
				t.Logf("%-14s p50 %v, p99 %v", kind, d[len(d)/2], d[len(d)*99/100])
				limit := slack
				if kind == "kept, copied" {
					limit += bad.wait
				}
				// How long it takes is judged by the full counts alone, and of all but a tenth, as other work stops this machine at times.
				if longest := d[len(d)*9/10]; counts.Full() && longest > limit {
					t.Errorf("%s: requests took %v, want at most %v", kind, longest, limit)
				}
			}
		})
	}
}

// TestCopiesKeepClearOfTheServersSettings: those could send a failed copy to
// another backend, answer one from a cache, keep its answer for callers, or
// count it as a request.
func TestCopiesKeepClearOfTheServersSettings(t *testing.T) {
	rescue, modern := newCopies(t), newCopies(t)
	dir := t.TempDir()
	log := filepath.Join(dir, "access.log")
	s := nginxtest.New(t, nginxtest.Config{
		HTTP: fmt.Sprintf("proxy_cache_path %q keys_zone=z:1m;", filepath.Join(dir, "cache")),
		Server: fmt.Sprintf(`error_page 413 500 502 503 504 = @rescue; proxy_intercept_errors on; access_log %q; log_subrequest on;
			proxy_cache z; proxy_cache_key $request_uri; proxy_cache_valid 200 1m; proxy_next_upstream error timeout http_502 non_idempotent;
			location @rescue { access_log off; proxy_pass %s; }`, log, rescue.URL),
	})
	s.Run()
	routes := []plan.Route{{To: plan.ToLegacy, Mirror: &plan.Mirror{AllowUnsafe: "why"}}}
	mirroring(t, s, modern.URL, routes...)
	base, _ := os.ReadFile(log)
	for range 3 {
		if _, body := do(t, client, "GET", s.URL+"/cached", nil); body != "legacy:" {
			t.Errorf("a caller is answered %.20q", body)
		}
		if got := modern.take(t, 1); len(got) != 1 {
			t.Errorf("copies %q, want one", got)
		}
	}
	all, err := os.ReadFile(log)
	if lines := strings.Count(string(all[len(base):]), "/cached"); err != nil || lines != 3 {
		t.Errorf("3 requests are logged as %d: %v", lines, err)
	}
	for _, bad := range []string{says("")(t), says("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")(t)} {
		mirroring(t, s, bad, routes...)
		sent(t, client, "POST", s.URL+"/x", "text", nil)
		sent(t, client, "POST", s.URL+"/x", strings.Repeat("x", 300_000), nil)
	}
	if got := rescue.take(t, 0); got != nil {
		t.Errorf("failed copies were sent elsewhere: %q", got)
	}
}

// TestACopyIsNeverSentTwice, whatever the server block says of errors: not after
// an answer that nginx itself has a page for, and not where modern closes a kept
// connection under it.
func TestACopyIsNeverSentTwice(t *testing.T) {
	s := nginxtest.New(t, nginxtest.Config{Workers: 1, Server: "proxy_intercept_errors on; proxy_next_upstream error timeout non_idempotent;"})
	s.Run()
	asked := map[string]*atomic.Int64{"/599": {}, "/": {}} // the last copy of one path may come in the time of the next
	modern := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n := asked[r.URL.Path].Add(1); {
		case r.URL.Path == "/599":
			w.WriteHeader(599)
		case n > 1:
			panic(http.ErrAbortHandler)
		}
	}))
	defer modern.Close()
	mirroring(t, s, modern.URL, plan.Route{To: plan.ToLegacy, Mirror: &plan.Mirror{AllowUnsafe: "why"}})
	const requests = 3
	for _, path := range []string{"/599", "/"} {
		c := pooled(t)
		for range requests { // each waits for the copy before it
			sent(t, c, "POST", s.URL+path, "x", nil)
		}
	}
	for path, n := range asked {
		for deadline := time.Now().Add(10 * time.Second); n.Load() < requests && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(300 * time.Millisecond) // a second copy of the last would be on its way
		if got := n.Load(); got != requests {
			t.Errorf("%s: %d requests have %d copies", path, requests, got)
		}
	}
}

// TestACopyHoldsUpNoOtherRequestOfHTTP2 asks over one connection, one request
// after the other.
func TestACopyHoldsUpNoOtherRequestOfHTTP2(t *testing.T) {
	addr := child.FreeAddr(t)
	s := nginxtest.New(t, nginxtest.Config{Server: "listen " + addr + " http2;"})
	s.Run()
	var connections, copied atomic.Int64
	modern := answering(func(c net.Conn) {
		copied.Add(1)
		_, _ = io.Copy(io.Discard, c)
		c.Close()
	})(t)
	mirroring(t, s, modern, plan.Route{To: plan.ToLegacy, Mirror: &plan.Mirror{AllowUnsafe: "why"}})
	tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		connections.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	c, start := &http.Client{Transport: tr, Timeout: client.Timeout}, time.Now()
	const requests = 10
	for range requests {
		if resp, body := sent(t, c, "POST", "http://"+addr, "text", nil); body != "legacy:text" || resp.ProtoMajor != 2 {
			t.Fatalf("answered %.20q by %s", body, resp.Proto)
		}
	}
	took := time.Since(start)
	t.Logf("%d requests took %v", requests, took)
	if took > time.Second || connections.Load() != 1 { // one after the other they were three seconds
		t.Errorf("%d requests took %v over %d connections", requests, took, connections.Load())
	}
	for deadline := time.Now().Add(5 * time.Second); copied.Load() < requests; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests have %d copies", requests, copied.Load())
		}
	}
}
