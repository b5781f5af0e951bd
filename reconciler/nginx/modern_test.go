package nginx_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// copies is a modern that keeps what it is sent.
type copies struct {
	*httptest.Server
	mu  sync.Mutex
	got []string
}

func newCopies(t testing.TB) *copies {
	t.Helper()
	c := &copies{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		c.mu.Lock()
		c.got = append(c.got, fmt.Sprintf("%s %s %s side=%s body=%s %v", r.Method, r.RequestURI, r.Host, r.Header.Get("X-Changeover-Side"), short(string(body)), err))
		c.mu.Unlock()
		w.Header().Set("X-Answered-By", "modern")
		fmt.Fprint(w, "modern:"+strings.Repeat("x", 100_000))
	}))
	t.Cleanup(c.Close)
	return c
}

// short keeps a long body's length and ends.
func short(s string) string {
	if len(s) < 20 {
		return s
	}
	return fmt.Sprintf("%s..%s (%d)", s[:5], s[len(s)-5:], len(s))
}

// take returns the copies since the last time, once n have come and no more do.
func (c *copies) take(t testing.TB, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		have := len(c.got)
		c.mu.Unlock()
		if have >= n || time.Now().After(deadline) {
			break
		}
	}
	time.Sleep(30 * time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

// badModern is a modern that is no good to copies.
type badModern struct {
	name string
	url  func(t *testing.T) string
	n    int           // requests of each kind
	wait time.Duration // what the next request of a connection waits at most
}

// answering accepts connections and hands each to f, which owns it.
func answering(f func(net.Conn)) func(*testing.T) string {
	return func(t *testing.T) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go f(c)
			}
		}()
		return "http://" + l.Addr().String()
	}
}

// says reads a request's head, and answers so.
func says(answer string) func(*testing.T) string {
	return answering(func(c net.Conn) {
		defer c.Close()
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			fmt.Fprint(c, answer)
		}
	})
}

// hangs reads and answers nothing.
var hangs = answering(func(c net.Conn) { _, _ = io.Copy(io.Discard, c); c.Close() })

var badModerns = []badModern{
	{"well", func(t *testing.T) string { return newCopies(t).URL }, 300, 100 * time.Millisecond},
	{"down", func(t *testing.T) string {
		l := httptest.NewServer(http.NotFoundHandler())
		defer l.Close()
		return l.URL
	}, 300, 100 * time.Millisecond},
	{"hangs", hangs, 15, 300 * time.Millisecond},
	{"never takes a connection", full, 15, 100 * time.Millisecond},
	{"answers a byte at a time", answering(func(c net.Conn) {
		defer c.Close()
		_, err := fmt.Fprint(c, "HTTP/1.1 200 OK\r\nX: ")
		for ; err == nil; time.Sleep(50 * time.Millisecond) {
			_, err = fmt.Fprint(c, "x")
		}
	}), 15, 300 * time.Millisecond},
	{"hangs before TLS", func(t *testing.T) string { return strings.Replace(hangs(t), "http:", "https:", 1) }, 15, 200 * time.Millisecond},
	{"answers garbage", says("\x00\xffgarbage\r\n\r\n"), 300, 100 * time.Millisecond},
	{"hangs up", says(""), 300, 100 * time.Millisecond},
	{"answers 408", says("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"), 300, 100 * time.Millisecond},
	{"answers without end", answering(func(c net.Conn) {
		defer c.Close()
		_, err := fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
		for err == nil {
			_, err = c.Write(make([]byte, 1<<16))
		}
	}), 100, 100 * time.Millisecond},
}

// full is where no connection is ever taken: whoever asks is not answered, as
// with a firewall that drops packets.
func full(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 10 {
		c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if err != nil {
			return "http://" + addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("a socket with a full queue takes connections")
	return ""
}
