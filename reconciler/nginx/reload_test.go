package nginx_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/reconciler/nginx"
	"github.com/changeover-dev/changeover/test/load"
	"github.com/changeover-dev/changeover/test/nginxtest"
)

func TestNoRequestFailsOverTwentyReloads(t *testing.T) {
	s, m := nginxtest.Start(t), newMigration(t)
	g := open(t, s)
	apply(t, g, m.Plan, setup)
	l := load.Start(t.Context(), load.Options{
		Addr: strings.TrimPrefix(s.URL, "http://"), Path: "/orders", Header: "X-Tenant-ID", Callers: 50, Rate: 200,
	})
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
	count := l.Stop()
	t.Logf("20 reloads in %v (slowest %v): %s", took.Round(time.Millisecond), slowest.Round(time.Millisecond), count)
	for _, f := range count.Failed {
		t.Error(f)
	}
	if asked := m.asked.Load(); asked != int64(count.Requests) {
		t.Errorf("%d requests reached the backends %d times", count.Requests, asked)
	}
	if count.Requests < 300 {
		t.Errorf("only %d requests were sent: the test proved little", count.Requests)
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
