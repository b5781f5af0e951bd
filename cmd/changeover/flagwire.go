package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/reconciler/flags"
	"github.com/changeover-dev/changeover/reconciler/kube/flagsconfig"
)

// flagFlags say where the flags of plans go.
type flagFlags struct{ dir string }

func (f *flagFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "flags-dir", "", "folder for the flags of plans, NAMESPACE/NAME/flags.flagd.json, in place of ConfigMaps NAME-flags in the cluster")
}

// wireFlags adds where applications read flags: a folder, or the cluster.
func (w *wired) wireFlags() error {
	f, o := w.daemon.flags, &w.common
	switch dir := f.flags.dir; {
	case dir != "":
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("open the folder of the flags: %w; make it, or choose another --flags-dir", err)
		}
		if !info.IsDir() {
			return fmt.Errorf("open the folder of the flags: %s is no folder; choose another --flags-dir", dir)
		}
		o.Flags = flags.New(flags.Folder(dir), f.driftInterval)
	case w.kube != nil:
		o.Flags = flags.New(flagsconfig.New(w.client()), f.driftInterval)
	}
	return nil
}
