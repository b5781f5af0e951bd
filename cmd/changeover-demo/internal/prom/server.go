package prom

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/tsdb"
)

// Target is one endpoint to scrape at /metrics; its series carry the label job.
type Target struct {
	Job  string
	Addr string // host:port
}

// Options of a server.
type Options struct {
	Dir      string        // of the database; it is made where it is missing
	Interval time.Duration // between scrapes, whole seconds; also the timeout of one
	Targets  []Target
	Logger   *slog.Logger
}

// Server is a running Prometheus.
type Server struct {
	url     string
	db      *tsdb.DB
	engine  *promql.Engine
	scraper *scrape.Manager
	cfg     *config.Config
	reg     *prometheus.Registry
	opts    Options
	started time.Time
	http    *http.Server
	running chan struct{} // closed when the scraper has ended
}

// Start opens the database, starts to scrape and serves the HTTP API on a free
// loopback port. Close ends it, not ctx.
func Start(ctx context.Context, o Options) (*Server, error) {
	s := &Server{opts: o, reg: prometheus.NewRegistry(), started: time.Now(), running: make(chan struct{})}
	cfg, err := config.Load(configText(o), o.Logger)
	if err != nil {
		return nil, fmt.Errorf("load the Prometheus config: %w", err)
	}
	s.cfg = cfg
	s.db, err = tsdb.Open(o.Dir, o.Logger, s.reg, tsdb.DefaultOptions(), nil)
	if err != nil {
		return nil, fmt.Errorf("open the Prometheus database in %q: %w", o.Dir, err)
	}
	s.engine = promql.NewEngine(promql.EngineOpts{
		Logger: o.Logger, Reg: s.reg,
		MaxSamples: 1_000_000, Timeout: 10 * time.Second,
		EnableAtModifier: true, EnableNegativeOffset: true,
	})
	if err := s.startScraping(); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	if err := s.serve(ctx); err != nil {
		s.stopScraping()
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

// URL is the address of the server, without a path.
func (s *Server) URL() string { return s.url }

// Close ends serving and scraping and closes the database.
func (s *Server) Close() error {
	err := s.http.Close()
	s.stopScraping()
	return errors.Join(err, s.engine.Close(), s.db.Close())
}

// configText is a prometheus.yml without discovery: the targets are sent to the
// scraper directly.
func configText(o Options) string {
	var b strings.Builder
	d := model.Duration(o.Interval)
	fmt.Fprintf(&b, "global: {scrape_interval: %s, scrape_timeout: %s}\nscrape_configs:\n", d, d)
	for _, job := range o.jobs() {
		fmt.Fprintf(&b, "- job_name: %q\n", job)
	}
	return b.String()
}

func (o Options) jobs() []string {
	var jobs []string
	for _, t := range o.Targets {
		if !slices.Contains(jobs, t.Job) {
			jobs = append(jobs, t.Job)
		}
	}
	return jobs
}

func (s *Server) startScraping() error {
	m, err := scrape.NewManager(&scrape.Options{DiscoveryReloadOnStartup: true}, s.opts.Logger, nil, nil, s.db, s.reg)
	if err != nil {
		return fmt.Errorf("start the Prometheus scraper: %w", err)
	}
	if err := m.ApplyConfig(s.cfg); err != nil {
		return fmt.Errorf("configure the Prometheus scraper: %w", err)
	}
	s.scraper = m
	groups := make(map[string][]*targetgroup.Group)
	for _, t := range s.opts.Targets {
		groups[t.Job] = append(groups[t.Job], &targetgroup.Group{
			Source:  t.Addr,
			Targets: []model.LabelSet{{model.AddressLabel: model.LabelValue(t.Addr)}},
		})
	}
	sets := make(chan map[string][]*targetgroup.Group, 1)
	sets <- groups
	go func() {
		defer close(s.running)
		if err := m.Run(sets); err != nil {
			s.opts.Logger.Error("scraper ended", "err", err)
		}
	}()
	return nil
}

func (s *Server) stopScraping() {
	s.scraper.Stop()
	<-s.running
}

func (s *Server) serve(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the Prometheus API: %w", err)
	}
	u := url.URL{Scheme: "http", Host: l.Addr().String()}
	s.url = u.String()
	router := route.New()
	s.api(u).Register(router.WithPrefix("/api/v1"))
	router.Get("/-/ready", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Prometheus Server is Ready.") })
	s.http = &http.Server{Handler: router, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.opts.Logger.Error("API ended", "err", err)
		}
	}()
	return nil
}
