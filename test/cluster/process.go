package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/changeover-dev/changeover/test/child"
)

// process is one program of the cluster. It does not outlive the process that
// started it. Its methods may be called from several goroutines.
type process struct {
	name string
	path string
	args []string
	home string // its working folder
	log  string // the file that takes what it writes, over all its runs

	mu   sync.Mutex
	cmd  *exec.Cmd
	done <-chan struct{} // closed when it has ended
}

// start runs it. It does nothing where it runs.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		return nil
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", p.name, err)
	}
	defer log.Close() // the program has its own
	cmd := exec.Command(p.path, p.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.home, log, log
	// No proxy, no credentials, no configuration of the user.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.home}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for who started it
	done, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd, p.done = cmd, done
	return nil
}

// end sends a signal and waits until it is gone; after patience it is killed.
// It returns whether that was needed. It does nothing where it does not run.
func (p *process) end(sig os.Signal, patience time.Duration) (killed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return false
	}
	_ = p.cmd.Process.Signal(sig) // it may have ended by itself
	select {
	case <-p.done:
	case <-time.After(patience):
		killed = true
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	p.cmd = nil
	return killed
}

// ended is an error where it has ended though nobody ended it.
func (p *process) ended() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	select {
	case <-p.done:
		return fmt.Errorf("%s ended by itself: %v", p.name, p.cmd.ProcessState)
	default:
		return nil
	}
}

// routine are the lines of logs that tell what goes well, and warnings.
var routine = regexp.MustCompile(`(?i)^[IW]\d{4} |"level":"(info|warn)"`)

// tail is the end of what it has logged, of errors where there are any: the
// first thing to look at, not all there is.
func (p *process) tail(lines int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error() + "\n"
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	what := "errors"
	if bad := slices.DeleteFunc(slices.Clone(all), routine.MatchString); len(bad) > 0 {
		all = bad
	} else {
		what, lines = "lines", 3
	}
	return fmt.Sprintf("--- %s, the last %s in %s\n%s\n", p.name, what, filepath.Base(p.log), strings.Join(all[max(0, len(all)-lines):], "\n"))
}
