package nginxtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/child"
)

// Bin is the nginx that tests run.
const Bin = "nginx"

// Server is one nginx. Its methods may be called from one goroutine at a time.
type Server struct {
	// URL is where it listens, without a slash at the end.
	URL string
	// Dir is the include folder: Changeover owns Dir/changeover.
	Dir string
	// Conf is the main config file.
	Conf string
	// PIDFile holds the master's process id while it runs.
	PIDFile string
	// ErrorLog is what nginx has to say.
	ErrorLog string
	// Workers is the number of worker processes.
	Workers int

	t      testing.TB
	prefix string
	addr   string
	cmd    *exec.Cmd
	done   <-chan struct{}
}

// Config changes what New writes. The zero value is what Start uses.
type Config struct {
	Workers int    // 4 where zero
	HTTP    string // more directives for the http block
	Server  string // more directives for the server block
}

// Start runs an nginx until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s := New(t, Config{})
	s.Run()
	return s
}

// New writes the config of an nginx without running it. The port stays the
// same over any number of runs.
func New(t testing.TB, c Config) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{
		t: t, prefix: dir, addr: child.FreeAddr(t), Workers: c.Workers,
		Dir: filepath.Join(dir, "include"), Conf: filepath.Join(dir, "nginx.conf"),
		PIDFile: filepath.Join(dir, "nginx.pid"), ErrorLog: filepath.Join(dir, "error.log"),
	}
	if s.Workers == 0 {
		s.Workers = 4
	}
	s.URL = "http://" + s.addr
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Conf, []byte(s.config(c)), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func (s *Server) config(c Config) string {
	user := ""
	if os.Geteuid() == 0 {
		// Workers run as nobody otherwise, who may not enter the test's
		// folder: large answers would be cut off.
		user = "user root;\n"
	}
	in := filepath.Join(s.Dir, "changeover")
	return fmt.Sprintf(`%sworker_processes %d;
pid %q;
error_log %q notice;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path %[5]q;
    proxy_temp_path %[6]q;
    fastcgi_temp_path %[7]q;
    uwsgi_temp_path %[8]q;
    scgi_temp_path %[9]q;
    %[10]s
    include "%[11]s/*.upstreams.conf";
    include "%[11]s/*.maps.conf";
    server {
        listen %[12]s;
        %[13]s
        include "%[11]s/*.locations.conf";
    }
}
`, user, s.Workers, s.PIDFile, s.ErrorLog,
		filepath.Join(s.prefix, "body"), filepath.Join(s.prefix, "proxy"), filepath.Join(s.prefix, "fastcgi"),
		filepath.Join(s.prefix, "uwsgi"), filepath.Join(s.prefix, "scgi"), c.HTTP, in, s.addr, c.Server)
}

// Run starts nginx and returns when it answers. It fails the test where nginx
// is missing or refuses its config.
func (s *Server) Run() {
	s.t.Helper()
	if s.cmd != nil {
		s.t.Fatal("nginx runs already")
	}
	s.cmd = exec.CommandContext(context.WithoutCancel(s.t.Context()), Bin, "-p", s.prefix, "-c", s.Conf, "-g", "daemon off;")
	var out strings.Builder
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	done, err := child.Start(s.cmd, syscall.SIGTERM)
	if err != nil {
		s.cmd = nil
		s.t.Fatalf("start nginx: %v: these tests need nginx 1.22 or newer in the PATH", err)
	}
	s.done = done
	dialer := net.Dialer{Timeout: time.Second}
	deadline := time.Now().Add(10 * time.Second)
	for {
		select {
		case <-done:
			s.cmd = nil
			s.t.Fatalf("nginx ended at once:\n%s%s", out.String(), s.Log())
		case <-time.After(5 * time.Millisecond):
		}
		if c, err := dialer.DialContext(s.t.Context(), "tcp", s.addr); err == nil {
			c.Close()
			if len(s.WorkerPIDs()) >= s.Workers {
				return
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("nginx does not listen on %s:\n%s", s.addr, s.Log())
		}
	}
}

// Stop ends nginx at once and returns when it is gone. It does nothing where
// it does not run.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
}

// Log is the error log.
func (s *Server) Log() string {
	b, _ := os.ReadFile(s.ErrorLog)
	return string(b)
}

// WorkerPIDs lists the children of the master, sorted: the workers, and those
// of before a reload for as long as they live.
func (s *Server) WorkerPIDs() []int {
	if s.cmd == nil {
		return nil
	}
	master := strconv.Itoa(s.cmd.Process.Pid)
	var pids []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// pid (name) state ppid ...; the name may hold anything.
		i := bytes.LastIndexByte(b, ')')
		fields := strings.Fields(string(b[i+1:]))
		if i < 0 || len(fields) < 2 || fields[1] != master {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// Test runs `nginx -t` and returns what it says.
func (s *Server) Test() (string, error) {
	out, err := exec.CommandContext(s.t.Context(), Bin, "-t", "-q", "-p", s.prefix, "-c", s.Conf).CombinedOutput()
	return string(out), err
}
