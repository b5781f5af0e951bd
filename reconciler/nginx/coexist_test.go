package nginx_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/nginx"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

// handWritten is a server of somebody who knows nothing of Changeover but its
// includes: names of their own that are near to those of the plan, locations,
// pages of errors, and two logs.
const handWritten = `
	map $http_x_tenant_id $onap_so_side { default legacy; }
	map $uri $side { default mine; }
	split_clients $request_id $split_10 { 10%% a; * b; }
	upstream legacy { server 127.0.0.1:1; }
	upstream onap_so_modern { server 127.0.0.1:1; }
	log_format mine '$side $uri';`

const handWrittenServer = `
	access_log %[2]q mine;
	include %[1]q;
	error_page 404 502 /sorry.html;
	location = /sorry.html { internal; return 200 "sorry"; }
	location = /healthz { access_log off; return 200 "mine"; }
	location /static/ { return 200 "static"; }
	location ~ \.css$ { return 200 "css"; }
	location /own/ { proxy_pass %[3]s; }
	rewrite ^/short$ /old/long last;
	`

// TestAHandWrittenServerKeepsWhatIsItsOwn: its locations answer, its pages are
// shown, and the log tells the side of what the plan's location served alone.
func TestAHandWrittenServerKeepsWhatIsItsOwn(t *testing.T) {
	dir, m := t.TempDir(), newMigration(t)
	own := m.side(t, "own")
	// The format is there once the plan is, so the log is included as the plan is.
	include, ours, theirs := filepath.Join(dir, "log.conf"), filepath.Join(dir, "ours.log"), filepath.Join(dir, "theirs.log")
	s := nginxtest.New(t, nginxtest.Config{Workers: 1, HTTP: strings.ReplaceAll(handWritten, "%%", "%"), Server: fmt.Sprintf(handWrittenServer, include[:len(include)-1]+"[f]", theirs, own.URL)})
	s.Run()
	g := open(t, s)
	apply(t, g, m.Plan, setup)
	if err := os.WriteFile(include, fmt.Appendf(nil, "access_log %q changeover_onap_so;", ours), 0o644); err != nil {
		t.Fatal(err)
	}
	apply(t, g, m.Plan, sunset)
	var want []line
	ask := func(method, path, body string, l line) {
		t.Helper()
		resp, got := do(t, client, method, s.URL+path, http.Header{"X-Tenant-Id": {"secret-tenant"}})
		if got != body {
			t.Errorf("%s %s is answered %q, want %q", method, path, got, body)
		}
		if l != nil {
			l["method"], l["status"] = method, fmt.Sprint(resp.StatusCode)
			want = append(want, l)
		}
	}
	ask("GET", "/a", "modern:", line{"uri": "/a", "rule": "r1", "side": "modern", "upstreamStatus": "200"})
	ask("GET", "/b?token=secret", "modern:", line{"uri": "/b", "rule": "r1", "side": "modern", "upstreamStatus": "200"})
	ask("POST", "/old/x", "gone\n", line{"uri": "/old/x", "rule": "r0", "side": "", "upstreamStatus": ""})
	ask("POST", "/short", "gone\n", line{"uri": "/short", "rule": "r0", "side": "", "upstreamStatus": ""})
	ask("GET", "/static/x", "static", line{"uri": "/static/x", "rule": "", "side": "", "upstreamStatus": ""})
	ask("GET", "/x.css", "css", line{"uri": "/x.css", "rule": "", "side": "", "upstreamStatus": ""})
	ask("GET", "/own/x", "own:", line{"uri": "/own/x", "rule": "", "side": "", "upstreamStatus": "200"})
	ask("GET", "/healthz", "mine", nil)
	raw(t, s.URL, `GET /"},{"side":"x\ HTTP/1.1`)
	want = append(want, line{"method": "GET", "uri": `/"},{"side":"x\`, "rule": "r1", "side": "modern", "status": "200", "upstreamStatus": "200"})
	raw(t, s.URL, "GET /%2e%2e%2fx/..%2f HTTP/1.1")
	m.modern.Close()
	ask("GET", "/down", "sorry", line{"uri": "/down", "rule": "r1", "side": "modern", "upstreamStatus": "502"})
	if d := cmp.Diff(want, logged(t, ours, len(want)+1)); d != "" {
		t.Errorf("logged (-want +got):\n%s", d)
	}
	if raw, err := os.ReadFile(ours); err != nil || strings.Contains(string(raw), "secret") {
		t.Errorf("the log holds what it must not, %v:\n%s", err, raw)
	}
	if raw, err := os.ReadFile(theirs); err != nil || !strings.Contains(string(raw), "mine /static/x\n") {
		t.Errorf("the server's own log: %v\n%s", err, raw)
	}
}

// raw sends the first line of a request as it is, and waits for the answer.
func raw(t *testing.T, url, first string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s\r\nHost: a\r\nConnection: close\r\n\r\n", first)
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
}

// line is what the tests look at of one line of the log.
type line map[string]string

// logged reads n lines, each of which is JSON, without those of 400.
func logged(t *testing.T, file string, n int) (out []line) {
	t.Helper()
	var lines []string
	for deadline := time.Now().Add(10 * time.Second); len(lines) < n && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines = strings.Split(strings.TrimSpace(string(b)), "\n")
	}
	for _, l := range lines {
		all := make(line)
		if err := json.Unmarshal([]byte(l), &all); err != nil {
			t.Fatalf("%v in %s", err, l)
		}
		if all["time"] == "" || all["plan"] != "onap-so" || all["seconds"] == "" || all["requestId"] == "" || (all["upstreamStatus"] == "") != (all["upstreamSeconds"] == "") {
			t.Errorf("incomplete: %s", l)
		}
		if all["status"] == "400" {
			continue
		}
		maps.DeleteFunc(all, func(k, _ string) bool {
			return k != "uri" && k != "rule" && k != "side" && k != "status" && k != "upstreamStatus" && k != "method"
		})
		out = append(out, all)
	}
	return out
}

// TestPlansWithLikeNamesShareAnNGINX, each with a folder and a server block of its
// own: no name of one is one of the other's.
func TestPlansWithLikeNamesShareAnNGINX(t *testing.T) {
	names := []string{"onap-so", "a-very-long-name-of-a-plan-that-is-cut-one", "a-very-long-name-of-a-plan-that-is-cut-two"}
	dir := t.TempDir()
	var conf strings.Builder
	var each []nginx.Options
	for _, name := range names {
		o := nginx.Options{Dir: filepath.Join(dir, name), URL: "http://" + child.FreeAddr(t)}
		if err := os.Mkdir(o.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		in := filepath.Join(o.Dir, "changeover")
		fmt.Fprintf(&conf, "include %q; include %q; server { listen %s; include %q; }\n",
			in+"/*.upstreams.conf", in+"/*.maps.conf", strings.TrimPrefix(o.URL, "http://"), in+"/*.locations.conf")
		each = append(each, o)
	}
	s := nginxtest.New(t, nginxtest.Config{HTTP: conf.String()})
	s.Run()
	m := newMigration(t)
	m.Spec.Override = &plan.Override{Header: "X-Force", From: []string{"127.0.0.0/8"}}
	for i, o := range each {
		p := *m.Plan
		p.Metadata.Name = names[i]
		o.Conf = s.Conf
		apply(t, openWith(t, o), &p, at10)
		for _, side := range []string{"legacy", "modern"} {
			if _, body := do(t, client, "GET", o.URL, http.Header{"X-Force": {side}}); body != side+":" {
				t.Errorf("%s: %q, want %s", names[i], body, side)
			}
		}
	}
}
