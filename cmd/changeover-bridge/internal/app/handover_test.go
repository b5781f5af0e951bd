package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// awaitLine is the newest line of the log with that message, once there are n.
func (p *process) awaitLine(msg string, n int) (pid int) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		found := 0
		for line := range strings.SplitSeq(p.log(), "\n") {
			var l struct {
				Msg     string
				PID, To int
			}
			if json.Unmarshal([]byte(line), &l) == nil && l.Msg == msg {
				found++
				pid = max(l.PID, l.To)
			}
		}
		if found >= n {
			return pid
		}
	}
	p.t.Fatalf("%d times %q is not in the log:\n%s", n, msg, p.log())
	return 0
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// The bridge is replaced again and again while requests come, over kept and over
// fresh connections: none fails.
func TestABridgeIsReplacedWithoutADroppedConnection(t *testing.T) {
	const times = 5
	legacy, modern := sides(t)
	file := filepath.Join(t.TempDir(), "bridge.json")
	write(t, file, render(t, planOf(legacy, modern, 0), 25))
	// An address that the bridges share; each writes it down, as port 0 is another for each.
	p := start(t, "--config", file, "--drain-timeout", "3s")
	l := &load{url: p.traffic + "/x", stop: make(chan struct{}), sent: map[string]int{}, modern: map[string]bool{}}
	for _, method := range []string{"GET", "POST"} {
		for _, keepAlive := range []bool{false, true} {
			l.wg.Go(func() { l.run(method, keepAlive) })
		}
	}
	pids := []int{p.cmd.Process.Pid}
	t.Cleanup(func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	for i := 1; i <= times; i++ {
		l.awaitMore(t, 40)
		if err := syscall.Kill(pids[len(pids)-1], syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, p.awaitLine("took over", i))
		if to := p.awaitLine("handed over", i); to != pids[i] {
			t.Errorf("it was handed over to %d, and %d took over", to, pids[i])
		}
	}
	p.awaitLine("stopped", times)
	l.awaitMore(t, 40)
	close(l.stop)
	l.wg.Wait()
	t.Logf("%d times, %v requests, bridges %v", times, l.sent, pids)
	if len(l.failures) > 0 {
		t.Errorf("%d failed requests: %s", len(l.failures), strings.Join(l.failures[:min(5, len(l.failures))], "; "))
	}
	if len(slices.Compact(slices.Clone(pids))) != times+1 || len(l.sent) != 4 {
		t.Errorf("bridges %v, requests %v", pids, l.sent)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && alive(pids[times-1]); {
		time.Sleep(5 * time.Millisecond)
	}
	if alive(pids[times-1]) || !alive(pids[times]) {
		t.Error("not the last bridge alone is left")
	}
}

// A new bridge that cannot serve is none: the old one goes on.
func TestABridgeThatCannotBeReplacedGoesOn(t *testing.T) {
	legacy, modern := sides(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "bridge.json")
	write(t, file, render(t, planOf(legacy, modern, 0), 25))
	program := filepath.Join(dir, "changeover-bridge")
	text, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	was := binary
	binary = program
	p := start(t, "--config", file)
	binary = was
	for i, broken := range []string{"#!/bin/sh\nexit 1\n", "no program"} {
		if err := os.WriteFile(program+".new", []byte(broken), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(program+".new", program); err != nil {
			t.Fatal(err)
		}
		p.signal(syscall.SIGUSR2)
		p.awaitLine("the bridge goes on itself", i+1)
		if code, _, _ := fetch(t, p.traffic+"/x"); code != http.StatusOK {
			t.Errorf("it answers %d", code)
		}
	}
}

func TestAServiceManagerIsToldWhoServes(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := (listeners{}).tell(t.Context(), socket); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	n, err := conn.Read(got)
	if want := fmt.Sprintf("MAINPID=%d\nREADY=1", os.Getpid()); err != nil || string(got[:n]) != want {
		t.Errorf("it was told %q, %v; want %q", got[:n], err, want)
	}
	if err := (listeners{}).tell(t.Context(), socket+"-gone"); !errors.Is(err, os.ErrNotExist) && err == nil {
		t.Errorf("a manager that is gone: %v", err)
	}
}

// A bridge that is told to end while another is to take its place ends, and the
// other with it.
func TestABridgeThatEndsMeanwhileHandsNothingOver(t *testing.T) {
	dir := t.TempDir()
	pidFile := filepath.Join(dir, "pid")
	program := filepath.Join(dir, "never-ready")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho $$ >"+pidFile+".new && mv "+pidFile+".new "+pidFile+"\nexec sleep 600\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := listen(t.Context(), Options{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.traffic.Close()
	defer l.admin.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for {
			if _, err := os.Stat(pidFile); err == nil {
				cancel()
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	begun := time.Now()
	if _, err := l.handOver(ctx, program, nil, os.Environ()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(begun); d > handoverTimeout/2 {
		t.Errorf("it took %s", d)
	}
	text, _ := os.ReadFile(pidFile)
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil || alive(pid) {
		t.Errorf("the other, %q, is still there (%v)", text, err)
	}
}
