package web_test

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/live"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// eventServer serves a page on the server that the daemon uses.
func eventServer(t *testing.T, f *live.Feed) (server *http.Server, url string) {
	t.Helper()
	o := options(&fakePlans{statuses: []reconciler.Status{waiting()}})
	o.Feed = f
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server = web.NewServer(web.Handler(o), slog.New(slog.DiscardHandler))
	server.RegisterOnShutdown(f.Close)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return server, "http://" + l.Addr().String()
}

// listen reads what a stream says, line by line.
func listen(t *testing.T, url string) (lines <-chan string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %s, %s", resp.Status, resp.Header)
	}
	out := make(chan string)
	go func() {
		defer close(out)
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			if data, ok := strings.CutPrefix(s.Text(), "data: "); ok {
				out <- data
			}
		}
	}()
	return out
}

func next(t *testing.T, lines <-chan string, want string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case got, ok := <-lines:
			if got == want {
				return
			}
			if !ok {
				t.Fatalf("the stream ended before %q", want)
			}
		case <-deadline:
			t.Fatalf("the stream never said %q", want)
		}
	}
}

func TestStreamsTellOfNewsOfTheirPlanAndEndWithTheServer(t *testing.T) {
	f := live.New()
	server, url := eventServer(t, f)
	one, all := listen(t, url+"/events/default/shop"), listen(t, url+"/events")
	next(t, one, "beat") // both have joined
	next(t, all, "beat")
	f.Put(waiting())
	next(t, one, "news")
	next(t, all, "news")
	begun := time.Now()
	if err := server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begun); d > 30*time.Second {
		t.Errorf("the streams held the server up for %s", d)
	}
	for range one {
	}
	for range all {
	}
}

func TestStreamsOutliveTheDeadlineForRequests(t *testing.T) {
	f := live.New()
	o := options(&fakePlans{})
	o.Feed = f
	s := httptest.NewUnstartedServer(web.Handler(o))
	s.Config.ReadTimeout, s.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	s.Start()
	t.Cleanup(func() { f.Close(); s.Close() })
	lines := listen(t, s.URL+"/events/default/shop")
	next(t, lines, "beat")
	next(t, lines, "beat") // 5 s later
	f.Put(waiting())
	next(t, lines, "news")
}

func TestThereAreOnlySoManyStreams(t *testing.T) {
	f := live.New()
	for {
		if _, ok := f.Join(plan.Key{}); !ok {
			break
		}
	}
	o := options(&fakePlans{})
	o.Feed = f
	w := get(t, web.Handler(o), "/events")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}
