package nginx_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/test/nginxtest"
)

// rawStatus sends bytes as they are, and returns the status of the answer and its side.
func rawStatus(t *testing.T, url, text string) (int, string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = fmt.Fprint(conn, text) // nginx may close before it has read all
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%.60q: %v", text, err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("X-Changeover-Side")
}

// TestParametersInAPathAreRefused: a Tomcat takes /a/..;/b for /b.
func TestParametersInAPathAreRefused(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	apply(t, open(t, s), m.Plan, at100)
	for target, want := range map[string]int{
		"/a/..;/b": 400, "/a/..;x=1/b": 400, "/a;/b": 400, "/;": 400, "/a/.;/b": 400, "/a/%2e%2e;/b": 400, "/a/..%3b/b": 400, "/a/.%2E%3Bx/b": 400, "/a%2f..%3b/b": 400,
		"/a?b;c": 200, "/a%3Bb": 200, "/a..%3bb": 200, "/a?/..;/b": 200,
	} {
		if got, side := rawStatus(t, s.URL, "GET "+target+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); got != want || (side == "modern") != (want == 200) {
			t.Errorf("%s is answered %d by side %q, want %d", target, got, side, want)
		}
	}
}

// TestOversizedHeadersArePassedToNobody, with the limits that nginx has by itself.
func TestOversizedHeadersArePassedToNobody(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	apply(t, open(t, s), m.Plan, at100)
	before := m.asked.Load()
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"a header":     {"GET /a HTTP/1.1\r\nHost: a\r\nX-Tenant-ID: " + strings.Repeat("a", 40<<10) + "\r\n\r\n", 400},
		"many headers": {"GET /a HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-A: "+strings.Repeat("b", 1000)+"\r\n", 60) + "\r\n", 400},
		"a cookie":     {"GET /a HTTP/1.1\r\nHost: a\r\nCookie: " + strings.Repeat("a=b; ", 8<<10) + "\r\n\r\n", 400},
		"a path":       {"GET /" + strings.Repeat("a", 40<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		"a query":      {"GET /?" + strings.Repeat("a", 40<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
	} {
		if got, side := rawStatus(t, s.URL, c.text); got != c.want || side != "" {
			t.Errorf("%s: answered %d by side %q, want %d by none", name, got, side, c.want)
		}
	}
	if n := m.asked.Load() - before; n > 0 {
		t.Errorf("%d of them reached a backend", n)
	}
	if got, side := rawStatus(t, s.URL, "GET /a HTTP/1.1\r\nHost: a\r\nX-A: "+strings.Repeat("a", 4<<10)+"\r\nConnection: close\r\n\r\n"); got != 200 || side != "modern" {
		t.Errorf("a large header that nginx takes: answered %d by side %q", got, side)
	}
}
