package child

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func start(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Start("/bin/sh", filepath.Join(t.TempDir(), "log"), "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not seen: %s", what)
		}
	}
}

func TestAChildThatEndsIsSeenWithItsLog(t *testing.T) {
	p := start(t, "echo one; echo two; echo three >&2; exit 7")
	eventually(t, "its end", func() bool { return p.Err() != nil })
	if got := p.Err().Error(); !strings.Contains(got, "exit status 7") {
		t.Errorf("error is %q", got)
	}
	if got := p.Tail(2); got != "two\nthree" {
		t.Errorf("tail is %q", got)
	}
	if err := p.Stop(time.Second); err != nil {
		t.Errorf("stop after its end: %v", err)
	}
}

func TestStopEndsAChildThatListens(t *testing.T) {
	p := start(t, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
	eventually(t, "its start", func() bool { return p.Tail(1) == "up" })
	if p.Err() != nil {
		t.Fatalf("ended early: %v", p.Err())
	}
	if err := p.Stop(10 * time.Second); err != nil {
		t.Error(err)
	}
	if got := p.Tail(1); got != "bye" {
		t.Errorf("tail is %q", got)
	}
}

func TestStopKillsAChildThatDoesNotListen(t *testing.T) {
	p := start(t, "trap '' TERM; echo up; while :; do sleep 0.05; done")
	eventually(t, "its start", func() bool { return p.Tail(1) == "up" })
	if err := p.Stop(200 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("error is %v", err)
	}
	if p.Err() == nil {
		t.Error("it still runs")
	}
}
