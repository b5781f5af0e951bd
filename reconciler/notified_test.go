package reconciler_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/notify/notice"
	"github.com/changeover-dev/changeover/reconciler/notify/send"
	"github.com/changeover-dev/changeover/test/child"
)

// silentPeer takes connections and never answers.
func silentPeer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go func() { _, _ = io.Copy(io.Discard, c) }()
			}
		}
	}()
	return "http://" + l.Addr().String()
}

// TestADeadReceiverDelaysNoDecision has a loop go forward and roll back while
// receivers of every kind hang or refuse: none would have given up before the
// test does. One that works is told all the same.
func TestADeadReceiverDelaysNoDecision(t *testing.T) {
	var told atomic.Int64
	well := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { told.Add(1) }))
	t.Cleanup(well.Close)
	hangs, refuses := silentPeer(t), "http://"+child.FreeAddr(t)
	var rs []send.Receiver
	add := func(name string, kind send.Kind, url string) {
		rs = append(rs, send.Receiver{Receiver: notice.Receiver{Name: name, Default: true}, Kind: kind, URL: url})
	}
	for _, kind := range []send.Kind{send.Alertmanager, send.Slack, send.Webhook} {
		add("hangs-"+string(kind), kind, hangs)
		add("refuses-"+string(kind), kind, refuses)
	}
	add("well", send.Webhook, well.URL)
	g := newRig(t)
	var loop atomic.Pointer[reconciler.Reconciler]
	s, err := send.New(send.Options{
		Receivers: rs, Now: time.Now, Log: slog.New(slog.DiscardHandler), Interval: 20 * time.Millisecond, Deadline: time.Hour,
		Statuses: func() []reconciler.Status {
			if r := loop.Load(); r != nil {
				return r.Statuses()
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	g.wrap = func(o *reconciler.Options) { o.Notifier = s }
	g.start()
	loop.Store(g.r)
	g.raise("gradual@25")
	at := func(percent plan.Percent) func(reconciler.Status) bool {
		return func(st reconciler.Status) bool {
			return st.Effective == plan.Position{Phase: "gradual", Percent: percent} && st.Move == nil
		}
	}
	g.await("25 % with dead receivers", at(25))
	g.sampler.Set("errors", 0.5)
	g.await("the rollback with dead receivers", func(st reconciler.Status) bool {
		return st.Effective.Phase == "setup" && st.Move == nil && st.Pending == nil
	})
	for end := time.Now().Add(60 * time.Second); told.Load() < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the receiver that works was told %d times", told.Load())
		}
	}
}
