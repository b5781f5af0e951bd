package components

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// compile builds a program and tells its progress.
func (b Builder) compile(ctx context.Context, k component, to string) error {
	cmd := b.command(ctx, k, "build", "-v", "-p=2", "-trimpath", "-ldflags="+strings.TrimSpace("-s -w "+k.ldflags), "-o="+to, k.pkg)
	var said output
	cmd.Stdout, cmd.Stderr = &said, &said
	done := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		start, tick := time.Now(), time.NewTicker(cmp.Or(b.every, 15*time.Second))
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				b.say("%s: %s, %s", k.name, said.progress(), time.Since(start).Round(time.Second))
			}
		}
	})
	err := cmd.Run()
	close(done)
	telling.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("go build: %w:\n%s", err, said.tail(30))
	}
	f, err := os.Open(to)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync() // its bytes before its name
}

// copyFiles copies files of a module into a new folder.
func (b Builder) copyFiles(ctx context.Context, k component, to string) error {
	cmd := b.command(ctx, k, "mod", "download", "-json", k.module)
	var said output
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go mod download: %w:\n%s%s", err, out, said.tail(30))
	}
	var module struct{ Dir, Version string }
	if err := json.Unmarshal(out, &module); err != nil {
		return fmt.Errorf("read what go mod download says: %w", err)
	}
	if module.Version != k.version {
		return fmt.Errorf("test/cluster/%s pins %s %s, this package %s: make them agree", k.pinned, k.module, module.Version, k.version)
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	for _, pattern := range k.files {
		found, err := filepath.Glob(filepath.Join(module.Dir, filepath.FromSlash(pattern)))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("find %q in %s %s: there is no such file", pattern, k.module, k.version)
		}
		for _, name := range found {
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(to, filepath.Base(name)), text, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// command is go at low priority in the module that pins a component. What it
// builds does not depend on settings of the user.
func (b Builder) command(ctx context.Context, k component, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "10", cmp.Or(b.goTool, "go")}, args...)...)
	cmd.Dir = filepath.Join(b.Root, "test", "cluster", k.pinned)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	// The compilers are children of go: they end with it. After SIGINT it
	// removes its temporary files.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// output keeps what go says while it is read.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) lines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Split(strings.TrimSpace(o.text.String()), "\n")
}

// progress counts the packages that go build -v names, a line each, and what
// had to be fetched before.
func (o *output) progress() string {
	packages, fetched := 0, 0
	for _, l := range o.lines() {
		switch {
		case strings.HasPrefix(l, "go: downloading "):
			fetched++
		case l != "" && !strings.ContainsAny(l, " \t"):
			packages++
		}
	}
	if fetched > 0 {
		return fmt.Sprintf("%d modules fetched, %d packages compiled", fetched, packages)
	}
	return fmt.Sprintf("%d packages compiled", packages)
}

func (o *output) tail(n int) string {
	lines := o.lines()
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
