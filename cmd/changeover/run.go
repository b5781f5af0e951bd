package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/live"
	"github.com/changeover-dev/changeover/reconciler/record"
	"github.com/changeover-dev/changeover/reconciler/web"
)

func (a *app) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon",
		Long: `Watch a branch and bring the gateway to what its plans declare, until SIGTERM or SIGINT: then an effect that was
begun is finished, and the next is not begun. Logs go to standard error.

One daemon can watch several repositories or branches, for one gateway and one cluster: --sources names a file such as

  sources:
    - name: payments
      repo: https://git.example.com/payments/migrations.git
      git-token-file: /etc/changeover/payments-token
    - name: orders
      repo: https://git.example.com/orders/app.git
      branch: release
      path: migrations

The fields are the flags of Git, signatures, forge and rendered manifests; what is on the command line holds for all
that do not say otherwise. Each source has its records in sources/NAME of the state directory. A repository that
cannot be read holds up its own plans alone. Of two sources with a plan of one name, the one that had it first keeps it.

Exit codes: 0 after a signal, 2 wrong flags, 3 could not start (another daemon on the state directory, a repository
that cannot be read and of which there is no copy, an address in use, own commits that would not verify).`,
		Example: `  changeover run --repo https://git.example.com/ops/migrations.git --git-token-file /etc/changeover/token \
    --state-dir /var/lib/changeover --prometheus http://127.0.0.1:9090 \
    --nginx-dir /etc/nginx/managed --nginx-conf /etc/nginx/nginx.conf`,
		Args: noArguments,
	}
	var f runFlags
	f.add(cmd, a.getenv)
	cmd.RunE = a.does(func(ctx context.Context, _ []string) error {
		if err := f.check(); err != nil {
			return err
		}
		sources, err := f.sources(cmd.Flags(), a.getenv)
		if err != nil {
			return err
		}
		return a.daemon(ctx, &f, sources)
	})
	return cmd
}

// stopping is how long the HTTP servers get to finish their answers.
const stopping = 5 * time.Second

// daemon runs until ctx ends, or another daemon leads.
func (a *app) daemon(ctx context.Context, f *runFlags, flags []*sourceFlags) (err error) {
	build := readBuild()
	d := &daemon{app: a, flags: f, log: a.logger(f), metrics: newMetrics(build), feed: live.New()}
	lock, err := d.openSources(ctx, flags)
	defer func() { err = errors.Join(err, lock()) }()
	if err != nil {
		return err
	}
	page, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listen for the status page: %w; choose another --listen", err)
	}
	defer func() { _ = page.Close() }()

	admin, err := web.ListenUnix(filepath.Join(f.stateDir, socketName))
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close() }()

	o := web.Options{Plans: &d.plans, Feed: d.feed, Metrics: d.metrics, Now: a.now, Log: d.log, Version: build.Version, Several: f.sourcesFile != ""}
	all := []served{{web.NewServer(web.Handler(o), d.log), page}, {web.NewServer(web.AdminHandler(o), d.log), admin}}
	all[0].server.RegisterOnShutdown(d.feed.Close) // pages that wait for news would hold it up
	hook, err := d.serveHook(ctx)
	if err != nil {
		return err
	}
	asked, err := d.serveFlags(ctx)
	if err != nil {
		return err
	}
	for _, s := range d.plans.sources {
		s.log.Info("started", "version", build.Version, "repo", s.flags.shownRepo(), "branch", s.flags.branch, "path", s.flags.path, "listen", page.Addr().String(), "admin", admin.Addr().String())
	}
	err = serveWhile(ctx, d.log, d.run, append(append(all, hook...), asked...)...)
	d.log.Info("stopped")
	return err
}

// openSources opens the records of all sources, and returns what closes them,
// also where it fails.
func (d *daemon) openSources(ctx context.Context, flags []*sourceFlags) (done func() error, err error) {
	var open []*record.Dir
	done = func() (err error) {
		for _, r := range slices.Backward(open) {
			err = errors.Join(err, r.Close())
		}
		return err
	}
	for _, f := range flags {
		source, err := f.sourceOptions(d.now)
		if err == nil {
			err = source.CheckSigning()
		}
		if err != nil {
			return done, err
		}
	}
	if d.flags.sourcesFile != "" {
		// One daemon works on the directory, whichever its sources are.
		lock, err := record.Open(d.flags.stateDir)
		if err != nil {
			return done, err
		}
		open = append(open, lock)
	}
	if err := checkLayout(ctx, d.flags.stateDir, d.flags.sourcesFile != ""); err != nil {
		return done, err
	}
	gone, err := left(ctx, d.flags.stateDir, flags)
	if err != nil {
		return done, err
	}
	for _, name := range gone {
		d.log.Warn("a source is not watched any more: its plans stay as they are, and nothing rolls them back", "source", name,
			"records", filepath.Join(d.flags.stateDir, sourcesFolder, name))
	}
	for _, f := range flags {
		s, err := d.newSource(f)
		if err != nil {
			return done, err
		}
		open = append(open, s.records)
		d.plans.sources = append(d.plans.sources, s)
	}
	return done, nil
}

type served struct {
	server   *http.Server
	listener net.Listener
}

// serveWhile serves as long as the loop runs, so that what it finishes after a
// signal can still be watched. A server that fails ends the loop.
func serveWhile(ctx context.Context, log *slog.Logger, loop func(context.Context) error, all ...served) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	for _, s := range all {
		g.Go(func() error {
			if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
				cancel()
				return fmt.Errorf("serve on %s: %w", s.listener.Addr(), err)
			}
			return nil
		})
	}
	err := loop(ctx)
	log.Info("stopping")
	end, done := context.WithTimeout(context.WithoutCancel(ctx), stopping)
	defer done()
	for _, s := range all {
		if s.server.Shutdown(end) != nil {
			_ = s.server.Close()
		}
	}
	return errors.Join(err, g.Wait())
}

func (a *app) logger(f *runFlags) *slog.Logger {
	if f.logFormat == "text" {
		return slog.New(slog.NewTextHandler(a.stderr, nil))
	}
	return slog.New(slog.NewJSONHandler(a.stderr, nil))
}

// newMetrics is the daemon's own registry.
func newMetrics(b buildFacts) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "changeover_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": b.Version, "commit": b.Commit, "go": b.Go},
	})
	info.Set(1)
	reg.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// limits of the daemon for decisions.
func (f *runFlags) limits() decide.Limits {
	return decide.Limits{GitMaxAge: f.gitMaxAge, Cooldown: f.cooldown, MaxPerDay: f.maxPerDay, NoDataAlert: f.noDataAlert}
}
