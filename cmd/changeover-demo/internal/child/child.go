package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Process is a started child.
type Process struct {
	Name string
	Log  string // path of its log: stdout and stderr
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; read after done
}

// Start runs bin with args and writes its output to log. The child has a
// process group of its own, so that a Ctrl-C of the terminal reaches the demo
// alone, which then stops its children in order: Stop ends it, no context.
func Start(bin, log string, args ...string) (*Process, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("create the log of %s: %w", filepath.Base(bin), err)
	}
	defer f.Close()
	p := &Process{Name: filepath.Base(bin), Log: log, cmd: exec.CommandContext(context.Background(), bin, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %q: %w", bin, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Err is nil while the process runs; afterwards it says how it ended.
func (p *Process) Err() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	if p.err == nil {
		return fmt.Errorf("%s ended with exit status 0", p.Name)
	}
	return fmt.Errorf("%s ended: %w", p.Name, p.err)
}

// Stop asks the process to end and kills it when it has not after grace. An
// error says that it had to be killed.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(grace):
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", p.Name, err)
	}
	<-p.done
	return fmt.Errorf("stop %s: it did not end within %s of SIGTERM and was killed", p.Name, grace)
}

// Tail is the end of the log: at most n lines.
func (p *Process) Tail(n int) string {
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(bytes.TrimRight(b, "\n")), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
