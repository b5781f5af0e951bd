package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/bridge"
	"github.com/changeover-dev/changeover/reconciler/git"
	"github.com/changeover-dev/changeover/reconciler/nginx"
	"github.com/changeover-dev/changeover/reconciler/notify"
	"github.com/changeover-dev/changeover/reconciler/pulls"
	"github.com/changeover-dev/changeover/reconciler/record"
	"github.com/changeover-dev/changeover/render/kustomize"
)

// daemon is what `changeover run` has for as long as it runs, whether it leads
// or stands by.
type daemon struct {
	*app
	flags   *runFlags
	records *record.Dir
	log     *slog.Logger
	metrics *prometheus.Registry
	plans   plansNow
	pulls   atomic.Pointer[pulls.Watcher] // nil without a forge, and before this daemon leads
}

// run works until ctx ends: at once, or with an election while it leads.
func (d *daemon) run(ctx context.Context) error {
	if !d.flags.lease.elect {
		return d.work(ctx, nil)
	}
	return d.elect(ctx)
}

// work makes the loop and runs it. The fence says why no effect may be begun;
// nil: all may.
func (d *daemon) work(ctx context.Context, fence func() error) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w, err := d.wire(ctx, d.flags, fence, cancel)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.repo.Close()) }()
	w.waker.loop.Store(w.loop)
	d.plans.loop.Store(w.loop)
	err = w.run(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err) // another daemon has written meanwhile
	}
	return err
}

// wired is the daemon's loop with what runs beside it and must be closed after
// it.
type wired struct {
	loop   *reconciler.Reconciler
	repo   *git.Repository
	waker  waker
	beside []func(context.Context) error
}

// wire makes the adapters that the flags name. It is the only place that knows
// which they are.
func (d *daemon) wire(ctx context.Context, f *runFlags, fence func() error, fenced func(error)) (*wired, error) {
	log := d.log
	w := &wired{}
	o := reconciler.Options{
		Check: check, Recorder: d.records, Notifier: notify.NewLog(log), Now: d.now, Log: log, Fence: fence,
		Interval: f.interval, GitInterval: f.gitInterval, DriftInterval: f.driftInterval,
		Limits: f.limits(), Registerer: d.metrics, Sampler: noPrometheus{},
	}
	if f.prometheus != "" {
		client, err := prom.New(prom.Options{URL: f.prometheus})
		if err != nil {
			return nil, err
		}
		o.Sampler = client
	}
	if f.nginxDir != "" {
		g, err := nginx.New(nginx.Options{Dir: f.nginxDir, Conf: f.nginxConf, Bin: f.nginxBin, URL: f.nginxURL})
		if err != nil {
			return nil, err
		}
		checkNGINX(ctx, f, log)
		o.NGINX = g
	}
	if f.bridgeConfig != "" {
		g, err := bridge.New(bridge.Options{ConfigFile: f.bridgeConfig, URLs: f.bridgeURLs})
		if err != nil {
			return nil, err
		}
		o.Bridge = g
	}
	var err error
	if w.repo, err = d.openSource(ctx, f, log); err != nil {
		return nil, err
	}
	o.Source = w.repo
	if err := errors.Join(d.wireCluster(f, w, &o, log, fenced), d.wireForge(f, w, &o, log)); err != nil {
		return nil, errors.Join(err, w.repo.Close())
	}
	o.Check = withCluster(o.Check, o)
	if w.loop, err = reconciler.New(o); err != nil {
		return nil, errors.Join(err, w.repo.Close())
	}
	return w, nil
}

// openSource opens the watched branch, and finds out today whether a revert
// could be pushed on the day that it is needed.
func (a *app) openSource(ctx context.Context, f *runFlags, log *slog.Logger) (*git.Repository, error) {
	o, err := f.sourceOptions(a.now)
	if err != nil {
		return nil, err
	}
	o.Reads = kustomize.Reads
	repo, err := git.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	var remote *reconciler.RemoteError
	switch err := repo.CheckPush(ctx); {
	case err == nil:
	case errors.As(err, &remote) && remote.Kind == reconciler.RemoteUnreachable:
		log.Warn("the Git remote cannot be reached: plans stay where they are, going back works", "err", err.Error())
	default:
		log.Warn("the Git remote does not let this daemon push: a rollback would move traffic, but its revert could not reach the branch; grant it the right to push", "err", err.Error())
	}
	return repo, nil
}

// checkNGINX warns where nginx would refuse any reload. It does not end the
// daemon: plans of other gateways must be able to go back.
func checkNGINX(ctx context.Context, f *runFlags, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conf, err := filepath.Abs(f.nginxConf)
	if err != nil {
		conf = f.nginxConf
	}
	cmd := exec.CommandContext(ctx, f.nginxBin, "-t", "-q", "-c", conf)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		log.Error("nginx does not load its configuration: no plan can move its traffic before that is mended",
			"conf", conf, "err", err.Error(), "nginx", strings.TrimSpace(said.String()))
	}
}

// noPrometheus answers for a daemon that was given none.
type noPrometheus struct{}

var errNoPrometheus = fmt.Errorf("ask Prometheus: none is configured; start the daemon with --prometheus URL")

// Sample implements reconciler.Sampler.
func (noPrometheus) Sample(_ context.Context, needs []gates.Need, now time.Time) map[gates.Need]gates.Sample {
	out := make(map[gates.Need]gates.Sample, len(needs))
	for _, n := range needs {
		out[n] = gates.Sample{Last: gates.Point{Time: now, Unknown: "no Prometheus configured"}, Err: errNoPrometheus}
	}
	return out
}
