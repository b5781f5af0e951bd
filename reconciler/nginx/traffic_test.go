package nginx_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

// pooled keeps connections, for tests of many requests while nothing reloads.
func pooled(t testing.TB) *http.Client {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: client.CheckRedirect, Timeout: client.Timeout}
}

// onModern asks once for each of n tenants, and returns those on modern.
func onModern(t *testing.T, url string, n int) map[int]bool {
	t.Helper()
	c := pooled(t)
	on := make(map[int]bool)
	for i := range n {
		resp, _ := do(t, c, "GET", url, http.Header{"X-Tenant-Id": {fmt.Sprintf("tenant-%d", i)}})
		side := resp.Header.Get("X-Changeover-Side")
		if by := resp.Header.Get("X-Answered-By"); by != side || resp.Header.Get("Got-X-Changeover-Side") != side {
			t.Fatalf("tenant %d: answered by %q, told %q and the backend %q", i, by, side, resp.Header.Get("Got-X-Changeover-Side"))
		}
		if side == string(plan.Modern) {
			on[i] = true
		}
	}
	return on
}

func TestSplitIsStickyMonotoneAndOfTheDeclaredShare(t *testing.T) {
	const callers = 2000
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	apply(t, g, m.Plan, setup)
	last := onModern(t, s.URL, callers)
	if len(last) != 0 {
		t.Errorf("%d callers are on modern before the first stop", len(last))
	}
	for _, p := range percents {
		apply(t, g, m.Plan, plan.Position{Phase: "gradual", Percent: p})
		now := onModern(t, s.URL, callers)
		share := float64(p) / 100
		want, sigma := share*callers, math.Sqrt(callers*share*(1-share))
		t.Logf("%v %%: %d of %d callers on modern", p, len(now), callers)
		if got := float64(len(now)); math.Abs(got-want) > 4*sigma {
			t.Errorf("at %v %% modern has %v of %d callers, want %v within %.0f", p, got, callers, want, 4*sigma)
		}
		for i := range last {
			if !now[i] {
				t.Errorf("tenant %d was on modern and is not any more at %v %%", i, p)
			}
		}
		last = now
	}
	apply(t, g, m.Plan, at25)
	twice, again := onModern(t, s.URL, 500), onModern(t, s.URL, 500)
	if !maps.Equal(twice, again) {
		t.Error("a caller changed sides while nothing was changed")
	}
}

func TestCallersWithoutAKeyAreSplitByRequest(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	apply(t, open(t, s), m.Plan, at25)
	c := pooled(t)
	const requests = 2000
	for name, header := range map[string]http.Header{"no key": {}, "an empty key": {"X-Tenant-Id": {""}}} {
		on := 0
		for range requests {
			resp, _ := do(t, c, "GET", s.URL, header.Clone())
			if resp.Header.Get("X-Changeover-Side") == "modern" {
				on++
			}
		}
		if want := requests / 4; math.Abs(float64(on-want)) > 4*math.Sqrt(requests*0.25*0.75) {
			t.Errorf("%s: %d of %d requests on modern, want about %d", name, on, requests, want)
		}
	}
}

// TestIdentity puts a caller's key where each kind of identity looks for it,
// among much that looks like it.
func TestIdentity(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	for _, c := range []struct {
		name  string
		id    plan.Identity
		path  func(key string) string
		with  func(key, noise string) http.Header
		noise bool // the noise makes no difference
	}{
		{"cookie", plan.Identity{Cookie: "tenant-id"}, nil, func(key, noise string) http.Header {
			return http.Header{"Cookie": {"xtenant-id=" + noise + "; tenant-id=" + key + "; tenant-id=" + noise}}
		}, true},
		{"query", plan.Identity{Query: "tenant.id"}, func(key string) string { return "/?xtenant.id=z&tenantxid=y&tenant.id=" + key + "&a=b" }, nil, true},
		{"header", plan.Identity{Header: "x-tenant"}, nil, func(key, noise string) http.Header {
			return http.Header{"X-Tenant": {key}, "X-Other": {noise}}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := *m.Plan
			p.Spec.Identity = &c.id
			apply(t, g, &p, plan.Position{Phase: "gradual", Percent: 50})
			http1 := pooled(t)
			on := 0
			for i := range 200 {
				key := fmt.Sprintf("k%d", i)
				var sides []string
				for j := range 4 {
					path, header := "/", http.Header{}
					if c.path != nil {
						path = c.path(key)
					}
					if c.with != nil {
						header = c.with(key, fmt.Sprint(j))
					}
					resp, _ := do(t, http1, "GET", s.URL+path, header)
					sides = append(sides, resp.Header.Get("X-Changeover-Side"))
				}
				if strings.Count(strings.Join(sides, " "), sides[0]) != len(sides) {
					t.Fatalf("caller %s was on the sides %v", key, sides)
				}
				if sides[0] == "modern" {
					on++
				}
			}
			if on < 60 || on > 140 {
				t.Errorf("%d of 200 callers on modern at 50 %%", on)
			}
		})
	}
	t.Run("clientIP", func(t *testing.T) {
		p := *m.Plan
		p.Spec.Identity = &plan.Identity{ClientIP: true}
		apply(t, g, &p, plan.Position{Phase: "gradual", Percent: 50})
		sides := make(map[string]bool)
		for range 20 {
			resp, _ := do(t, client, "GET", s.URL, nil)
			sides[resp.Header.Get("X-Changeover-Side")] = true
		}
		if len(sides) != 1 {
			t.Errorf("one address was on the sides %v", sides)
		}
	})
}

