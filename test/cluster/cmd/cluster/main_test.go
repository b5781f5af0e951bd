package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestWhatIsPrintedWorks runs a cluster and does what it says to try.
func TestWhatIsPrintedWorks(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := do(ctx, []string{"run"}, w)
		w.CloseWithError(err)
		done <- err
	}()
	var exports, try []string
	scan := bufio.NewScanner(r)
	for scan.Scan() && !strings.Contains(scan.Text(), "Ctrl-C stops it") {
		line := strings.TrimSpace(scan.Text())
		switch {
		case strings.HasPrefix(line, "export "):
			exports = append(exports, line)
		case strings.HasPrefix(line, "kubectl "):
			try = append(try, line)
		}
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	if len(exports) != 2 || len(try) != 5 {
		t.Fatalf("got lines %q and %q, want two and five", exports, try)
	}
	cmd := exec.CommandContext(ctx, "bash", "-euxc", strings.Join(append(append(exports, try...), "kubectl version"), "\n"))
	// Without what the machine may have, but with the shell.
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"node-1   Ready", `deployment "web" successfully rolled out`, "httproutes.gateway.networking.k8s.io", "Client Version: v1.36.1", "Server Version: v1.36.1"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("got no %q:\n%s", want, out)
		}
	}
	cancel()
	rest, err := io.ReadAll(r)
	if err != nil || !strings.Contains(string(rest), "stopping") {
		t.Errorf("at its end: %v, %q", err, rest)
	}
	if err := <-done; err != nil {
		t.Errorf("stopped: %v", err)
	}
	config, _, _ := strings.Cut(strings.TrimPrefix(exports[0], "export KUBECONFIG="), " ")
	if _, err := os.Stat(config); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it left %s: %v", config, err)
	}
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	for _, args := range [][]string{nil, {"start"}, {"run", "none", "more"}} {
		if err := do(t.Context(), args, io.Discard); !errors.Is(err, errUsage) || !strings.Contains(err.Error(), "usage: cluster COMMAND") {
			t.Errorf("%q: got %v", args, err)
		}
	}
	if err := do(t.Context(), []string{"run", "beta"}, io.Discard); err == nil || !strings.Contains(err.Error(), `got "beta"`) {
		t.Errorf("got %v", err)
	}
}

func TestABuildElsewhereSaysWhere(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := do(t.Context(), []string{"build"}, io.Discard); err == nil || !strings.Contains(err.Error(), "root of the repository") {
		t.Errorf("got %v", err)
	}
}
