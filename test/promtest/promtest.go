package promtest

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/child"
)

// startTimeout is generous: two cores may run many tests at once.
const startTimeout = 60 * time.Second

// Server is a Prometheus process on a port of the loopback interface, with its
// data in a temporary directory. It is stopped when the test ends. Its methods
// are for one goroutine.
type Server struct {
	// URL is http://127.0.0.1:PORT and stays the same over Restart.
	URL string

	t    testing.TB
	addr string
	dir  string
	log  logBuffer
	cmd  *exec.Cmd
	done <-chan struct{} // closed when the process has ended
}

// Start runs a Prometheus with this configuration and returns when it answers
// queries. History is text in the OpenMetrics format, with timestamps, that it
// has from the start. A Prometheus that is not installed fails the test.
func Start(t testing.TB, config string, history ...string) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), addr: child.FreeAddr(t)}
	s.URL = "http://" + s.addr
	s.write("prometheus.yml", config)
	for i, text := range history {
		name := fmt.Sprintf("history-%d.om", i)
		s.write(name, text)
		backfill := exec.Command(tool(t, "promtool"), "tsdb", "create-blocks-from", "openmetrics", s.path(name), s.path("data"))
		if out, err := backfill.CombinedOutput(); err != nil {
			t.Fatalf("backfill history: %v\n%s", err, out)
		}
	}
	t.Cleanup(s.Stop)
	s.run()
	return s
}

// Scrape is a configuration that scrapes these addresses (HOST:PORT, path
// /metrics) as one job. Interval is in the syntax of Prometheus, as in 1s.
func Scrape(interval, job string, targets ...string) string {
	return fmt.Sprintf(`global: {scrape_interval: %s, scrape_timeout: %s}
scrape_configs:
  - job_name: %s
    static_configs: [{targets: ["%s"]}]
`, interval, interval, job, strings.Join(targets, `", "`))
}

// Stop ends the process with SIGTERM, or with SIGKILL if that does not help.
// The data stays for Restart. Stopping twice does nothing.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the process with SIGKILL.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Restart runs it again on the same port and the same data and returns when it
// answers queries. It stops it first where it runs.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.run()
}

// Log is what the process has written.
func (s *Server) Log() string { return s.log.String() }

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) run() {
	s.t.Helper()
	s.cmd = exec.Command(tool(s.t, "prometheus"),
		"--config.file="+s.path("prometheus.yml"),
		"--storage.tsdb.path="+s.path("data"),
		"--storage.tsdb.retention.time=100y",
		"--web.listen-address="+s.addr,
		"--log.level=warn")
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	done, err := child.Start(s.cmd, syscall.SIGKILL)
	if err != nil {
		s.t.Fatalf("start prometheus: %v", err)
	}
	s.done = done
	s.waitReady()
}

func (s *Server) waitReady() {
	s.t.Helper()
	deadline := time.Now().Add(startTimeout)
	client := http.Client{Timeout: time.Second}
	for time.Now().Before(deadline) {
		if resp, err := client.Get(s.URL + "/-/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-s.done:
			s.t.Fatalf("prometheus ended:\n%s", s.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.t.Fatalf("prometheus is not ready after %s:\n%s", startTimeout, s.Log())
}

func (s *Server) end(sig os.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig) // it may have ended by itself
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
}

// tool finds a binary of Prometheus.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("find %s: %v; install the package prometheus", name, err)
	}
	return path
}

// logBuffer takes the output of a process while it is read.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