func TestProxiedRequestIsWhatTheClientSent(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	apply(t, open(t, s), m.Plan, at100)
	host := strings.TrimPrefix(s.URL, "http://")
	const uri = "/a%2Fb/./c//d/%24x?q=%20&r"
	resp, _ := do(t, client, "GET", s.URL+uri, http.Header{
		"X-Forwarded-For": {"192.0.2.1"}, "X-Changeover-Side": {"legacy"}, "X-Forwarded-Host": {"spoofed"},
	})
	want := map[string]string{
		"Got-Uri": uri, "Got-Host": host, "Got-X-Forwarded-Host": host, "Got-X-Forwarded-For": "192.0.2.1, 127.0.0.1",
		"Got-X-Forwarded-Proto": "http", "Got-X-Real-Ip": "127.0.0.1", "Got-X-Changeover-Side": "modern", "X-Changeover-Side": "modern",
	}
	got := make(map[string]string)
	for name := range want {
		got[name] = strings.Join(resp.Header.Values(name), ", ")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestAPathThatServersReadDifferentlyIsRefused(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	apply(t, open(t, s), m.Plan, at100)
	for target, want := range map[string]int{
		"/old/x%2F..%2f..%2Fnew": 400, "/new/old%2Fx/../y": 400, "/old%2f%2E.": 400, "/%2e%2E%2Fx?y": 400, "/a#b": 400, "/a?b#c": 400, "/..": 400,
		"/old%2F..x/...?a=%2F../": 200, "/old/../x?a=%2F": 200, "/a%2Fb": 200, "/a/%23": 200,
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", target)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if side := resp.Header.Get("X-Changeover-Side"); resp.StatusCode != want || (side == "modern") != (want == 200) {
			t.Errorf("%s is answered %d by side %q, want %d", target, resp.StatusCode, side, want)
		}
		resp.Body.Close()
		conn.Close()
	}
}

func TestSideIsSaidOnErrorsToo(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	apply(t, open(t, s), m.Plan, at100)
	m.modern.Close()
	resp, _ := do(t, client, "GET", s.URL, nil)
	if resp.StatusCode != http.StatusBadGateway || resp.Header.Get("X-Changeover-Side") != "modern" {
		t.Errorf("with modern down: %d from side %q", resp.StatusCode, resp.Header.Get("X-Changeover-Side"))
	}
}

func TestRespond(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	long := strings.Repeat("0123456789\"'\\$\n", 3000)
	for name, want := range map[string]plan.Respond{
		"quotes, dollars and lines": {
			Status: 410,
			Body:   "{\"a\": 'b'} \\ \\n \\\\ $uri ${uri} $$ $ { } ; # é\r\n\ttab\nend\\",
			Headers: map[string]string{
				"Content-Type": `application/json; x="$y"`, "Sunset": "Sat, 01 Aug 2026 00:00:00 GMT",
				"Link": `</deployments>; rel="successor-version"`, "X-Odd": `$remote_addr "q" 'q' \ \\ ; } {` + "\t#",
				"#x": "1", "'x": "2", "$x": "3",
			},
		},
		"no body":         {Status: 410},
		"a long body":     {Status: 503, Body: long, Headers: map[string]string{"Retry-After": "120"}},
		"a redirect":      {Status: 308, Headers: map[string]string{"Location": "/new?$x=\"1\""}},
		"nothing":         {Status: 204, Headers: map[string]string{"X-A": "b"}},
		"like a variable": {Status: 200, Body: "$changeover_onap_so_side"},
		"like a redirect": {Status: 200, Body: "https://example.com/"},
	} {
		t.Run(name, func(t *testing.T) {
			p := *m.Plan
			p.Spec.Phases = []plan.Phase{{Name: "setup", Routes: []plan.Route{
				{Match: &plan.Match{Methods: []string{"POST", "GET"}, PathPrefix: "/old"}, Respond: &want}, {To: plan.ToLegacy},
			}}}
			apply(t, g, &p, setup)
			for _, method := range []string{"GET", "POST"} {
				resp, body := do(t, client, method, s.URL+"/old/x.html?y=1", nil)
				if want.Status != 308 && body != want.Body || resp.StatusCode != want.Status {
					t.Errorf("%s: %d %.200q, want %d %.200q", method, resp.StatusCode, body, want.Status, want.Body)
				}
				for header, value := range want.Headers {
					if got := resp.Header.Values(header); len(got) != 1 || got[0] != value {
						t.Errorf("%s: header %s is %q, want %q", method, header, got, value)
					}
				}
				contentType := want.Headers["Content-Type"]
				if contentType == "" && want.Body != "" {
					contentType = "text/plain; charset=utf-8"
				}
				if got := resp.Header.Get("Content-Type"); got != contentType && want.Status != 308 {
					t.Errorf("content type %q, want %q", got, contentType)
				}
			}
			if _, body := do(t, client, "DELETE", s.URL+"/old", nil); body != "legacy:" {
				t.Errorf("what the route does not match is answered %q", body)
			}
		})
	}
}

func TestEveryStatusIsSentAsItIs(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	p := *m.Plan
	var routes []plan.Route
	for status := 200; status <= 599; status++ {
		r := plan.Respond{Status: status}
		switch status {
		case 444:
			continue
		case 301, 302, 303, 307, 308:
			r.Headers = map[string]string{"Location": "/there"}
		}
		routes = append(routes, plan.Route{Match: &plan.Match{Path: fmt.Sprintf("/%d", status)}, Respond: &r})
	}
	p.Spec.Phases = []plan.Phase{{Name: "setup", Routes: routes}}
	apply(t, g, &p, setup)
	c := pooled(t)
	for _, r := range routes {
		resp, body := do(t, c, "GET", s.URL+r.Match.Path, nil)
		if resp.StatusCode != r.Respond.Status || len(r.Respond.Headers) == 0 && body != "" {
			t.Errorf("%s is answered %d %q", r.Match.Path, resp.StatusCode, body)
		}
	}
}

func TestWebSocketUpgrade(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Connection") != "upgrade" || r.Header.Get("Upgrade") != "websocket" {
			http.Error(w, "no upgrade", http.StatusBadRequest)
			return
		}
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		rw.Flush()
		line, _ := rw.ReadString('\n')
		fmt.Fprint(rw, "echo "+line)
		rw.Flush()
	}))
	defer echo.Close()
	m.Spec.Backends.Legacy.URL = echo.URL
	apply(t, open(t, s), m.Plan, setup)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v, %v", resp, err)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := r.ReadString('\n'); line != "echo hello\n" {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestUpgradeThatWouldPassByTheRulesIsDropped(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	got := make(chan http.Header, 1)
	b := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Clone() }))
	defer b.Close()
	m.Spec.Backends.Legacy.URL = b.URL
	apply(t, open(t, s), m.Plan, setup)
	do(t, client, "GET", s.URL, http.Header{"Connection": {"Upgrade, HTTP2-Settings"}, "Upgrade": {"H2C"}, "Http2-Settings": {"AAMAAABkAAQAoAAAAAIAAAAA"}})
	if h := <-got; h.Get("Upgrade") != "" || strings.EqualFold(h.Get("Connection"), "upgrade") {
		t.Errorf("the backend got %v", h)
	}
}

