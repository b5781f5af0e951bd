package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// answer is what a gateway made of a request.
type answer struct {
	status     int
	side, body string
	target     string            // that the backend saw
	force      string            // as well: what must not reach it
	rewritten  string            // host and headers that it saw
	headers    map[string]string // of an answer by a rule
}

func (a answer) kind() string {
	switch {
	case a.side != "":
		return a.side
	case a.headers["X-Rule"] != "":
		return "respond"
	}
	return "refused"
}

// wire is a connection to a gateway that is kept where it can be.
type wire struct {
	addr string
	conn net.Conn
	in   *bufio.Reader
}

func (w *wire) close() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

func (w *wire) ask(t *testing.T, r request) answer {
	t.Helper()
	if w.conn == nil {
		conn, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		w.conn, w.in = conn, bufio.NewReader(conn)
	}
	_ = w.conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(w.conn, r.raw()); err != nil {
		t.Fatalf("send %.300q: %v", r.raw(), err)
	}
	resp, err := http.ReadResponse(w.in, &http.Request{Method: r.method})
	if err != nil {
		t.Fatalf("read the answer to %.300q: %v", r.raw(), err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read the body of the answer to %.300q: %v", r.raw(), err)
	}
	_ = resp.Body.Close()
	if resp.Close {
		w.close()
	}
	a := answer{status: resp.StatusCode, side: resp.Header.Get("X-Changeover-Side"), body: string(body), headers: map[string]string{}}
	a.rewritten = resp.Header.Get("X-Got-Headers")
	a.force = resp.Header.Get("X-Got-Force")
	a.target = escaped(resp.Header.Get("X-Got-Target"))
	for _, name := range []string{"X-Rule", "Content-Type", "Location", "Sunset", "Deprecation", "Link", "X-Why"} {
		page := name == "Content-Type" && a.status >= 300 && a.status < 400 // which nginx adds
		if a.side == "" && !page && resp.Header.Values(name) != nil {
			a.headers[name] = strings.Join(resp.Header.Values(name), "|")
		}
	}
	return a
}

// escaped is a target with what no URL may hold escaped, as the bridge sends
// it. nginx passes it on as it is.
func escaped(target string) string {
	path, query, more := strings.Cut(target, "?")
	var b strings.Builder
	for i := range len(path) {
		if c := path[i]; c > '~' || strings.IndexByte(`"<>\^`+"`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	if more {
		b.WriteString("?" + query)
	}
	return b.String()
}

// decoded is a target as it means the same: escapes of characters that mean
// themselves undone, others in upper case.
func decoded(target string) string {
	path, query, more := strings.Cut(target, "?")
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) {
			b.WriteByte(path[i])
			continue
		}
		switch c, err := strconv.ParseUint(path[i+1:i+3], 16, 8); {
		case err == nil && (c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("-._~", byte(c)) >= 0):
			b.WriteByte(byte(c))
		default:
			b.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	if more {
		b.WriteString("?" + query)
	}
	return b.String()
}

// The requests that nginx refuses where a route replaces the beginning of a path,
// and the bridge does not: what the README says of them.
var (
	uncleanPath    = regexp.MustCompile(`(?i)^[^?]*(?:/|%2f)(?:/|%2f|(?:\.|%2e){1,2}(?:[/?]|%2f|$))`)
	reservedEscape = regexp.MustCompile(`(?i)^[^?]*%(?:2[1467-9abcf]|3[abd]|40|5[bd])`)
)

func (r request) nginxMayRefuse(p *plan.Plan) bool {
	return uncleanPath.MatchString(r.target) && reservedEscape.MatchString(r.target) && slices.ContainsFunc(p.Spec.Phases[0].Routes, func(r plan.Route) bool {
		return r.Rewrite != nil && r.Rewrite.Path != "" && r.Match.PathPrefix != ""
	})
}
