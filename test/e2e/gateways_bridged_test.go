package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/bridge"
	"github.com/changeover-dev/changeover/reconciler/bridged"
	"github.com/changeover-dev/changeover/reconciler/nginx"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

// bridgedNGINX is a real nginx, the real bridge with a table of owners, and what
// brings either, or both, to a stop.
type bridgedNGINX struct {
	server   *nginxtest.Server
	log      string
	nginx    *wire
	bridge   *wire
	admin    string
	toBridge *bridge.Gateway
	toBoth   *bridged.Gateway
}

func startBridgedNGINX(t *testing.T) *bridgedNGINX {
	t.Helper()
	dir := t.TempDir()
	include := filepath.Join(dir, "log.conf")
	if err := os.WriteFile(include, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s := nginxtest.New(t, nginxtest.Config{Server: fmt.Sprintf("set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For; real_ip_recursive on; include %q;", include)})
	s.Run()
	w := &bridgedNGINX{
		server: s, log: filepath.Join(dir, "access.log"), nginx: &wire{addr: strings.TrimPrefix(s.URL, "http://")},
		bridge: &wire{addr: child.FreeAddr(t)}, admin: "http://" + child.FreeAddr(t),
	}
	config := filepath.Join(dir, "bridge.json")
	startBridge(t, "--config", config, "--listen", w.bridge.addr, "--admin", strings.TrimPrefix(w.admin, "http://"), "--trusted-proxies", "127.0.0.0/8",
		"--ownership", "sqlite://"+filepath.Join(dir, "owners.db"), "--ownership-spool", filepath.Join(dir, "spool"))
	front, err := nginx.New(nginx.Options{Dir: s.Dir, Conf: s.Conf, URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	if w.toBridge, err = bridge.New(bridge.Options{Store: bridge.File(config), Replicas: bridge.URLs{w.admin}}); err != nil {
		t.Fatal(err)
	}
	w.toBoth = bridged.New("nginx", front, w.toBridge)
	return w
}

// startBridge runs a bridge until the test ends.
func startBridge(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "changeover-bridge"), args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	done, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-done
		if t.Failed() {
			t.Logf("the bridge said:\n%s", said.String())
		}
	}))
}

// logSides has nginx log by the plan's format, now that it has one. What nginx
// loads next has it.
func (w *bridgedNGINX) logSides(t *testing.T, p *plan.Plan) {
	t.Helper()
	if _, err := os.Stat(w.log); err == nil {
		return
	}
	include := filepath.Join(filepath.Dir(w.log), "log.conf")
	format := "changeover_" + strings.ReplaceAll(p.Metadata.Name, "-", "_")
	if err := os.WriteFile(include, fmt.Appendf(nil, "access_log %q %s;", w.log, format), 0o644); err != nil {
		t.Fatal(err)
	}
	w.server.Stop()
	w.server.Run()
	w.nginx.close()
}

// logged are the status and the side of each logged request.
func (w *bridgedNGINX) logged(t *testing.T) (out []string) {
	t.Helper()
	text, err := os.ReadFile(w.log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var l struct{ Status, Side string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			return nil // a line is being written
		}
		out = append(out, l.Status+" "+l.Side)
	}
	return out
}

// serve keeps the line that a backend gives for each request.
func (i *inspected) serve(t *testing.T, answer func(http.ResponseWriter, *http.Request) string) string {
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line := answer(w, r)
		i.mu.Lock()
		i.got = append(i.got, line)
		i.mu.Unlock()
	}))
	t.Cleanup(b.Close)
	return b.URL
}
