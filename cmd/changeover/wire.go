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
	"golang.org/x/sync/errgroup"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/bridged"
	"github.com/changeover-dev/changeover/reconciler/flags"
	"github.com/changeover-dev/changeover/reconciler/git"
	"github.com/changeover-dev/changeover/reconciler/live"
	"github.com/changeover-dev/changeover/reconciler/nginx"
	"github.com/changeover-dev/changeover/reconciler/notify"
	"github.com/changeover-dev/changeover/render/kustomize"
)

// daemon is what `changeover run` has for as long as it runs, whether it leads
// or stands by.
type daemon struct {
	*app
	flags   *runFlags
	log     *slog.Logger
	metrics *prometheus.Registry
	plans   plansNow
	// flagsNow are the flags that this daemon works on; nil while it does not.
	flagsNow atomic.Pointer[flags.Output]
	feed     *live.Feed
}

// run works until ctx ends: at once, or with an election while it leads.
func (d *daemon) run(ctx context.Context) error {
	if !d.flags.lease.elect {
		return d.work(ctx, nil)
	}
	return d.elect(ctx)
}

// work makes the adapters and a loop for each source, and runs them. The fence
// says why no effect may be begun; nil: all may.
func (d *daemon) work(ctx context.Context, fence func() error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer d.flagsNow.Store(nil)
	w, err := d.wire(ctx, fence, cancel)
	if err != nil {
		return err
	}
	err = besides(ctx, w.beside, func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		for _, s := range d.plans.sources {
			g.Go(func() error { return s.run(ctx, w) })
		}
		return g.Wait()
	})
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err) // another daemon has written meanwhile
	}
	return err
}

// wired are the adapters, which all sources share: one gateway and one cluster
// have the plans of all of them.
type wired struct {
	daemon *daemon
	common reconciler.Options
	beside []func(context.Context) error // runs as long as the loops do
	kube   *kubeAdapters                 // nil without a cluster
	fenced func(error)
	// entities are worked on by who works on their kind.
	entities entityWork

	recorders map[*source]reconciler.Recorder
}

// wire makes the adapters that the flags name. With loop it is the only place
// that knows which they are.
func (d *daemon) wire(ctx context.Context, fence func() error, fenced func(error)) (*wired, error) {
	f := d.flags
	w := &wired{daemon: d, fenced: fenced, recorders: map[*source]reconciler.Recorder{}}
	o := &w.common
	*o = reconciler.Options{
		Check: check, Notifier: notify.NewLog(d.log), Now: d.now, Fence: fence,
		Interval: f.interval, GitInterval: f.gitInterval, DriftInterval: f.driftInterval,
		Limits: f.limits(), Sampler: noPrometheus{},
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
		checkNGINX(ctx, f, d.log)
		o.NGINX = g
	}
	if err := w.wireKube(ctx); err != nil {
		return nil, err
	}
	if err := w.wireFlags(); err != nil {
		return nil, err
	}
	if err := w.wireNotify(); err != nil {
		return nil, err
	}
	if f.bridge.wanted() {
		g, err := f.bridge.gateway(w.client())
		if err != nil {
			return nil, err
		}
		o.Bridge = g
		if o.NGINX != nil {
			o.BridgedNGINX = bridged.New("nginx", o.NGINX, g)
		}
		if o.GatewayAPI != nil {
			o.BridgedGatewayAPI = bridged.New("the Gateway", o.GatewayAPI, g)
		}
	}
	if err := w.wireEntities(); err != nil {
		return nil, err
	}
	o.Entities, o.EntityFacts = w.entities, w.entities
	return w, w.record(ctx)
}

// record makes the recorders. All plans with a record are claimed before any
// plan is worked, so that a restart finds them with the source that had them.
func (w *wired) record(ctx context.Context) error {
	for _, s := range w.daemon.plans.sources {
		r, err := w.recorder(s)
		if err != nil {
			return err
		}
		if s.flags.name != "" {
			r = w.daemon.plans.claims.Recorder(s.flags.name, r)
			if _, err := r.Keys(ctx); err != nil {
				return fmt.Errorf("list the records of source %s: %w", s.flags.name, err)
			}
		}
		w.recorders[s] = r
	}
	return nil
}

// loop makes the loop of a source whose repository is open, and what runs
// beside it.
func (w *wired) loop(s *source, repo *git.Repository) ([]func(context.Context) error, *reconciler.Reconciler, error) {
	o := w.common
	o.Source, o.Recorder, o.Log, o.Registerer = repo, w.recorders[s], s.log, s.metrics
	o.Shown = w.daemon.shown(s)
	if err := w.wireManifests(s, repo, &o); err != nil {
		return nil, nil, err
	}
	beside, err := w.daemon.wireForge(s, repo, &o)
	if err != nil {
		return nil, nil, err
	}
	transforms, err := w.wireTransforms(s, &o)
	if err != nil {
		return nil, nil, err
	}
	beside = append(beside, transforms...)
	o.Check = w.withHandOver(withCluster(o.Check, o))
	loop, err := reconciler.New(o)
	return beside, loop, err
}

// shown gives the statuses of a source to the page, but for plans that another
// source keeps.
func (d *daemon) shown(s *source) func(reconciler.Status) {
	return func(st reconciler.Status) {
		if st.Source = s.flags.name; d.plans.second(st) == 0 {
			d.feed.Put(st)
		}
	}
}

// wake tells the loops that something of a plan changed; those that have no such
// plan do nothing.
func (d *daemon) wake(key plan.Key) {
	for _, s := range d.plans.sources {
		if l := s.loop.Load(); l != nil {
			l.Wake(key)
		}
	}
}

// besides runs a loop until ctx ends. What runs beside it ends after it, so that
// what it did last is still written.
func besides(ctx context.Context, beside []func(context.Context) error, loop func(context.Context) error) error {
	bctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, bctx := errgroup.WithContext(bctx)
	for _, run := range beside {
		g.Go(func() error {
			if err := run(bctx); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("watch the cluster: %w", err)
			}
			return nil
		})
	}
	lctx, end := context.WithCancel(ctx)
	defer end()
	context.AfterFunc(bctx, end) // without its watches the loop would be blind
	err := loop(lctx)
	stop()
	return errors.Join(err, g.Wait())
}

// openSource opens the watched branch, and finds out today whether a revert
// could be pushed on the day that it is needed.
func openSource(ctx context.Context, f *sourceFlags, now func() time.Time, log *slog.Logger) (*git.Repository, error) {
	o, err := f.sourceOptions(now)
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
