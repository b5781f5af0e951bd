package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/proxy"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/render/bridge"
)

// tunnel answers an upgrade to a protocol and then echoes.
func tunnel(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		fmt.Fprintf(w, "no upgrade")
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
	io.Copy(conn, rw)
}

func upgrade(t *testing.T, url, protocol string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\nUpgrade: %s\r\n\r\n", protocol)
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, br, res
}

func TestAWebSocketIsUpgradedAndOutlivesASwap(t *testing.T) {
	modern := backend(t, tunnel)
	f := newFixture(t, "http://127.0.0.1:1", modern.URL, proxy.Options{})
	conn, br, res := upgrade(t, f.url, "websocket")
	if res.StatusCode != 101 || res.Header.Get("X-Changeover-Side") != "modern" {
		t.Fatalf("answer %d %v, want an upgrade", res.StatusCode, res.Header)
	}
	// It counts when it begins, since it may last for days.
	f.metric(1, "changeover_bridge_requests_total", "side=modern", "code=101")
	f.metric(1, "changeover_bridge_in_flight_requests", "side=modern")
	echo := func(text string) {
		t.Helper()
		fmt.Fprintln(conn, text)
		if got, err := br.ReadString('\n'); err != nil || got != text+"\n" {
			t.Fatalf("echo %q, error %v, want %q", got, err, text)
		}
	}
	echo("before")
	f.serve(configOf(t, "http://127.0.0.1:1", "http://127.0.0.1:2"))
	echo("after")
	conn.Close()
	f.metric(0, "changeover_bridge_in_flight_requests", "side=modern")
	f.metric(1, "changeover_bridge_requests_total", "side=modern", "code=101")
}

func TestNoTunnelOfHTTP2PassesByTheRoutes(t *testing.T) {
	for _, protocol := range []string{"h2c", "H2C", "websocket, h2c"} {
		modern := backend(t, tunnel)
		f := newFixture(t, "http://127.0.0.1:1", modern.URL, proxy.Options{})
		_, _, res := upgrade(t, f.url, protocol)
		if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(body) != "no upgrade" {
			t.Errorf("upgrade to %q: answer %d %q, want it not to reach the backend", protocol, res.StatusCode, body)
		}
	}
}

func TestServerSentEventsAreNotBuffered(t *testing.T) {
	next := make(chan string)
	modern := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for event := range next {
			fmt.Fprintf(w, "data: %s\n\n", event)
			w.(http.Flusher).Flush()
		}
	})
	f := newFixture(t, "http://127.0.0.1:1", modern.URL, proxy.Options{})
	res, err := http.Get(f.url) // returns with the headers, before any event
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	br := bufio.NewReader(res.Body)
	for _, event := range []string{"one", "two", "three"} {
		next <- event
		if line, err := br.ReadString('\n'); err != nil || line != "data: "+event+"\n" {
			t.Fatalf("got %q, error %v, want %q before the next event", line, err, event)
		}
		br.ReadString('\n')
		if event == "one" {
			// The stream goes on under another config.
			f.serve(configOf(t, "http://127.0.0.1:1", "http://127.0.0.1:2"))
		}
	}
	close(next)
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("the end of the stream is %v, want EOF", err)
	}
}

func TestAnUploadIsStreamed(t *testing.T) {
	firstHalf := make(chan int, 1)
	modern := backend(t, func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 1024)
		n, _ := io.ReadFull(r.Body, buf)
		firstHalf <- n
		sum := sha256.New()
		sum.Write(buf[:n])
		io.Copy(sum, r.Body)
		io.WriteString(w, hex.EncodeToString(sum.Sum(nil)))
	})
	f := newFixture(t, "http://127.0.0.1:1", modern.URL, proxy.Options{})
	data := make([]byte, 1<<20)
	rand.Read(data)
	pr, pw := io.Pipe()
	go func() {
		pw.Write(data[:1024])
		<-firstHalf // the backend has the beginning before the end is sent
		pw.Write(data[1024:])
		pw.Close()
	}()
	r, err := http.NewRequest("POST", f.url, pr)
	_, body := send(t, r, err)
	if want := sha256.Sum256(data); body != hex.EncodeToString(want[:]) {
		t.Errorf("the backend read other bytes")
	}
}

func TestABackendMayAnswerWhileTheClientStillSends(t *testing.T) {
	modern := backend(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		br := bufio.NewReader(r.Body)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(w, "got "+line)
			rc.Flush()
		}
	})
	f := newFixture(t, "http://127.0.0.1:1", modern.URL, proxy.Options{})
	pr, pw := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", f.url, pr)
	if err != nil {
		t.Fatal(err)
	}
	go io.WriteString(pw, "line 0\n")
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	br := bufio.NewReader(res.Body)
	for i := range 100 {
		if got, err := br.ReadString('\n'); err != nil || got != fmt.Sprintf("got line %d\n", i) {
			t.Fatalf("line %d came back as %q, error %v", i, got, err)
		}
		fmt.Fprintf(pw, "line %d\n", i+1)
	}
	pw.Close()
}

