package load

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
	"time"
)

// Options of a load: GET and POST, on fresh and on keep-alive connections, in
// equal parts.
type Options struct {
	// Addr is the HOST:PORT of the gateway, Path what is asked for.
	Addr, Path string
	// Header carries the caller's name; Callers is how many there are.
	Header  string
	Callers int
	// Rate of requests a second over all kinds.
	Rate int
	// Unmarked answers name no side in a header: the backend's body does.
	Unmarked bool
	// Allow says which answers are no failure; status 200 where nil.
	Allow func(status int) bool
}

// Load is one that runs. Its methods may be called from several goroutines.
type Load struct {
	o    Options
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	tally   Tally
	callers map[string]string // the side that last served a caller
}

// Tally is what came of a load.
type Tally struct {
	// Requests that were answered or failed. Idle counts kept-alive
	// connections that the gateway closed before the first byte of an
	// answer; their request was sent again over a new one.
	Requests, Idle int
	Failed         []string
	// Sides counts answers by X-Changeover-Side.
	Sides map[string]int
}

// String is one line.
func (t Tally) String() string {
	return fmt.Sprintf("%d requests, %d failed, %d idle connections closed, sides %v", t.Requests, len(t.Failed), t.Idle, t.Sides)
}

// workers is how many connections of each of the four kinds there are.
const workers = 3

// Start begins a load, which runs until Stop.
func Start(ctx context.Context, o Options) *Load {
	if o.Allow == nil {
		o.Allow = func(status int) bool { return status == http.StatusOK }
	}
	ctx, stop := context.WithCancel(ctx)
	l := &Load{o: o, stop: stop, callers: map[string]string{}}
	every := time.Second * workers * 4 / time.Duration(o.Rate)
	n := 0
	for range workers {
		for _, method := range []string{"GET", "POST"} {
			for _, keep := range []bool{false, true} {
				c := &connection{l: l, method: method, keep: keep, first: n}
				n++
				l.wg.Go(func() { c.run(ctx, every) })
			}
		}
	}
	return l
}

// Stop ends the load and returns its tally.
func (l *Load) Stop() Tally {
	l.stop()
	l.wg.Wait()
	return l.Tally()
}

// Tally is what came of it so far.
func (l *Load) Tally() Tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tally
	t.Failed = append([]string(nil), t.Failed...)
	t.Sides = map[string]int{}
	for k, v := range l.tally.Sides {
		t.Sides[k] = v
	}
	return t
}

// Reset forgets what was tallied.
func (l *Load) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally, l.callers = Tally{}, map[string]string{}
}

// On lists which callers a side last served.
func (l *Load) On(side string) map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]bool{}
	for c, s := range l.callers {
		if s == side {
			out[c] = true
		}
	}
	return out
}

// Seen is how many callers were served since the start or Reset.
func (l *Load) Seen() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.callers)
}

func (l *Load) add(caller, side, what string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally.Requests++
	if err != nil {
		if len(l.tally.Failed) < 100 {
			l.tally.Failed = append(l.tally.Failed, fmt.Sprintf("%s: %v", what, err))
		}
		return
	}
	if l.tally.Sides == nil {
		l.tally.Sides = map[string]int{}
	}
	l.tally.Sides[side]++
	l.callers[caller] = side
}

func (l *Load) idle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally.Idle++
}

// connection sends one kind of request at a steady rate.
type connection struct {
	l      *Load
	method string
	keep   bool
	first  int

	conn   net.Conn
	r      *bufio.Reader
	reused bool
}

func (c *connection) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	defer c.hangUp()
	for n := c.first; ; n += workers * 4 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		caller := fmt.Sprintf("caller-%d", n%c.l.o.Callers)
		side, began, err := c.send(caller, n)
		if err != nil && c.reused && !began {
			c.hangUp()
			c.l.idle()
			side, _, err = c.send(caller, n)
		}
		c.l.add(caller, side, fmt.Sprintf("%s %d (keep-alive %v)", c.method, n, c.keep), err)
		if err != nil || !c.keep {
			c.hangUp()
		}
	}
}

func (c *connection) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
	c.conn = nil
}

// send sends one request. began: at least one byte of an answer came.
func (c *connection) send(caller string, n int) (side string, began bool, err error) {
	c.reused = c.conn != nil
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.l.o.Addr, 5*time.Second); err != nil {
			return "", false, err
		}
		c.r = bufio.NewReader(c.conn)
	}
	if err := c.conn.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		return "", false, err
	}
	body := ""
	if c.method == "POST" {
		body = fmt.Sprintf("order %d", n)
	}
	_, err = fmt.Fprintf(c.conn, "%s %s HTTP/1.1\r\nHost: orders\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s",
		c.method, c.l.o.Path, c.l.o.Header, caller, len(body), body)
	if err != nil {
		return "", false, err
	}
	if _, err := c.r.Peek(1); err != nil {
		return "", false, err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return "", true, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", true, err
	}
	side = resp.Header.Get("X-Changeover-Side")
	if c.l.o.Unmarked {
		side, _, _ = strings.Cut(string(got), ":")
	}
	if resp.Close {
		c.hangUp()
	}
	switch {
	case !c.l.o.Allow(resp.StatusCode):
		return side, true, fmt.Errorf("status %d from %q: %.80q", resp.StatusCode, side, got)
	case side == "":
		return side, true, errors.New("the answer names no side")
	case resp.StatusCode == http.StatusOK && !strings.HasPrefix(string(got), side+":"+body):
		return side, true, fmt.Errorf("body %.80q, want it to start with %q", got, side+":"+body)
	}
	return side, true, nil
}
