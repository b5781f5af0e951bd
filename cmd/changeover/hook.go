package main

import (
	"context"
	"fmt"
	"net"

	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"github.com/changeover-dev/changeover/reconciler/web"
	"github.com/changeover-dev/changeover/reconciler/webhook"
)

// hookFlags are of the webhook, which has a listener of its own: the Git host
// must reach it, and need not reach the status page.
type hookFlags struct {
	listen, secretFile string
}

func (f *hookFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "hook-listen", "", "address for webhooks of the Git host: POST /hook/github, /hook/gitlab, /hook/gitea or /hook/generic")
	flags.StringVar(&f.secretFile, "hook-secret-file", "", "file with the secret that webhooks must show, at least 16 bytes; read anew at each delivery")
}

func (f *hookFlags) check() error {
	if (f.listen == "") != (f.secretFile == "") {
		return usageError("--hook-listen and --hook-secret-file go together: where webhooks come in, and the secret that they must show")
	}
	if f.listen == "" {
		return nil
	}
	return checkAddress("--hook-listen", f.listen)
}

// serveHook listens for webhooks, where the flags ask for it. They wake the loop
// of a daemon that leads.
func (d *daemon) serveHook(ctx context.Context) ([]served, error) {
	f := d.flags.hook
	if f.listen == "" {
		return nil, nil
	}
	secret := webhook.SecretFile(f.secretFile)
	if _, err := secret(); err != nil {
		return nil, err
	}
	handler, err := webhook.New(webhook.Options{
		Secret: secret, Branches: d.plans.branches(), Log: d.log, Registerer: d.metrics, Wake: d.plans.refresh,
	})
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return nil, fmt.Errorf("listen for webhooks: %w; choose another --hook-listen", err)
	}
	d.log.Info("webhooks are taken", "listen", l.Addr().String())
	return []served{{web.NewServer(handler, d.log), netutil.LimitListener(l, webhook.MaxConnections)}}, nil
}
