package main

import (
	"context"
	"errors"

	"k8s.io/client-go/rest"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/backup"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
)

// wireBackup adds what makes and restores backups. It has a client of its own,
// so that the thousands of objects of one plan do not starve the others.
func (w *wired) wireBackup(ctx context.Context, cfg *rest.Config) error {
	d := w.daemon
	f := &d.flags.kube
	c, err := client.New(client.Options{Config: cfg, QPS: f.qps, Burst: f.burst, UserAgent: "changeover-backup/" + readBuild().Version, Now: d.now, Fence: w.common.Fence})
	if err != nil {
		return err
	}
	keys, err := d.flags.backup.keys()
	if err != nil {
		return err
	}
	store, err := d.flags.backup.open(ctx, d.flags.stateDir)
	if err != nil {
		return err
	}
	work, err := backup.New(backup.Options{Client: c, Store: store, Identities: keys, Holds: w.holds, Now: d.now, Log: d.log, Registerer: d.metrics})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	w.common.Backup = work
	w.beside = append(w.beside, func(ctx context.Context) error { return errors.Join(work.Run(ctx), store.Close()) })
	return nil
}

// holds of a plan, from the record of the source that has it.
func (w *wired) holds(ctx context.Context, key plan.Key) ([]backup.Hold, error) {
	var out []backup.Hold
	for _, r := range w.recorders {
		rec, ok, err := r.Load(ctx, key)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		for _, h := range rec.Holds {
			out = append(out, backup.Hold{Commit: h.Commit, At: h.At})
		}
	}
	return out, nil
}
