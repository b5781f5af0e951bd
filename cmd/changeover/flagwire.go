package main

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"github.com/changeover-dev/changeover/reconciler/flags"
	"github.com/changeover-dev/changeover/reconciler/kube/flagsconfig"
	"github.com/changeover-dev/changeover/reconciler/ofrep"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// flagFlags say where the flags of plans go, and where they are served.
type flagFlags struct{ dir, listen string }

func (f *flagFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "flags-dir", "", "folder for the flags of plans, NAMESPACE/NAME/flags.flagd.json, in place of ConfigMaps NAME-flags in the cluster")
	cmd.Flags().StringVar(&f.listen, "ofrep-listen", "", "address at which applications ask for flags by OFREP, such as 127.0.0.1:8016; without a login, so mind who reaches it")
}

func (f *flagFlags) check() error {
	if f.listen == "" {
		return nil
	}
	return checkAddress("--ofrep-listen", f.listen)
}

// serveFlags listens for applications that ask for flags, where the flags ask for
// it.
func (d *daemon) serveFlags(ctx context.Context) ([]served, error) {
	f := d.flags.flags
	if f.listen == "" {
		return nil, nil
	}
	handler := ofrep.Handler(func() ofrep.Plans {
		if o := d.flagsNow.Load(); o != nil {
			return o
		}
		return nil
	})
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return nil, fmt.Errorf("listen for OFREP: %w; choose another --ofrep-listen", err)
	}
	d.log.Info("flags are served by OFREP", "listen", l.Addr().String())
	return []served{{web.NewServer(handler, d.log), netutil.LimitListener(l, ofrep.MaxConnections)}}, nil
}

// wireFlags adds where applications read flags: a folder, or the cluster; where they
// are only asked for by OFREP, neither.
func (w *wired) wireFlags() error {
	f := w.daemon.flags
	var store flags.Store
	switch dir := f.flags.dir; {
	case dir != "":
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("open the folder of the flags: %w; make it, or choose another --flags-dir", err)
		}
		if !info.IsDir() {
			return fmt.Errorf("open the folder of the flags: %s is no folder; choose another --flags-dir", dir)
		}
		store = flags.Folder(dir)
	case w.kube != nil:
		store = flagsconfig.New(w.client())
	case f.flags.listen != "":
		store = flags.None{}
	default:
		return nil
	}
	o := flags.New(store, f.driftInterval)
	w.common.Flags = o
	w.daemon.flagsNow.Store(o)
	return nil
}
