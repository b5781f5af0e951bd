package main

import (
	"cmp"
	"context"
	"os"

	"github.com/changeover-dev/changeover/reconciler/kube/lease"
)

// elect works while this daemon holds the lease. One that lost it ends, so that
// its supervisor starts it anew: nothing of what it knew may go on counting.
func (d *daemon) elect(ctx context.Context) error {
	f := d.flags.lease
	cfg, err := d.flags.kube.config()
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	l, err := lease.New(lease.Options{
		Config: cfg, Namespace: f.namespace, Name: f.name, Identity: cmp.Or(host, "changeover"), Duration: f.duration, Log: d.log, Now: d.now,
	})
	if err != nil {
		return err
	}
	d.plans.stand(l.Holder)
	d.log.Info("waiting for the lease", "lease", f.namespace+"/"+f.name, "identity", l.Identity())
	return l.Run(ctx, func(ctx context.Context) error { return d.work(ctx, l.Fence) })
}
