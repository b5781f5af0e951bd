package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/child"
)

// What is in the URLs of a server: the superuser that initdb makes.
const (
	User     = "changeover"
	Password = "s3cret-of-the-test"
)

// Server is one PostgreSQL. Its methods may be called from one goroutine at a
// time.
type Server struct {
	// Addr is HOST:PORT. It stays the same over any number of runs.
	Addr string

	t        testing.TB
	bin, dir string
	owner    *syscall.Credential
	cmd      *exec.Cmd
	ended    <-chan struct{}
	log      bytes.Buffer
	made     int
	args     []string
}

// Start runs a server until the test ends, with more arguments for postgres: -F
// spares the syncs, and a crash of the process still loses nothing. It fails the
// test where PostgreSQL is missing.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, Addr: child.FreeAddr(t), bin: binaries(t), args: args}
	var err error
	// No folder of the test's own: those are closed to other users.
	if s.dir, err = os.MkdirTemp("", "changeover-postgres-"); err != nil { //nolint:usetesting // see above
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		_ = os.RemoveAll(s.dir) // it is in the temporary folder
	})
	s.becomeAnother()
	secret := filepath.Join(s.dir, "password")
	if err := os.WriteFile(secret, []byte(Password+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	initdb := s.command("initdb", "-D", s.data(), "-U", User, "--pwfile="+secret, "--auth=scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	s.Run()
	return s
}

// binaries is the folder of initdb and postgres: Debian keeps them out of the
// PATH.
func binaries(t testing.TB) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if path, lookErr := exec.LookPath("initdb"); len(found) == 0 && lookErr == nil {
		// Elsewhere they are links in the PATH.
		path, err = filepath.EvalSymlinks(path)
		found = append(found, path)
	}
	if err != nil || len(found) == 0 {
		t.Fatal("these tests need PostgreSQL: run make deps")
	}
	return filepath.Dir(slices.Max(found))
}

// becomeAnother gives the folder to an ordinary user: PostgreSQL refuses to run
// as root.
func (s *Server) becomeAnother() {
	s.t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(s.dir, int(uid), int(gid))); err != nil {
			s.t.Fatal(err)
		}
		s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return
	}
	s.t.Fatal("these tests run as root, and there is no user postgres or nobody for PostgreSQL")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.WithoutCancel(s.t.Context()), filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	return cmd
}

// Run starts the server and returns when it answers.
func (s *Server) Run() {
	s.t.Helper()
	if s.cmd != nil {
		s.t.Fatal("PostgreSQL runs already")
	}
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.log.Reset()
	s.cmd = s.command("postgres", "-D", s.data(), "-h", host, "-p", port, "-k", "")
	s.cmd.Args = append(s.cmd.Args, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if s.ended, err = child.Start(s.cmd, syscall.SIGQUIT); err != nil {
		s.cmd = nil
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if s.command("pg_isready", "-q", "-h", host, "-p", port).Run() == nil {
			return
		}
		select {
		case <-s.ended:
			s.t.Fatalf("PostgreSQL ended at once:\n%s", s.log.String())
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("PostgreSQL does not answer:\n%s", s.log.String())
		}
	}
}

// Stop ends the server as a crash does: connections break, and the next Run
// recovers from the log.
func (s *Server) Stop() {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGQUIT) // it may have ended
	select {
	case <-s.ended:
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	s.cmd = nil
}

// Freeze stops all processes of the server where they are, so that it neither
// answers nor breaks a connection, until the returned func is called.
func (s *Server) Freeze() (thaw func()) {
	s.t.Helper()
	all := s.processes()
	for _, pid := range all {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			s.t.Fatal(err)
		}
	}
	return func() {
		for _, pid := range all {
			_ = syscall.Kill(pid, syscall.SIGCONT) // it may have ended
		}
	}
}

// processes are the server and its children.
func (s *Server) processes() []int {
	s.t.Helper()
	main := s.cmd.Process.Pid
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", main, main))
	if err != nil {
		s.t.Fatal(err)
	}
	all := []int{main}
	for f := range strings.FieldsSeq(string(b)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, pid)
	}
	return all
}

// URL is that of a new, empty database, without the password where bare.
func (s *Server) URL(bare bool) string {
	s.t.Helper()
	s.made++
	name := fmt.Sprintf("db%d", s.made)
	u := url.URL{Scheme: "postgres", User: url.UserPassword(User, Password), Host: s.Addr, Path: "/postgres"}
	create := s.command("psql", "-qX", "-d", u.String(), "-c", "CREATE DATABASE "+name)
	if out, err := create.CombinedOutput(); err != nil {
		s.t.Fatalf("create a database: %v\n%s", err, strings.ReplaceAll(string(out), Password, "..."))
	}
	u.Path = "/" + name
	if bare {
		u.User = url.User(User)
	}
	return u.String()
}
