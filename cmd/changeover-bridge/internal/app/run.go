package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/follow"
	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/owner"
	"github.com/changeover-dev/changeover/cmd/changeover-bridge/internal/proxy"
	"github.com/changeover-dev/changeover/plan"
)

// Bridge is a running bridge.
type Bridge struct {
	o        Options
	log      *slog.Logger
	registry *prometheus.Registry
	proxy    *proxy.Handler
	follower *follow.Follower
	owners   *owner.Keeper // nil: it knows no owners

	draining atomic.Bool
	// started, parent and replaced tell whether a bridge before or after this one
	// may have requests under way: see unsettled.
	started  time.Time
	parent   int
	replaced atomic.Bool
	// connections of callers that are open, of HTTP/1 and h2c.
	connections atomic.Int64
	// handlers are the requests under way; the server does not count those
	// that were upgraded.
	handlers atomic.Int64
}

// newBridge fails where the config's source cannot be asked, or the owners of
// entities can be neither read nor kept.
func newBridge(o Options, log *slog.Logger) (*Bridge, error) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	b := &Bridge{o: o, log: log, registry: reg, started: time.Now(), parent: os.Getppid()}
	traffic := proxy.Options{
		Limits: o.Limits, TrustedProxies: o.TrustedProxies, ClientsBy: o.ClientsBy, Metrics: proxy.NewMetrics(reg), Log: log,
	}
	var err error
	if b.owners, err = o.Ownership.open(reg, log); err != nil {
		return nil, err
	}
	if b.owners != nil {
		traffic.Owners = b.owners
	}
	b.proxy = proxy.New(traffic)
	reg.MustRegister(b.proxy.ShadowMetrics())
	if !o.ClientsBy.None() {
		b.countClients()
	}
	source, err := o.source(log)
	if err != nil {
		return nil, err
	}
	b.follower = follow.New(follow.Options{
		Source: source, Cache: follow.Cache(o.ConfigMap.Cache), Serve: b.proxy.Serve, Metrics: follow.NewMetrics(reg), Log: log,
	})
	return b, nil
}

// recent is how long a client counts for the metric after its last request.
const recent = time.Hour

// countClients has a metric of how many clients each side has.
func (b *Bridge) countClients() {
	for _, side := range []plan.Side{plan.Legacy, plan.Modern} {
		b.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "changeover_bridge_clients", Help: "Clients that called a side within the last hour, by --clients-by; at most 1000 are known.",
			ConstLabels: prometheus.Labels{"side": string(side)},
		}, func() float64 { return float64(b.proxy.RecentClients(side, time.Now().Add(-recent))) }))
	}
}

// heapFloor is memory that is never touched, and so takes no room but in the
// arithmetic of the collector: a bridge holds little and makes much garbage, and
// would otherwise collect every few megabytes. Where it holds much, this is
// little beside it, as a higher GOGC would not be.
const heapFloor = 32 << 20

// Run serves until the context ends, then lets the requests under way end, for
// Options.Drain at most. What comes over handOver makes it start another bridge
// in its place, and end likewise once that one serves. It fails where it cannot
// listen.
func Run(ctx context.Context, o Options, handOver <-chan os.Signal, log *slog.Logger) error {
	floor := make([]byte, heapFloor)
	defer runtime.KeepAlive(floor)
	b, err := newBridge(o, log)
	if err != nil {
		return err
	}
	if b.owners != nil {
		defer b.owners.Close()
	}
	// Before anything is listened to, so that a restart never answers 503
	// while there is a config.
	b.follower.Read(ctx)

	l, err := listen(ctx, o)
	if err != nil {
		return err
	}
	where := []any{"traffic", l.traffic.Addr().String(), "admin", l.admin.Addr().String(), "pid", os.Getpid()}
	if o.inherit {
		log.Info("took over", where...)
	} else {
		log.Info("listening", where...)
	}
	return b.serve(ctx, l, handOver)
}

