package nginx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is the nginx program and its master process.
type process struct {
	bin, conf, pidFile string
}

// execTimeout bounds one run of the program. It resolves the names of all
// upstreams, so it may wait for a name server.
const execTimeout = 30 * time.Second

// facts are what the whole config says that Changeover needs to know.
type facts struct {
	workers int
	log     string // path of the error log; "" where it is no file
}

// test lets nginx test its whole config, as it stands in the files now.
func (p process) test(ctx context.Context) (facts, error) {
	stdout, stderr, err := p.run(ctx, "-T", "-c", p.conf)
	if err != nil {
		return facts{}, fmt.Errorf("test config: %w", saying(err, stderr))
	}
	return factsOf(stdout), nil
}

// reload tells the master to load the config anew. That it was told does not
// mean that it did.
func (p process) reload(ctx context.Context) error {
	if p.pidFile == "" {
		if _, stderr, err := p.run(ctx, "-s", "reload", "-c", p.conf); err != nil {
			return fmt.Errorf("reload nginx: %w", saying(err, stderr))
		}
		return nil
	}
	b, err := os.ReadFile(p.pidFile)
	if err != nil {
		return fmt.Errorf("reload nginx: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("reload nginx: file %q holds no process id: %q", p.pidFile, b)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("reload nginx: signal process %d of %q: %w", pid, p.pidFile, err)
	}
	return nil
}

func (p process) run(ctx context.Context, args ...string) (stdout, stderr []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.bin, args...)
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%s %s did not end: %w", p.bin, strings.Join(args, " "), ctx.Err())
	}
	return out.Bytes(), errs.Bytes(), err
}

// saying prefers nginx's own words to an exit status.
func saying(err error, stderr []byte) error {
	said := loud(stderr)
	if said == "" {
		said = strings.TrimSpace(string(stderr))
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || said == "" {
		return err
	}
	if strings.Contains(said, "host not found in upstream") {
		return fmt.Errorf("the host of a backend does not resolve on this machine: mend its name in the plan or in DNS: %s", said)
	}
	return errors.New(said)
}

var severe = regexp.MustCompile(`\[(emerg|alert|crit|error)\] (?:\d+#\d+: )?(.*)`)

// loud joins what nginx says at level error and above, at most three lines.
func loud(log []byte) string {
	var lines []string
	for _, m := range severe.FindAllSubmatch(log, -1) {
		if line := string(m[2]); len(lines) < 3 && (len(lines) == 0 || lines[len(lines)-1] != line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

var (
	workersLine  = regexp.MustCompile(`(?m)^[^#\n]*?\bworker_processes\s+"?(auto|\d+)"?\s*;`)
	errorLogLine = regexp.MustCompile(`(?m)^[^#\n]*?\berror_log\s+(?:"(/[^"\n]*)"|(/[^\s;]*))`)
)

// factsOf reads the whole config as `nginx -T` prints it.
func factsOf(dump []byte) facts {
	f := facts{workers: 1}
	if m := workersLine.FindSubmatch(dump); m != nil {
		if n, err := strconv.Atoi(string(m[1])); err == nil {
			f.workers = max(n, 1)
		} else {
			f.workers = onlineCPUs()
		}
	}
	if m := errorLogLine.FindSubmatch(dump); m != nil {
		f.log = filepath.Clean(string(m[1]) + string(m[2]))
	}
	return f
}

// onlineCPUs is what `worker_processes auto` counts: all CPUs, also those that
// this process may not run on.
func onlineCPUs() int {
	b, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return runtime.NumCPU()
	}
	n := 0
	for _, span := range strings.Split(strings.TrimSpace(string(b)), ",") {
		first, last, ok := strings.Cut(span, "-")
		if !ok {
			last = first
		}
		lo, err1 := strconv.Atoi(first)
		hi, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || hi < lo {
			return runtime.NumCPU()
		}
		n += hi - lo + 1
	}
	return n
}

// errorLog remembers where the log ends and returns a function that reads
// nginx's loud words since: a reload that fails says why only there.
func (f facts) errorLog() func() string {
	if f.log == "" {
		return func() string { return "" }
	}
	var from int64
	if info, err := os.Stat(f.log); err == nil {
		from = info.Size()
	}
	return func() string {
		file, err := os.Open(f.log)
		if err != nil {
			return ""
		}
		defer file.Close()
		const most = 64 << 10
		b, err := io.ReadAll(io.NewSectionReader(file, from, most))
		if err != nil {
			return ""
		}
		return loud(b)
	}
}
