package nginx

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// answering is a prober of a server whose n-th answer is a hash and a pid.
func answering(t *testing.T, answer func(n int64) (hash string, pid int64)) prober {
	t.Helper()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hash, pid := answer(n.Add(1))
		fmt.Fprintf(w, "%s %d\n", hash, pid)
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return newProber(u, "")
}

// TestWorkersThatNeverAnswerAreNotWaitedFor: the kernel may prefer some workers
// for as long as there is little to do.
func TestWorkersThatNeverAnswerAreNotWaitedFor(t *testing.T) {
	p := answering(t, func(n int64) (string, int64) { return "new", n % 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	start := time.Now()
	if err := p.await(ctx, "/", "new", 4); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("2 of 4 workers were enough after %v", took)
	}
}

func TestOldAnswersNowAndThenAreWaitedFor(t *testing.T) {
	p := answering(t, func(n int64) (string, int64) {
		if n%15 == 0 {
			return "old", 9
		}
		return "new", n % 4
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := p.await(ctx, "/", "new", 4); err == nil || !strings.Contains(err.Error(), "a worker still serves config old") {
		t.Errorf("got %v", err)
	}
}
