package prom

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestItScrapesAndAnswersOverHTTP(t *testing.T) {
	var n atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE orders_total counter\norders_total{code=\"200\"} %d\n", n.Add(10))
	}))
	defer target.Close()
	s, err := Start(t.Context(), Options{
		Dir: t.TempDir(), Interval: time.Second, Logger: slog.New(slog.DiscardHandler),
		Targets: []Target{{Job: "modern", Addr: strings.TrimPrefix(target.URL, "http://")}, {Job: "gone", Addr: "127.0.0.1:1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := http.Get(s.URL() + "/-/ready"); err == nil {
			t.Error("it still answers after Close")
		}
	}()
	for query, want := range map[string]float64{
		`up{job="modern"}`:                              1,
		`up{job="gone"}`:                                0,
		`sum(rate(orders_total[5s])) > bool 5`:          1,
		`count(orders_total{job="modern"})`:             1,
		`sum(rate(absent[5s])) or vector(0)`:            0,
		`time() - timestamp(up{job="modern"}) < bool 2`: 1,
	} {
		value(t, s, query, want)
	}
	if v, ok, err := s.Value(t.Context(), "absent"); ok || err != nil {
		t.Errorf("an absent series is %v, %v, %v", v, ok, err)
	}
	if _, _, err := s.Value(t.Context(), "sum("); err == nil || !strings.Contains(err.Error(), "parse error") {
		t.Errorf("a broken query: %v", err)
	}
	for _, path := range []string{"targets", "rules", "alerts", "alertmanagers", "status/tsdb", "status/config", "status/runtimeinfo", "status/buildinfo", "status/walreplay", "notifications"} {
		resp, err := http.Get(s.URL() + "/api/v1/" + path)
		if err != nil {
			t.Errorf("GET %s: %v", path, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s", path, resp.Status)
		}
	}
}

// value waits until the query answers with one series of that value.
func value(t *testing.T, s *Server, query string, want float64) {
	t.Helper()
	var got float64
	var ok bool
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var err error
		if got, ok, err = s.Value(t.Context(), query); err != nil {
			t.Fatal(err)
		}
		if ok && got == want {
			return
		}
	}
	t.Errorf("%s is %v, %v, want %v", query, got, ok, want)
}
