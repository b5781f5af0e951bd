package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/cluster/components"
)

// asParent makes this binary start a cluster, tell of it and wait to be killed.
const asParent = "CHANGEOVER_TEST_CLUSTER_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(asParent) == "" {
		os.Exit(m.Run())
	}
	c, err := New(context.Background(), Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(c.Dir)
	for _, p := range c.processes() {
		fmt.Println(p.cmd.Process.Pid)
	}
	fmt.Println("end")
	select {}
}

func TestAKilledTestLeavesNoProcess(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asParent+"=1")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var lines []string
	for s := bufio.NewScanner(out); s.Scan() && s.Text() != "end"; {
		lines = append(lines, s.Text())
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	if len(lines) != 6 {
		t.Fatalf("want a folder and five processes, got:\n%s", strings.Join(lines, "\n"))
	}
	t.Cleanup(func() { os.RemoveAll(lines[0]) })
	for _, l := range lines[1:] {
		pid, err := strconv.Atoi(l)
		must(t, err)
		t.Cleanup(func() {
			if t.Failed() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		})
		eventually(t, "process "+l+" is gone", func() bool { return gone(pid) })
	}
}

// gone reports whether a process has ended; one that nobody has waited for yet
// has.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// inner is a test within a test.
type inner struct {
	testing.TB
	failed   bool
	said     strings.Builder
	cleanups []func()
}

func (i *inner) Helper()                      {}
func (i *inner) Failed() bool                 { return i.failed }
func (i *inner) Cleanup(f func())             { i.cleanups = append(i.cleanups, f) }
func (i *inner) Logf(format string, a ...any) { fmt.Fprintf(&i.said, format+"\n", a...) }

func (i *inner) Errorf(format string, a ...any) {
	i.failed = true
	i.Logf(format, a...)
}

func (i *inner) Fatal(a ...any) {
	i.Errorf("%v", a)
	runtime.Goexit()
}

func (i *inner) run(test func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, f := range slices.Backward(i.cleanups) {
				f()
			}
		}()
		test()
	}()
	<-done
}

func TestALostProgramFailsTheTestAndItsLogsAreKept(t *testing.T) {
	t.Parallel()
	in := &inner{TB: t}
	var c *Cluster
	in.run(func() {
		c = Start(in, Options{})
		must(t, c.etcd.cmd.Process.Kill())
		eventually(t, "its end is seen", func() bool { return c.Ended() != nil })
	})
	said := in.said.String()
	if c == nil {
		t.Fatalf("it did not start:\n%s", said)
	}
	t.Cleanup(func() { os.RemoveAll(c.Dir) })
	if !in.failed || !strings.Contains(said, "etcd ended by itself: signal: killed") || !strings.Contains(said, "--- kube-apiserver, the last errors in kube-apiserver.log") {
		t.Errorf("failed: %v, said:\n%s", in.failed, said)
	}
	kept, err := os.ReadDir(c.Dir)
	must(t, err)
	var names []string
	for _, e := range kept {
		names = append(names, e.Name())
	}
	if want := []string{"etcd.log", "kube-apiserver.log", "kube-controller-manager.log", "kube-scheduler.log", "kwok.log"}; !slices.Equal(names, want) {
		t.Errorf("kept %v, want %v", names, want)
	}
	if !strings.Contains(said, c.Dir) {
		t.Errorf("it does not say where the logs are:\n%s", said)
	}
}

func TestAProgramThatCannotStartIsToldWithItsLog(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	start := time.Now()
	_, err := New(t.Context(), Options{APIServerArgs: []string{"--no-such-flag"}})
	if err == nil || !strings.Contains(err.Error(), "kube-apiserver ended by itself: exit status 1") || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > time.Minute {
		t.Errorf("it took %s to see that the program had ended", d)
	}
	left, globErr := filepath.Glob(filepath.Join(os.TempDir(), "*", "*"))
	must(t, globErr)
	if len(left) != 2 || filepath.Base(left[0]) != "etcd.log" || filepath.Base(left[1]) != "kube-apiserver.log" {
		t.Errorf("it left %v, want the logs of what was started", left)
	}
	if dir := filepath.Dir(left[0]); !strings.Contains(err.Error(), dir) {
		t.Errorf("it does not name %s, where the logs are: %v", dir, err)
	}
}

func TestAStartThatIsCalledOffLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	if _, err := New(ctx, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "*")); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

func TestTheStartIsBounded(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	_, err := New(t.Context(), Options{Timeout: 200 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "wait for the API server") {
		t.Errorf("got %v", err)
	}
}

func TestAMissingComponentFailsTheTestWithTheCommandThatBuildsIt(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("KUBEBUILDER_ASSETS", "")
	in := &inner{TB: t}
	in.run(func() { Start(in, Options{GatewayAPI: Standard}) })
	said := in.said.String()
	if !in.failed || strings.Count(said, "make components") != 7 || !strings.Contains(said, "find etcd v3.6.8: missing component") {
		t.Errorf("failed: %v, said:\n%s", in.failed, said)
	}
	if _, err := New(t.Context(), Options{}); !errors.Is(err, components.ErrMissing) {
		t.Errorf("got %v", err)
	}
}

func TestAChannelThatDoesNotExistIsRefused(t *testing.T) {
	if _, err := New(t.Context(), Options{GatewayAPI: "beta"}); err == nil || !strings.Contains(err.Error(), `got "beta"`) {
		t.Errorf("got %v", err)
	}
}

func TestAHeldPortIsForProgramsOfTheClusterAlone(t *testing.T) {
	p, err := holdPort()
	must(t, err)
	defer p.release()
	if c, err := net.Dial("tcp", p.address()); err == nil {
		c.Close()
		t.Error("something answers on a port that is only held")
	}
	if l, err := net.Listen("tcp", p.address()); err == nil {
		l.Close()
		t.Error("another listener got the port")
	}
	shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var set error
		err := c.Control(func(fd uintptr) { set = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1) })
		return errors.Join(err, set)
	}}
	for range 2 { // as an API server that is stopped and started
		l, err := shared.Listen(t.Context(), "tcp", p.address())
		must(t, err)
		for range 20 { // all come to the listener, none to the holder
			c, err := net.Dial("tcp", p.address())
			must(t, err)
			served, err := l.Accept()
			must(t, err)
			served.Close()
			c.Close()
		}
		l.Close()
	}
}
