package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/record"
	"github.com/changeover-dev/changeover/reconciler/web"
)

func TestSecondDaemonOnAStateDirectoryEndsWith3(t *testing.T) {
	dir := shortDir(t)
	d, err := record.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	code, _, errs := call(t, "run", "--repo", "nowhere.git", "--state-dir", dir, "--listen", "127.0.0.1:0")
	if code != exitFailed {
		t.Errorf("code %d", code)
	}
	wantAll(t, errs, "another daemon holds the lock", "--state-dir")
}

func TestDaemonThatCannotStartSaysWhy(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"address in use":  {[]string{"--listen", taken.Addr().String()}, "choose another --listen"},
		"no repository":   {[]string{"--repo", filepath.Join(t.TempDir(), "none.git")}, "none.git"},
		"state is a file": {[]string{"--state-dir", file}, "state directory"},
		"no nginx folder": {[]string{"--nginx-dir", "/nowhere/x", "--nginx-conf", file}, `include folder "/nowhere/x" must exist`},
	} {
		t.Run(name, func(t *testing.T) {
			base := []string{"run", "--repo", "nowhere.git", "--state-dir", shortDir(t), "--listen", "127.0.0.1:0"}
			code, _, errs := call(t, append(base, tc.args...)...)
			if code != exitFailed || !strings.Contains(errs, tc.says) {
				t.Errorf("code %d: %s", code, errs)
			}
		})
	}
}

func TestServersOutliveTheSignalUntilTheLoopHasEnded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	log := slog.New(slog.DiscardHandler)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	ctx, signal := context.WithCancel(t.Context())
	loop := func(ctx context.Context) error {
		signal()
		<-ctx.Done()
		// An effect that was begun is being finished.
		resp, err := http.Get(url)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	if err := serveWhile(ctx, log, loop, served{web.NewServer(h, log), l}); err != nil {
		t.Error(err)
	}
	if resp, err := http.Get(url); err == nil {
		_ = resp.Body.Close()
		t.Error("still served after the end")
	}
}

func TestServerThatFailsEndsTheLoop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	log := slog.New(slog.DiscardHandler)
	loop := func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(10 * time.Second):
			return errors.New("the loop was not ended")
		}
	}
	err = serveWhile(t.Context(), log, loop, served{web.NewServer(http.NotFoundHandler(), log), l})
	if err == nil || !strings.Contains(err.Error(), "serve on") {
		t.Errorf("got %v", err)
	}
}

func TestWithoutPrometheusEverySignalIsAnErrorThatSaysWhatToDo(t *testing.T) {
	needs := []gates.Need{{Query: "a"}, {Query: "b"}}
	got := noPrometheus{}.Sample(t.Context(), needs, time.Now())
	for _, n := range needs {
		if s := got[n]; s.Err == nil || !strings.Contains(s.Err.Error(), "--prometheus") || s.Last.Unknown == "" {
			t.Errorf("%s: %+v", n.Query, s)
		}
	}
}

func TestColourOnlyWhereAPersonLooks(t *testing.T) {
	env := map[string]string{}
	getenv := func(k string) string { return env[k] }
	if wantsColour(&bytes.Buffer{}, getenv) {
		t.Error("colour into a pipe")
	}
	device, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = device.Close() }()
	if !wantsColour(device, getenv) {
		t.Error("no colour on a device")
	}
	for k, v := range map[string]string{"NO_COLOR": "1", "TERM": "dumb"} {
		env = map[string]string{k: v}
		if wantsColour(device, getenv) {
			t.Errorf("colour although %s=%s", k, v)
		}
	}
	a := &app{colour: true, stdout: &bytes.Buffer{}}
	a.table(a.stdout, "", [][]cell{{{"A", plain}, {"B", plain}}, {{"long", red}, {"x", plain}}})
	if got := a.stdout.(*bytes.Buffer).String(); got != "A      B\n\x1b[31mlong\x1b[0m   x\n" {
		t.Errorf("got %q", got)
	}
}

func TestTextOfAPlanCannotMoveTheCursor(t *testing.T) {
	a := &app{stdout: &bytes.Buffer{}}
	a.table(a.stdout, "", [][]cell{cells("a\x1b[2Jb\nc\u009bd\te")})
	if got := a.stdout.(*bytes.Buffer).String(); got != "a?[2Jb?c?d e\n" {
		t.Errorf("got %q", got)
	}
	a.stdout.(*bytes.Buffer).Reset()
	a.table(a.stdout, "", [][]cell{cells("a\u202eb\u2066c\u200bd\u2028e")})
	if got := a.stdout.(*bytes.Buffer).String(); got != "a?b?c?d?e\n" {
		t.Errorf("reordered or hidden text: %q", got)
	}
	problem := plan.Problem{File: "a\x1b[2J.yaml", Line: 1, Column: 2, Code: "x", Message: "y", Source: "k:\tv\u202e"}
	if got := a.renderProblem(problem); strings.ContainsAny(got, "\x1b\u202e") || !strings.Contains(got, "a?[2J.yaml:1:2") {
		t.Errorf("got %q", got)
	}
	a.stderr = &bytes.Buffer{}
	a.finish(&cobra.Command{}, &exitError{exitFailed, errors.New("the remote said \x1b]0;x\a")})
	if got := a.stderr.(*bytes.Buffer).String(); got != "changeover: the remote said ?]0;x?\n" {
		t.Errorf("got %q", got)
	}
}