func (b *Bridge) serve(ctx context.Context, l listeners, handOver <-chan os.Signal) error {
	requests, cut := context.WithCancel(context.Background())
	defer cut()
	trafficServer, adminServer := b.trafficServer(requests), b.adminServer()

	// The config is followed while requests drain: a rollback counts for the
	// last of them too.
	following, unfollow := context.WithCancel(context.Background())
	followed := make(chan struct{})
	go func() { defer close(followed); b.follower.Run(following) }()
	defer func() { unfollow(); <-followed }()

	failed := make(chan error, 2)
	go func() { failed <- trafficServer.Serve(l.traffic) }()
	go func() { failed <- adminServer.Serve(l.admin) }()
	if err := l.tell(ctx, b.o.notifySocket); err != nil {
		b.log.Warn("nobody was told that the bridge serves", "error", err.Error())
	}
	for {
		select {
		case <-ctx.Done():
			b.drain(trafficServer, cut)
			adminServer.Close()
			return nil
		case err := <-failed:
			b.drain(trafficServer, cut)
			adminServer.Close()
			return fmt.Errorf("serve: %w", err)
		case <-handOver:
			b.replaced.Store(true)
			pid, err := l.handOver(ctx, b.o.program, b.o.args, b.o.env)
			if err != nil {
				b.replaced.Store(false)
				b.log.Error("the bridge goes on itself", "error", err.Error())
				continue
			}
			b.log.Info("handed over", "to", pid)
			_ = l.traffic.Close() // what waits in the socket is the other's
			_ = l.admin.Close()
			b.leave()
			b.drain(trafficServer, cut)
			adminServer.Close()
			return nil
		}
	}
}

// leaving is how long callers have to send a request over a connection that they
// keep, and learn by the answer that it ends.
const leaving = 5 * time.Second

// leave ends kept connections in good order: to close one while a caller sends
// its next request would lose that request.
func (b *Bridge) leave() {
	b.draining.Store(true)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(min(leaving, b.o.Drain)); time.Now().Before(end) && b.connections.Load() > 0; {
		<-look.C
	}
}

// drain ends the traffic: no new connections, then as long as Options.Drain
// for the requests under way, then they are cut.
func (b *Bridge) drain(s *http.Server, cut context.CancelFunc) {
	b.draining.Store(true)
	b.log.Info("draining", "timeout", b.o.Drain.String())
	ctx, cancel := context.WithTimeout(context.Background(), b.o.Drain)
	defer cancel()
	err := s.Shutdown(ctx)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for err == nil && b.handlers.Load() > 0 {
		select {
		case <-look.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		b.log.Warn("cutting the requests that did not end in time")
	}
	cut()
	s.Close()
	b.log.Info("stopped")
}

func (b *Bridge) trafficServer(requests context.Context) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.handlers.Add(1)
			defer b.handlers.Add(-1)
			if b.draining.Load() && r.ProtoMajor == 1 && r.Header.Get("Upgrade") == "" {
				w.Header().Set("Connection", "close")
			}
			b.traffic(w, r)
		}),
		Protocols: &protocols,
		// No ReadTimeout and no WriteTimeout: uploads, streams and upgraded
		// connections take as long as they take.
		ReadHeaderTimeout: b.o.ReadHeaderTimeout,
		IdleTimeout:       b.o.IdleTimeout,
		MaxHeaderBytes:    b.o.MaxHeaderBytes,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: 30 * time.Second},
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				b.connections.Add(1)
			case http.StateClosed, http.StateHijacked:
				b.connections.Add(-1)
			}
		},
		BaseContext: func(net.Listener) context.Context { return requests },
		ErrorLog:    slog.NewLogLogger(b.log.Handler(), slog.LevelWarn),
	}
}

func (b *Bridge) adminServer() *http.Server {
	return &http.Server{
		Handler:           b.admin(),
		ReadHeaderTimeout: b.o.ReadHeaderTimeout,
		IdleTimeout:       b.o.IdleTimeout,
		MaxHeaderBytes:    b.o.MaxHeaderBytes,
		// A CPU profile takes as long as its caller asks.
		WriteTimeout: 10 * time.Minute,
		ErrorLog:     slog.NewLogLogger(b.log.Handler(), slog.LevelWarn),
	}
}
