// Package child starts processes that do not outlive the test binary, not even
// one that is killed.
package child

import (
	"math/rand/v2"
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
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

// Ports for those that must be told theirs. They are below those that the kernel
// gives to outgoing connections (net.ipv4.ip_local_port_range): one of those could
// take the port before it is listened on.
const firstPort, lastPort = 10_000, 32_000

// given are the ports that this process has handed out.
var given sync.Map

// FreeAddr is an address of the loopback interface with a port that nothing
// listens on. No two calls in a process return the same.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort)))
		if _, taken := given.LoadOrStore(addr, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("no free port was found in a hundred tries")
	return ""
}
