package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// floodRate is a little more than is promised, in deliveries a second.
	floodRate   = 1060
	senders     = 32
	slowSenders = 24 // of each kind
	largeBody   = 10 << 20
	largeEvery  = 500 * time.Millisecond
)

// flood sends deliveries until it is stopped.
type flood struct {
	addr   string
	client *http.Client
	// hostile: nothing that may wake is sent any more.
	hostile atomic.Bool
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	begun   time.Time

	mu    sync.Mutex
	tally tally
}

// tally is what came of a flood.
type tally struct {
	answered int // of the steady rate; beside it are the large and the slow ones
	took     time.Duration
	codes    map[string]map[int]int // by kind of delivery
	wrong    []string               // the first that were not answered as they must be
	kinds    []string               // that must be there
}

// String is a line for each kind.
func (t *tally) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(t.codes)) {
		fmt.Fprintf(&b, "%-40s %v\n", name, t.codes[name])
	}
	return b.String()
}

// missing are kinds of which none was answered.
func (t *tally) missing() (out []string) {
	for _, name := range t.kinds {
		if len(t.codes[name]) == 0 {
			out = append(out, name)
		}
	}
	return out
}

func startFlood(t *testing.T, addr, secret string) *flood {
	t.Helper()
	all := shots(secret)
	f := &flood{
		addr: addr, begun: time.Now(), tally: tally{codes: map[string]map[int]int{}},
		client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxConnsPerHost: senders, MaxIdleConnsPerHost: senders}},
	}
	for _, s := range all {
		f.tally.kinds = append(f.tally.kinds, s.name)
	}
	f.tally.kinds = append(f.tally.kinds, largeWithLength, largeInChunks, slowHeaders, slowBody)
	ctx, cancel := context.WithCancel(t.Context())
	f.cancel = cancel
	due := make(chan struct{}, floodRate) // a machine that is behind for a second has lost it
	f.wg.Go(func() { pace(ctx, due) })
	var next atomic.Int64
	for range senders {
		f.wg.Go(func() {
			for range due {
				s := all[int(next.Add(1))%len(all)]
				for f.hostile.Load() && s.wakes {
					s = all[int(next.Add(1))%len(all)]
				}
				f.send(s)
			}
		})
	}
	f.wg.Go(func() { f.sendLarge(ctx) })
	for range slowSenders {
		f.wg.Go(func() { f.until(ctx, func() { f.drip(slowHeaders, slowStart, 0, 5*time.Second) }) })
		f.wg.Go(func() { f.until(ctx, func() { f.drip(slowBody, slowHead, http.StatusBadRequest, 10*time.Second) }) })
	}
	t.Cleanup(func() { f.stop() })
	return f
}

// pace gives a sign for every delivery that is due.
func pace(ctx context.Context, due chan<- struct{}) {
	defer close(due)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	begun, given := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for want := int(time.Since(begun).Seconds() * floodRate); given < want; given++ {
			select {
			case due <- struct{}{}:
			default: // nobody is free
			}
		}
	}
}

func (f *flood) until(ctx context.Context, do func()) {
	for ctx.Err() == nil {
		do()
	}
}

// stop ends the flood, when the slow ones were hung up on.
func (f *flood) stop() *tally {
	f.mu.Lock()
	if f.tally.took == 0 {
		f.tally.took = time.Since(f.begun)
	}
	f.mu.Unlock()
	f.cancel()
	f.wg.Wait()
	f.client.CloseIdleConnections()
	return &f.tally
}

func (f *flood) send(s shot) {
	req, err := http.NewRequest(s.method, "http://"+f.addr+s.path, strings.NewReader(s.body))
	if err != nil {
		panic(err) // what a test has made
	}
	for k, v := range s.headers {
		req.Header.Set(k, v)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		f.note(s.name, s.code, 0, err)
		return
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	f.mu.Lock()
	if f.tally.took == 0 {
		f.tally.answered++
	}
	f.mu.Unlock()
	f.note(s.name, s.code, resp.StatusCode, err)
}

// note counts an answer, and keeps the first ones that are wrong.
func (f *flood) note(name string, want, got int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tally.codes[name] == nil {
		f.tally.codes[name] = map[int]int{}
	}
	f.tally.codes[name][got]++
	if (got != want || err != nil) && len(f.tally.wrong) < 10 {
		f.tally.wrong = append(f.tally.wrong, fmt.Sprintf("%s is answered %d, want %d: %v", name, got, want, err))
	}
}

// sendLarge sends bodies of 10 MB, each over a connection of its own, while its
// answer is waited for: it comes before the body has ended.
func (f *flood) sendLarge(ctx context.Context) {
	tick := time.NewTicker(largeEvery)
	defer tick.Stop()
	body := strings.Repeat("x", largeBody)
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		name, text := largeWithLength, largeHead+fmt.Sprintf("Content-Length: %d\r\n\r\n%s", largeBody, body)
		if n%2 == 1 {
			name, text = largeInChunks, largeHead+fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", largeBody, body)
		}
		code, err := f.raw(func(c net.Conn) { _, _ = io.WriteString(c, text) }, 10*time.Second)
		f.note(name, http.StatusRequestEntityTooLarge, code, err)
	}
}

// drip sends a head, and then a byte every 50 ms for as long as it is let. It
// must be answered so, or hung up on, within a time and five seconds more.
func (f *flood) drip(name, head string, want int, within time.Duration) {
	begun := time.Now()
	ended := make(chan struct{})
	code, err := f.raw(func(c net.Conn) {
		_, err := io.WriteString(c, head)
		for err == nil {
			select {
			case <-ended:
				return
			case <-time.After(50 * time.Millisecond):
			}
			_, err = io.WriteString(c, "x")
		}
	}, within+10*time.Second)
	close(ended)
	if took := time.Since(begun); took > within+5*time.Second && err == nil {
		err = fmt.Errorf("it was let for %s", took)
	}
	f.note(name, want, code, err)
}

// raw sends over a connection of its own and returns the code of the answer; 0
// where the daemon hung up without one.
func (f *flood) raw(send func(net.Conn), within time.Duration) (code int, err error) {
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		return 0, err
	}
	sent := make(chan struct{})
	defer func() { <-sent }()
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(within))
	go func() {
		defer close(sent)
		send(c)
	}()
	in := bufio.NewReader(c)
	if _, err := in.Peek(1); err != nil {
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			return 0, err
		}
		return 0, nil
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, err
	}
	_ = resp.Body.Close()
	return resp.StatusCode, nil
}
