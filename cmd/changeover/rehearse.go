package main

import (
	"context"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/cmd/changeover/rehearsal"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	nginxgateway "github.com/changeover-dev/changeover/reconciler/nginx"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/kustomize"
	"github.com/changeover-dev/changeover/render/nginx"
)

type rehearseFlags struct {
	kube     kubeFlags
	nginxBin string
	to       string
}

func (a *app) rehearseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rehearse PLAN [PATH...]",
		Short: "Go through every stop, forward and back, without any effect",
		Long: `Go through every stop of the plan, forward and back, and tell for each what the gateway would do, which objects
would be created (+), changed (~) and deleted (-) in the cluster, where a breach there would lead, and what stands in
the way. The plan is read from its file as it is in this folder, or in the files and folders named.

With --kubeconfig or --context every object of every stop, the HTTPRoute and the inventory are applied to that cluster
by dry runs on the server, as the daemon would apply them: what schemas, admission, permissions and other managers of
fields refuse is found, and nothing is written. Each is tried against what is live now. An object that hangs on another
which is made on the way (its namespace, the definition of its kind) cannot be tried and is listed as "not tried".
Of fields that cannot be changed once an object is there, those of common kinds are found without a cluster, and others
only where the object is live. Without a cluster all is rendered and checked, and nothing is tried. Where nginx is on this machine it tests what it would be given.

Exit codes: 0 nothing stands in the way, 1 findings, 2 wrong flags, 3 could not rehearse.`,
		Example: `  changeover rehearse shop plans/
  changeover rehearse shop plans/ --context production --to gradual@50
  changeover rehearse shop -o json --kubeconfig ~/.kube/config`,
		Args: onePlan(true),
	}
	namespace := addNamespace(cmd)
	out := addOutput(cmd, formatText, formatJSON, formatYAML)
	var f rehearseFlags
	f.kube.add(cmd)
	cmd.Flags().StringVar(&f.nginxBin, "nginx-bin", "nginx", "the nginx program that tests configurations; empty: none does")
	cmd.Flags().StringVar(&f.to, "to", "", "stop at which the way back begins (default: the last)")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		if err := f.kube.check(); err != nil {
			return err
		}
		doc, err := a.namedPlan(args[0], *namespace, args[1:])
		if err != nil {
			return err
		}
		o, err := a.rehearsalOf(doc, f, cmd.Flags().Changed("nginx-bin"))
		if err != nil {
			return err
		}
		r, err := rehearsal.Run(ctx, o)
		if err != nil {
			return err
		}
		return a.reportRehearsal(r, out)
	})
	return cmd
}

// rehearsalOf makes the options of a rehearsal. NamedBin: the nginx must be there.
func (a *app) rehearsalOf(doc *plan.Document, f rehearseFlags, namedBin bool) (rehearsal.Options, error) {
	root, rel, err := repositoryOf(doc.File)
	if err != nil {
		return rehearsal.Options{}, err
	}
	o := rehearsal.Options{
		Plan: plan.Version{Plan: doc.Plan, Path: rel, Content: plan.ContentDigest(doc.Plan), Live: plan.LiveDigest(doc.Plan)},
		Build: func(stop plan.Position) ([]render.Object, error) {
			return kustomize.Build(os.DirFS(root), doc.Plan, rel, stop, "")
		},
	}
	if f.to != "" {
		if o.To, err = stopOf(doc.Plan, f.to); err != nil {
			return o, err
		}
	}
	switch bin, err := exec.LookPath(f.nginxBin); {
	case f.nginxBin == "":
	case err == nil:
		o.NGINX = func(ctx context.Context, files nginx.Files) error { return nginxgateway.Rehearse(ctx, bin, files) }
	case namedBin:
		return o, usageError("--nginx-bin: %w", err)
	}
	if !f.kube.wanted() {
		return o, nil
	}
	cfg, err := f.kube.config()
	if err != nil {
		return o, err
	}
	c, err := client.New(client.Options{Config: cfg, QPS: f.kube.qps, Burst: f.kube.burst, Now: a.now, DryRun: true})
	if err != nil {
		return o, err
	}
	o.URL = cfg.Host
	o.Cluster, err = rehearsal.NewCluster(c, a.now)
	return o, err
}

func (a *app) reportRehearsal(r *rehearsal.Report, out *outputFlag) error {
	if out.structured() {
		if err := out.write(a.stdout, r); err != nil {
			return err
		}
	} else {
		a.printf("%s", printableLines(r.Text()))
	}
	if len(r.Findings) > 0 {
		return errFindings
	}
	return nil
}