func TestAnEarlyRefusalReachesAClientThatStillSends(t *testing.T) {
	modern := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	})
	f := newFixture(t, "http://127.0.0.1:1", modern.URL, proxy.Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nthe rest is late")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 413 || string(body) != "too large\n" {
		t.Errorf("answer %d %q, error %v", res.StatusCode, body, err)
	}
	f.metric(0, "changeover_bridge_in_flight_requests", "side=modern")
	f.metric(1, "changeover_bridge_requests_total", "side=modern", "code=413")
}

func TestH2CIsServed(t *testing.T) {
	modern := backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprintf(w, "%s %s", r.Method, body)
		w.Header().Set("X-Sum", "7")
	})
	f := newFixture(t, "http://127.0.0.1:1", modern.URL, proxy.Options{})
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	for i := range 20 {
		text := strings.Repeat("x", i*10_000)
		r, err := http.NewRequest("POST", f.url, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		res, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.ProtoMajor != 2 || string(body) != "POST "+text || res.Trailer.Get("X-Sum") != "7" {
			t.Fatalf("answer %s, %d bytes, trailer %v, error %v", res.Proto, len(body), res.Trailer, err)
		}
	}
}

// flaky serves one request on every connection, and closes it without an
// answer when a second one has been read.
func flaky(t *testing.T) (url string, received *atomic.Int64) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	received = new(atomic.Int64)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				br := bufio.NewReader(conn)
				for i := range 2 {
					r, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					io.Copy(io.Discard, r.Body)
					received.Add(1)
					if i == 0 {
						fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), received
}

func TestOnlyIdempotentRequestsAreRepeatedAndOnlyOnce(t *testing.T) {
	for _, c := range []struct {
		method, body string
		code         int
		received     int64 // with the one that opened the connection
	}{
		{"GET", "", 200, 3},
		{"HEAD", "", 200, 3},
		{"POST", "pay", 502, 2},
		{"POST", "", 502, 2},
		{"PATCH", "pay", 502, 2},
		{"DELETE", "", 502, 2},
	} {
		url, received := flaky(t)
		f := newFixture(t, "http://127.0.0.1:1", url, proxy.Options{})
		get(t, f.url)
		r, err := http.NewRequest(c.method, f.url, strings.NewReader(c.body))
		res, _ := send(t, r, err)
		if res.StatusCode != c.code || received.Load() != c.received {
			t.Errorf("%s %q: answer %d after %d requests at the backend, want %d after %d",
				c.method, c.body, res.StatusCode, received.Load(), c.code, c.received)
		}
	}
}

func TestAnAnswerThatBreaksOffIsBrokenOffAtTheClient(t *testing.T) {
	modern := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	f := newFixture(t, "http://127.0.0.1:1", modern.URL, proxy.Options{})
	res, err := http.Get(f.url)
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	if err == nil {
		t.Error("the client read half an answer without an error")
	}
	f.metric(1, "changeover_bridge_aborted_responses_total", "side=modern", "by=backend")
	f.metric(1, "changeover_bridge_requests_total", "side=modern", "code=200")
	f.metric(0, "changeover_bridge_in_flight_requests", "side=modern")
}

func TestARequestEndsOnTheConfigWithWhichItBegan(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	slow := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		io.WriteString(w, "from the old backend")
	})
	fast := backend(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "from the new one") })
	f := newFixture(t, slow.URL, slow.URL, proxy.Options{})
	got := make(chan string, 1)
	go func() {
		res, err := http.Get(f.url)
		if err != nil {
			got <- err.Error()
			return
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		got <- string(body)
	}()
	<-arrived
	f.serve(configOf(t, fast.URL, fast.URL))
	if _, body := get(t, f.url); body != "from the new one" {
		t.Errorf("a new request got %q", body)
	}
	close(release)
	if body := <-got; body != "from the old backend" {
		t.Errorf("the request under way got %q", body)
	}
}

func TestConnectionsOutliveASwapThatKeepsTheBackend(t *testing.T) {
	var fresh atomic.Int64
	modern := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	modern.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			fresh.Add(1)
		}
	}
	modern.Start()
	t.Cleanup(modern.Close)
	f := newFixture(t, "http://127.0.0.1:1", modern.URL, proxy.Options{})
	for i := range 20 {
		rule := bridge.Rule{Match: &plan.Match{Path: fmt.Sprintf("/%d", i)}, To: plan.ToLegacy}
		f.serve(configOf(t, "http://127.0.0.1:1", modern.URL, rule))
		get(t, f.url)
	}
	if n := fresh.Load(); n != 1 {
		t.Errorf("%d connections to the backend over 20 swaps, want 1", n)
	}
}

func BenchmarkForward(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 1024)
	modern := backend(b, func(w http.ResponseWriter, _ *http.Request) { w.Write(payload) })
	f := newFixture(b, "http://127.0.0.1:1", modern.URL, proxy.Options{})
	for name, url := range map[string]string{"direct": modern.URL, "bridge": f.url} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				res, err := http.Get(url)
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
}
