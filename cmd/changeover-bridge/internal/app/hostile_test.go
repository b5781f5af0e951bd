package app

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// witness is a backend that writes down every request as it came over the wire.
type witness struct {
	url string
	mu  sync.Mutex
	got []*http.Request
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	w := &witness{url: "http://" + l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.serve(c)
		}
	}()
	return w
}

func (w *witness) serve(c net.Conn) {
	defer c.Close()
	for in := bufio.NewReader(c); ; {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.mu.Lock()
		w.got = append(w.got, r)
		w.mu.Unlock()
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
}

// take returns what came since the last call.
func (w *witness) take() []*http.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.got
	w.got = nil
	return got
}

// say sends bytes as they are, and returns the statuses of what comes back until
// the bridge closes or has nothing more to say.
func say(t *testing.T, addr, text string) (statuses []int) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, text) // the bridge may close first
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	for in := bufio.NewReader(c); ; {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return statuses
		}
		_, _ = io.Copy(io.Discard, res.Body)
		statuses = append(statuses, res.StatusCode)
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)) // for what was smuggled
	}
}

const forged = "X-Changeover-Side: modern\r\n"

// hostile requests, and the status of the first answer; 0: any that is not a
// success, or none at all. A backend never sees a path below /admin, and never a
// side or an address that a caller has made up, whatever the answer is.
var hostile = map[string]struct {
	text   string
	status int
}{
	"both lengths":                {"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: h\r\n\r\n", 200},
	"two lengths":                 {"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 44\r\n\r\nhelloGET /admin HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"a length with a sign":        {"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello", 400},
	"another coding":              {"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
	"two codings":                 {"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501},
	"chunked for HTTP/1.0":        {"POST /a HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: h\r\n\r\n", 200},
	"a chunk that is no number":   {"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", 0},
	"a chunk with a bare LF":      {"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", 0},
	"a chunk extension":           {"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x=\"\r\nhello\r\n0\r\n\r\n", 200},
	"a folded header":             {"GET /a HTTP/1.1\r\nHost: h\r\nX-A: b\r\n " + forged + "\r\n", 200},
	"a space before the colon":    {"GET /a HTTP/1.1\r\nHost: h\r\nX-Changeover-Side : modern\r\n\r\n", 400},
	"a name that is none":         {"GET /a HTTP/1.1\r\nHost: h\r\nX[Y]: modern\r\n\r\n", 400},
	"a NUL in a header":           {"GET /a HTTP/1.1\r\nHost: h\r\nX-A: a\x00b\r\n\r\n", 400},
	"a CR in a header":            {"GET /a HTTP/1.1\r\nHost: h\r\nX-A: a\rX-Changeover-Side: modern\r\n\r\n", 400},
	"two hosts":                   {"GET /a HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", 400},
	"no host":                     {"GET /a HTTP/1.1\r\n\r\n", 400},
	"a version that is none":      {"GET /a HTTP/1.9 HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	"oversized headers":           {"GET /a HTTP/1.1\r\nHost: h\r\nX-A: " + strings.Repeat("a", 200<<10) + "\r\n\r\n", 431},
	"very many headers":           {"GET /a HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X-A: b\r\n", 40_000) + "\r\n", 431},
	"an oversized path":           {"GET /" + strings.Repeat("a", 200<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n", 431},
	"a forged side":               {"GET /a HTTP/1.1\r\nHost: h\r\n" + forged + "\r\n", 200},
	"a side taken out as a hop":   {"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close, X-Changeover-Side, X-Forwarded-For\r\n" + forged + "\r\n", 200},
	"a side with underscores":     {"GET /a HTTP/1.1\r\nHost: h\r\nX_Changeover_Side: modern\r\n\r\n", 200},
	"a forged address":            {"GET /a HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.9.8.7\r\nForwarded: for=10.9.8.7\r\nX-Real-IP: 10.9.8.7\r\n\r\n", 200},
	"an address by underscores":   {"GET /a HTTP/1.1\r\nHost: h\r\nX_Forwarded_For: 10.9.8.7\r\nX_Real_IP: 10.9.8.7\r\n\r\n", 200},
	"h2c within the connection":   {"GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", 200},
	"a slash escaped once":        {"GET /%61dmin HTTP/1.1\r\nHost: h\r\n\r\n", 403},
	"dots escaped":                {"GET /x/%2e%2e/admin HTTP/1.1\r\nHost: h\r\n\r\n", 403},
	"slashes":                     {"GET //admin HTTP/1.1\r\nHost: h\r\n\r\n", 403},
	"a dot":                       {"GET /./admin HTTP/1.1\r\nHost: h\r\n\r\n", 403},
	"dots and an escaped slash":   {"GET /x%2f../admin HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"above the root":              {"GET /../admin HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"a NUL in the path":           {"GET /a%00/../admin HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"a fragment":                  {"GET /a#/../admin HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"an absolute form":            {"GET http://other/admin HTTP/1.1\r\nHost: h\r\n\r\n", 403},
	"another method":              {"get /admin HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	"TRACE":                       {"TRACE /a HTTP/1.1\r\nHost: h\r\n\r\n", 405},
	"CONNECT":                     {"CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n", 405},
	"the bridge's own, forwarded": {"GET /_changeover/so/version HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n", 404},
}

func TestHostileRequestsNeverCount(t *testing.T) {
	legacy, modern := newWitness(t), newWitness(t)
	p := planOf(legacy.url, modern.url, 0)
	p.Spec.Phases[0].Routes = []plan.Route{
		{Match: &plan.Match{PathPrefix: "/admin"}, Respond: &plan.Respond{Status: 403}}, {To: plan.ToLegacy},
	}
	file := filepath.Join(t.TempDir(), "bridge.json")
	write(t, file, render(t, p, 25))
	addr := strings.TrimPrefix(start(t, "--config", file).traffic, "http://")
	for name, c := range hostile {
		t.Run(name, func(t *testing.T) {
			statuses := append(say(t, addr, c.text), 0)
			if first := statuses[0]; first != c.status && (c.status != 0 || first >= 200 && first < 300) {
				t.Errorf("it is answered by %v, want %d", statuses, c.status)
			}
			for _, r := range legacy.take() {
				if strings.Contains(r.URL.Path, "admin") {
					t.Errorf("the backend got %s %s", r.Method, r.URL)
				}
				if side := r.Header[bridge.HeaderSide]; len(side) != 1 || side[0] != string(plan.Legacy) {
					t.Errorf("the backend was told the side %q", side)
				}
				for n, values := range r.Header {
					if strings.Contains(strings.Join(values, ","), "10.9.8.7") || strings.Contains(n, "_") && strings.Contains(strings.ToLower(n), "side") {
						t.Errorf("the backend was told %s: %q", n, values)
					}
				}
				if up := r.Header.Get("Upgrade"); up != "" {
					t.Errorf("the backend was asked to upgrade to %q", up)
				}
			}
			if n := len(modern.take()); n > 0 {
				t.Errorf("modern got %d requests", n)
			}
		})
	}
}

// Callers that send slowly, or nothing, keep no others from being served.
func TestSlowCallersHoldUpNobody(t *testing.T) {
	legacy, modern := sides(t)
	file := filepath.Join(t.TempDir(), "bridge.json")
	write(t, file, render(t, planOf(legacy, modern, 0), 25))
	p := start(t, "--config", file, "--read-header-timeout", "3s")
	addr := strings.TrimPrefix(p.traffic, "http://")
	var slow []net.Conn
	for i := range 60 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		text := []string{"", "GET /x HT", "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\na"}[i%3]
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if i%3 < 2 {
			slow = append(slow, c)
		}
	}
	for range 20 {
		if code, _, _ := fetch(t, p.traffic+"/x"); code != 200 {
			t.Errorf("another caller is answered by %d", code)
		}
	}
	for _, c := range slow {
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("a caller that sends no headers is kept: %v", err)
		}
	}
}
