package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/dir"
	"github.com/changeover-dev/changeover/reconciler/git"
	"github.com/changeover-dev/changeover/reconciler/kube"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	kuberecord "github.com/changeover-dev/changeover/reconciler/kube/record"
	"github.com/changeover-dev/changeover/reconciler/kube/route"
	"github.com/changeover-dev/changeover/reconciler/notify"
	"github.com/changeover-dev/changeover/reconciler/sidelabel"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/kustomize"
)

// renderCache bounds the rendered manifests that are kept, in bytes.
const renderCache = 64 << 20

// kubeAdapters are what every source needs of the cluster for a recorder of its
// own.
type kubeAdapters struct {
	client *client.Client
	events *kuberecord.Events
}

// wireKube adds the cluster that the flags name to the common ports, and to what
// runs beside the loops.
func (w *wired) wireKube(ctx context.Context) error {
	d, o := w.daemon, &w.common
	f := &d.flags.kube
	if !f.wanted() {
		return nil
	}
	cfg, err := f.config()
	if err != nil {
		return err
	}
	c, err := client.New(client.Options{Config: cfg, QPS: f.qps, Burst: f.burst, UserAgent: "changeover/" + readBuild().Version, Now: d.now, Fence: o.Fence})
	if err != nil {
		return err
	}
	cluster, err := kube.New(kube.Options{Client: c, Log: d.log, Now: d.now, Wake: d.wake})
	if err != nil {
		return err
	}
	gateway, err := route.New(route.Options{Client: c, Log: d.log, Now: d.now, Wake: d.wake})
	if err != nil {
		return err
	}
	labels, err := sidelabel.New(sidelabel.Options{Client: c, Log: d.log, Now: d.now, Wake: d.wake, Registerer: d.metrics})
	if err != nil {
		return err
	}
	w.entities.labels = labels
	w.kube = &kubeAdapters{client: c, events: kuberecord.NewEvents(kuberecord.EventOptions{Client: c, Log: d.log, Now: d.now})}
	o.Cluster, o.GatewayAPI = cluster, gateway
	o.Notifier = notify.All{o.Notifier, w.kube.events}
	w.beside = append(w.beside, cluster.Run, gateway.Run, labels.Run, w.kube.events.Run)
	return w.wireBackup(ctx, cfg)
}

// client is the daemon's own, which writes nothing once another leads; nil
// without a cluster.
func (w *wired) client() *client.Client {
	if w.kube == nil {
		return nil
	}
	return w.kube.client
}

// recorder is the journal of a source, and the cluster where there is one.
func (w *wired) recorder(s *source) (reconciler.Recorder, error) {
	if w.kube == nil {
		return s.records, nil
	}
	f := s.flags
	id, err := daemonID(f.dir)
	if err != nil {
		return nil, err
	}
	r, err := kuberecord.New(kuberecord.Options{Inner: s.records, Client: w.kube.client, Log: s.log, Now: w.daemon.now, Wake: w.daemon.wake, Fenced: w.fenced,
		ID: id, Shared: w.daemon.flags.lease.elect, Source: fmt.Sprintf("%s branch %s path %s", f.shownRepo(), f.branch, f.path),
	})
	if err != nil {
		return nil, err
	}
	w.beside = append(w.beside, r.Run)
	return r, nil
}

// wireManifests adds what builds the cluster config of a source's plans, and the
// folder or branch for it, where another engine applies it.
func (w *wired) wireManifests(s *source, repo *git.Repository, o *reconciler.Options) error {
	f := s.flags
	if w.kube == nil && !f.rendered.wanted() {
		return nil
	}
	cache := kustomize.NewCache(renderCache)
	o.Manifests = func(ctx context.Context, v plan.Version, stop plan.Position) ([]render.Object, error) {
		return cache.Build(ctx, v, stop, repo.Files)
	}
	if !f.rendered.wanted() {
		return nil
	}
	// The cluster is applied by another engine, and only looked at here.
	manifests, err := dir.New(dir.Options{Folder: f.rendered.dir, Branch: f.rendered.branch, Publisher: repo, Live: o.Cluster})
	if err != nil {
		return err
	}
	o.Cluster = manifests
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
