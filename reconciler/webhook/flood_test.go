package webhook_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// forged is a signature as good as any to who does not know the secret.
var forged = "sha256=" + strings.Repeat("0", 64)

// trueOnes are deliveries with the secret, one of every way to show it.
var trueOnes = map[string][]string{
	"github":  {"X-Hub-Signature-256", "sha256=" + sum(documented, "{}")},
	"gitea":   {"X-Gitea-Signature", sum(documented, "{}")},
	"gitlab":  {"X-Gitlab-Token", documented},
	"generic": {"Authorization", "Bearer " + documented},
}

// TestForgedDeliveriesKeepNoTrueOneOut: who does not know the secret can send as
// many as they like.
func TestForgedDeliveriesKeepNoTrueOneOut(t *testing.T) {
	h := newHook(t, documented)
	for range 2000 {
		if w := h.deliver("github", "{}", "X-Hub-Signature-256", forged); w.Code != http.StatusUnauthorized {
			t.Fatalf("a forged one is answered %d: %s", w.Code, w.Body)
		}
	}
	for kind, headers := range trueOnes {
		if w := h.deliver(kind, "{}", headers...); w.Code != http.StatusAccepted {
			t.Errorf("a true one of %s is answered %d: %s", kind, w.Code, w.Body)
		}
	}
}

// TestSlowSendersKeepNobodyOut: those that send little hold little.
func TestSlowSendersKeepNobodyOut(t *testing.T) {
	h := newHook(t, documented)
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close) // after the connections
	for range 64 {
		begin(t, srv.URL, "github", "X-Hub-Signature-256: "+forged, 1<<20, "{")
	}
	time.Sleep(200 * time.Millisecond) // all are being read
	for kind, headers := range trueOnes {
		if w := h.deliver(kind, "{}", headers...); w.Code != http.StatusAccepted {
			t.Errorf("a true one of %s is answered %d: %s", kind, w.Code, w.Body)
		}
	}
}

// TestBodiesThatWaitAreBounded: of 64 that stop a byte before the end of 1 MiB
// a few are kept waiting for, and when they go there is room again.
func TestBodiesThatWaitAreBounded(t *testing.T) {
	h := newHook(t, documented)
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close) // after the connections
	var busy atomic.Int64
	var conns []net.Conn
	before := heap()
	for range 64 {
		c := begin(t, srv.URL, "gitlab", "X-Gitlab-Token: "+documented, 1<<20, strings.Repeat("x", 1<<20-1))
		conns = append(conns, c)
		go func() {
			if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil && resp.StatusCode == http.StatusTooManyRequests {
				busy.Add(1)
			}
		}()
	}
	for end := time.Now().Add(20 * time.Second); busy.Load() < 40 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	if after := heap(); after > before+40<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	if n := busy.Load(); n < 40 {
		t.Errorf("%d of 64 were told to come later", n)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	large := strings.Repeat("x", 1<<20)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		w := h.deliver("gitlab", large, "X-Gitlab-Token", documented)
		if w.Code == http.StatusAccepted {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("when they were gone a large one is answered %d: %s", w.Code, w.Body)
		}
	}
}

// begin sends a delivery up to what is given of its body.
func begin(t *testing.T, url, kind, header string, length int, body string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetWriteDeadline(time.Now().Add(2 * time.Second))
	fmt.Fprintf(c, "POST /hook/%s HTTP/1.1\r\nHost: changeover\r\n%s\r\nContent-Length: %d\r\n\r\n%s", kind, header, length, body)
	return c
}

// TestRefusalsAreLoggedOnceAMinute with how many they were, whatever comes.
func TestRefusalsAreLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := newLogged(t, documented, slog.New(slog.NewTextHandler(&log, nil)))
		wrong := func(n int) {
			for range n {
				h.deliver("gitlab", "{}", "X-Gitlab-Token", "a wrong token, or of another")
			}
		}
		wrong(1000)
		if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "does not show the secret") {
			t.Fatalf("%d lines of 1,000 wrong tokens:\n%.2000s", n, log.String())
		}
		h.fail = errors.New("no such file")
		for range 1000 {
			h.deliver("github", "{}", trueOnes["github"]...)
		}
		if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "no such file") {
			t.Fatalf("%d lines, want one more that says why the secret cannot be read:\n%.2000s", n, log.String())
		}
		h.fail = nil
		time.Sleep(time.Minute)
		wrong(3)
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 3 || !strings.Contains(lines[2], "count=1000 ") {
			t.Errorf("a minute later there are %d lines, want 3 of which the last counts 1,000:\n%.2000s", len(lines), log.String())
		}
		if strings.Contains(log.String(), documented) || strings.Contains(log.String(), "a wrong token") {
			t.Errorf("the log has a secret:\n%s", log.String())
		}
	})
}
