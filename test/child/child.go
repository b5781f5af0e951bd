// Package child starts processes that do not outlive the test binary, not even
// one that is killed.
package child

import (
	"net"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// Start starts the command and returns a channel that is closed when its
// process has ended. The process gets the signal when the test binary dies.
func Start(cmd *exec.Cmd, onDeath syscall.Signal) (ended <-chan struct{}, err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = onDeath
	started, done := make(chan error), make(chan struct{})
	go func() {
		defer close(done)
		// The signal is sent when the thread ends that started the process.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended does not matter
		}
	}()
	return done, <-started
}

// FreeAddr is an address of the loopback interface with a port that nothing
// listens on.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
