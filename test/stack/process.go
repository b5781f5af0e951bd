package stack

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/child"
)

// process is a binary of ours that runs beside the test and does not outlive
// it.
type process struct {
	t    testing.TB
	name string
	args []string
	log  *buffer
	cmd  *exec.Cmd
	done <-chan struct{}
}

type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (p *process) start(more ...string) {
	p.t.Helper()
	cmd := exec.Command(p.name, slices.Concat(p.args, more)...)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
	done, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
	p.cmd, p.done = cmd, done
}

// end sends the signal and waits until the process is gone.
func (p *process) end(sig os.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.t.Errorf("%s did not end:\n%s", p.name, p.log)
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	p.cmd = nil
}

// DaemonPID is the process of the daemon that runs.
func (s *Stack) DaemonPID() int { return s.daemon.cmd.Process.Pid }
