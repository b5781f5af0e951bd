package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/dir"
	"github.com/changeover-dev/changeover/reconciler/kube"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	kuberecord "github.com/changeover-dev/changeover/reconciler/kube/record"
	"github.com/changeover-dev/changeover/reconciler/kube/route"
	"github.com/changeover-dev/changeover/reconciler/notify"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/kustomize"
)

// renderCache bounds the rendered manifests that are kept, in bytes.
const renderCache = 64 << 20

// waker wakes the loop, which is made after those that wake it.
type waker struct {
	loop atomic.Pointer[reconciler.Reconciler]
}

func (w *waker) wake(key plan.Key) {
	if l := w.loop.Load(); l != nil {
		l.Wake(key)
	}
}

// wireCluster adds what the flags name of Kubernetes to the loop's ports, and
// to what runs beside it.
func (d *daemon) wireCluster(f *runFlags, w *wired, o *reconciler.Options, log *slog.Logger, fenced func(error)) error {
	if !f.kube.wanted() && !f.rendered.wanted() {
		return nil
	}
	cache := kustomize.NewCache(renderCache)
	o.Manifests = func(ctx context.Context, v plan.Version, stop plan.Position) ([]render.Object, error) {
		return cache.Build(ctx, v, stop, w.repo.Files)
	}
	if f.kube.wanted() {
		if err := d.wireKube(f, w, o, log, fenced); err != nil {
			return err
		}
	}
	if !f.rendered.wanted() {
		return nil
	}
	// The cluster is applied by another engine, and only looked at here.
	manifests, err := dir.New(dir.Options{Folder: f.rendered.dir, Branch: f.rendered.branch, Publisher: w.repo, Live: o.Cluster})
	if err != nil {
		return err
	}
	o.Cluster = manifests
	return nil
}

func (d *daemon) wireKube(f *runFlags, w *wired, o *reconciler.Options, log *slog.Logger, fenced func(error)) error {
	cfg, err := f.kube.config()
	if err != nil {
		return err
	}
	c, err := client.New(client.Options{Config: cfg, QPS: f.kube.qps, Burst: f.kube.burst, UserAgent: "changeover/" + readBuild().Version, Now: d.now, Fence: o.Fence})
	if err != nil {
		return err
	}
	cluster, err := kube.New(kube.Options{Client: c, Log: log, Now: d.now, Wake: w.waker.wake})
	if err != nil {
		return err
	}
	gateway, err := route.New(route.Options{Client: c, Log: log, Now: d.now, Wake: w.waker.wake})
	if err != nil {
		return err
	}
	id, err := daemonID(f.stateDir)
	if err != nil {
		return err
	}
	records, err := kuberecord.New(kuberecord.Options{Inner: o.Recorder, Client: c, Log: log, Now: d.now, Wake: w.waker.wake, Fenced: fenced,
		ID: id, Shared: f.lease.elect, Source: fmt.Sprintf("%s branch %s path %s", f.shownRepo(), f.branch, f.path),
	})
	if err != nil {
		return err
	}
	events := kuberecord.NewEvents(kuberecord.EventOptions{Client: c, Log: log, Now: d.now})
	o.Cluster, o.GatewayAPI, o.Recorder = cluster, gateway, records
	o.Notifier = notify.All{o.Notifier, events}
	w.beside = append(w.beside, cluster.Run, gateway.Run, records.Run, events.Run)
	return nil
}

// idFile of the state directory names the daemon that writes there.
const idFile = "daemon-id"

// daemonID is that of the state directory; it is made where there is none.
func daemonID(stateDir string) (string, error) {
	path := filepath.Join(stateDir, idFile)
	b, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(b)); err == nil && id != "" {
		return id, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the daemon's name: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "daemon"
	}
	id := host + "_" + rand.Text()[:12]
	if err := os.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the daemon's name: %w", err)
	}
	return id, nil
}

// run works until ctx ends. What runs beside the loop ends after it, so that
// what it did last is still written.
func (w *wired) run(ctx context.Context) error {
	bctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, bctx := errgroup.WithContext(bctx)
	for _, run := range w.beside {
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
	err := w.loop.Run(lctx)
	stop()
	return errors.Join(err, g.Wait())
}
