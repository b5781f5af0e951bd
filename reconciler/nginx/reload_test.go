package nginx_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler/nginx"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

// tally of a load.
type tally struct {
	mu sync.Mutex
	// requests that were answered; idle: kept-alive connections that nginx
	// closed before the first byte of an answer, whose request was then sent
	// over a new one.
	requests, idle int
	failures       []string
}

func (c *tally) add(what string, idle bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if idle {
		c.idle++
		return
	}
	c.requests++
	if err != nil {
		c.failures = append(c.failures, fmt.Sprintf("%s: %v", what, err))
	}
}

// caller sends one kind of request at a steady rate over raw connections, so
// that no HTTP client retries behind the test's back.
type caller struct {
	addr, method string
	keep         bool
	tally        *tally

	conn   net.Conn
	r      *bufio.Reader
	reused bool
}

func (c *caller) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	defer c.hangUp()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		what := fmt.Sprintf("%s %d (keep-alive %v)", c.method, n, c.keep)
		began, err := c.send(n)
		if err != nil && c.reused && !began {
			c.hangUp()
			c.tally.add(what, true, nil)
			_, err = c.send(n)
		}
		c.tally.add(what, false, err)
		if err != nil || !c.keep {
			c.hangUp()
		}
	}
}

func (c *caller) hangUp() {
	if c.conn != nil {
		c.conn.Close()
	}
	c.conn = nil
}

// send sends one request. began: at least one byte of an answer came.
func (c *caller) send(n int) (began bool, err error) {
	c.reused = c.conn != nil
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.addr, 5*time.Second); err != nil {
			return false, err
		}
		c.r = bufio.NewReader(c.conn)
	}
	if err := c.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return false, err
	}
	body := ""
	if c.method == "POST" {
		body = fmt.Sprintf("order %d", n)
	}
	_, err = fmt.Fprintf(c.conn, "%s /orders HTTP/1.1\r\nHost: so\r\nX-Tenant-ID: t%d\r\nContent-Length: %d\r\n\r\n%s", c.method, n%50, len(body), body)
	if err != nil {
		return false, err
	}
	if _, err := c.r.Peek(1); err != nil {
		return false, err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return true, err
	}
	if want := resp.Header.Get("X-Changeover-Side") + ":" + body; resp.StatusCode != http.StatusOK || string(got) != want {
		return true, fmt.Errorf("status %d, body %q, want %q", resp.StatusCode, got, want)
	}
	if resp.Close {
		c.hangUp()
	}
	return true, nil
}

func TestNoRequestFailsOverTwentyReloads(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	apply(t, g, m.Plan, setup)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var count tally
	var wg sync.WaitGroup
	// 200 requests a second: four kinds, two callers each, 25 a second.
	for range 2 {
		for _, method := range []string{"GET", "POST"} {
			for _, keep := range []bool{false, true} {
				c := &caller{addr: strings.TrimPrefix(s.URL, "http://"), method: method, keep: keep, tally: &count}
				wg.Go(func() { c.run(ctx, 40*time.Millisecond) })
			}
		}
	}
	begun := time.Now()
	var slowest time.Duration
	for i := range 20 {
		stop := at10
		if i%2 == 1 {
			stop = at25
		}
		start := time.Now()
		if err := g.Apply(context10s(t), m.Plan, mark(stop)); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(start))
	}
	time.Sleep(300 * time.Millisecond)
	took := time.Since(begun)
	stop()
	wg.Wait()
	t.Logf("20 reloads in %v (slowest %v): %d requests, %d failed, %d idle keep-alive connections closed",
		took.Round(time.Millisecond), slowest.Round(time.Millisecond), count.requests, len(count.failures), count.idle)
	for _, f := range count.failures {
		t.Error(f)
	}
	if asked := m.asked.Load(); asked != int64(count.requests) {
		t.Errorf("%d requests reached the backends %d times", count.requests, asked)
	}
	if count.requests < 300 {
		t.Errorf("only %d requests were sent: the test proved little", count.requests)
	}
	if log := s.Log(); strings.Contains(log, "[alert]") || strings.Contains(log, "[emerg]") {
		t.Errorf("nginx's log:\n%s", log)
	}
}

// TestNewConfigIsEverywhereWhenApplyReturns: the promise that lets a stop be
// called entered.
func TestNewConfigIsEverywhereWhenApplyReturns(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	for range 5 {
		apply(t, g, m.Plan, setup)
		apply(t, g, m.Plan, at100)
		for range 100 {
			resp, _ := do(t, client, "GET", s.URL, nil)
			if side := resp.Header.Get("X-Changeover-Side"); side != "modern" {
				t.Fatalf("after Apply at 100 %% a request went to %s", side)
			}
		}
	}
}

func TestManyWorkers(t *testing.T) {
	s := nginxtest.New(t, nginxtest.Config{Workers: 24})
	s.Run()
	apply(t, open(t, s), newMigration(t).Plan, at10)
}

func TestDownIsNotWorthAWait(t *testing.T) {
	s, m := nginxtest.New(t, nginxtest.Config{}), newMigration(t)
	start := time.Now()
	if err := open(t, s).Apply(context10s(t), m.Plan, mark(at10)); !errors.Is(err, nginx.ErrNotRunning) {
		t.Errorf("Apply: %v", err)
	}
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("Apply took %v", took)
	}
}