func TestHTTPSBackendGetsItsName(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	tls := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.TLS.ServerName, r.Host)
	}))
	defer tls.Close()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(tls.URL, "https://"))
	m.Spec.Backends.Modern.URL = "https://localhost:" + port
	g := open(t, s)
	apply(t, g, m.Plan, at100)
	if _, body := do(t, client, "GET", s.URL, nil); body != "localhost "+strings.TrimPrefix(s.URL, "http://") {
		t.Errorf("the backend saw %q", body)
	}
}

// TestPostIsNeverSentTwice: nginx has a connection to the backend left over
// from an earlier request, and the backend drops it after the next one was
// sent. A GET is tried again, a POST may have done its work already.
func TestPostIsNeverSentTwice(t *testing.T) {
	s := nginxtest.New(t, nginxtest.Config{Workers: 1})
	s.Run()
	m := newMigration(t)
	type nth struct{}
	var asked atomic.Int64
	rude := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Context().Value(nth{}).(*atomic.Int64).Add(1) == 1 {
			return
		}
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			conn.Close()
		}
	}))
	rude.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, nth{}, new(atomic.Int64))
	}
	rude.Start()
	defer rude.Close()
	m.Spec.Backends.Legacy.URL = rude.URL
	apply(t, open(t, s), m.Plan, setup)
	for _, c := range []struct {
		method       string
		status, sent int64
	}{{"GET", 200, 1}, {"POST", 502, 1}, {"GET", 200, 1}, {"GET", 200, 2}, {"PATCH", 502, 1}} {
		before := asked.Load()
		resp, _ := do(t, client, c.method, s.URL, nil)
		if sent := asked.Load() - before; int64(resp.StatusCode) != c.status || sent != c.sent {
			t.Errorf("%s: %d, sent %d times; want %d, sent %d times", c.method, resp.StatusCode, sent, c.status, c.sent)
		}
	}
}
