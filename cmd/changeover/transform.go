package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/cmd/changeover/filetransform"
	"github.com/changeover-dev/changeover/cmd/changeover/progress"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/reconciler/transform"
	maps "github.com/changeover-dev/changeover/render/transform"
)

// transformFlags are those of `changeover transform`.
type transformFlags struct {
	kube                kubeFlags
	namespace           *string
	phase, records, out string
	dryRun              bool
	giveUp              time.Duration
	files               []string
	with, format        string
	formatGiven         bool
}

func (a *app) transformCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "transform {PLAN [PATH...] | --files GLOB --with FILE -o DIR}",
		Short: "Make objects out of objects, or files out of files",
		Long: `Carry out the transforms of a plan by hand: every object of the source's kind becomes the objects that the plan's CEL
maps make of it. The daemon does the same when the phase is entered. With --dry-run nothing is written: what would be
made is shown, after the API server has tried it. -o yaml prints the objects.

Sources are worked in batches; those that fail are told and tried again, and --give-up ends the command when nothing
but failures is left. It can be broken off and begun again: what is done is found again in the cluster, and faster
with --records. Objects that no transform made, or that others have changed, are never overwritten.

With --files the maps of a FileTransform make files out of YAML or JSON files. Nothing is written unless all files can be.

Exit codes: 0 done, 1 something fails or would, 2 wrong flags, 3 could not run.`,
		Example: `  changeover transform intents plans/ --context production --dry-run -o yaml
  changeover transform intents plans/ --context production --records /var/lib/transforms
  changeover transform --files 'templates/*.yaml' --with heat.yaml -o converted/`,
	}
	var f transformFlags
	f.namespace = addNamespace(cmd)
	f.kube.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.phase, "phase", "", "phase whose transforms are meant (default: the one that has any)")
	flags.StringVar(&f.records, "records", "", "folder of the records of what was done (default: none are kept)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be made, and write nothing")
	flags.DurationVar(&f.giveUp, "give-up", time.Minute, "end when sources fail and none was transformed for this long")
	flags.StringArrayVar(&f.files, "files", nil, "pattern of files to read, such as 'templates/*.yaml' (repeatable)")
	flags.StringVar(&f.with, "with", "", "file with the FileTransform, for --files")
	flags.StringVar(&f.format, "format", "json", "format of the files that --files makes: json|yaml")
	flags.StringVarP(&f.out, "output", "o", "", "text or yaml; with --files the folder to write to")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		f.formatGiven = flags.Changed("format")
		if len(f.files) > 0 || f.with != "" {
			return a.transformFiles(ctx, &f, args)
		}
		return a.transformObjects(ctx, &f, args)
	})
	return cmd
}

func (a *app) transformObjects(ctx context.Context, f *transformFlags, args []string) error {
	switch {
	case len(args) == 0:
		return usageError("name a plan, or give --files and --with")
	case f.formatGiven:
		return usageError("--format goes with --files")
	case f.out != "" && f.out != formatText && f.out != formatYAML:
		return usageError("-o %q: want text or yaml", f.out)
	case f.out == formatYAML && !f.dryRun:
		return usageError("-o yaml shows objects: it goes with --dry-run")
	case !f.kube.wanted():
		return usageError("give --kubeconfig, --context or --in-cluster: the objects are in a cluster")
	}
	if err := f.kube.check(); err != nil {
		return err
	}
	doc, err := a.namedPlan(args[0], *f.namespace, args[1:])
	if err != nil {
		return err
	}
	ph, err := phaseToTransform(doc.Plan, f.phase)
	if err != nil {
		return err
	}
	cfg, err := f.kube.config()
	if err != nil {
		return err
	}
	c, err := client.New(client.Options{Config: cfg, QPS: f.kube.qps, Burst: f.kube.burst, Now: a.now, DryRun: f.dryRun})
	if err != nil {
		return err
	}
	dir := f.records
	if dir == "" {
		if dir, err = os.MkdirTemp("", "changeover-transform-"); err != nil {
			return fmt.Errorf("make a folder for the records: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	r, err := transform.New(transform.Options{Client: c, Dir: dir, Now: a.now})
	if err != nil {
		return err
	}
	if f.dryRun {
		return a.previewTransforms(ctx, r, doc.Plan, ph, f.out == formatYAML)
	}
	return a.runTransforms(ctx, r, doc.Plan, ph, f)
}

// phaseToTransform is the phase that was named, or the only one with transforms.
func phaseToTransform(p *plan.Plan, name string) (*plan.Phase, error) {
	var with []string
	for _, ph := range p.Spec.Phases {
		if len(ph.Transforms) > 0 {
			with = append(with, ph.Name)
		}
	}
	switch {
	case len(with) == 0:
		return nil, finding("plan %s has no transforms", p.Key())
	case name == "" && len(with) > 1:
		return nil, usageError("several phases have transforms (%s): give --phase", strings.Join(with, ", "))
	case name == "":
		name = with[0]
	case !slices.Contains(with, name):
		return nil, usageError("--phase %q: the phases with transforms are %s", name, strings.Join(with, ", "))
	}
	return p.Phase(name), nil
}

// previewTransforms shows what would be made.
func (a *app) previewTransforms(ctx context.Context, r *transform.Runner, p *plan.Plan, ph *plan.Phase, objects bool) error {
	sources, targets, failed := 0, 0, 0
	tell := func(line string) {
		if objects {
			a.note("%s", line) // standard output is for the objects
		} else {
			a.printf("%s\n", line)
		}
	}
	for _, t := range ph.Transforms {
		err := r.Preview(ctx, p, t, func(s transform.Shown) {
			sources++
			name := strings.TrimPrefix(s.Source, "/")
			if s.Err != nil {
				failed++
				tell(printable(fmt.Sprintf("! %s %s: %v", t.From.Kind, name, s.Err)))
			}
			for _, x := range s.Targets {
				targets++
				switch {
				case x.Err != nil:
					failed++
					tell(printable(fmt.Sprintf("! %s from %s: %v", x.ID, name, x.Err)))
				case objects:
					b, err := yaml.Marshal(x.Object)
					if err == nil {
						a.printf("---\n%s", printableLines(string(b)))
					}
				case x.New:
					tell(printable(fmt.Sprintf("+ %s from %s", x.ID, name)))
				default:
					tell(printable(fmt.Sprintf("~ %s from %s", x.ID, name)))
				}
			}
		})
		if err != nil {
			return err
		}
	}
	a.note("%s would become %s; %s.", count(sources, "source"), count(targets, "object"), count(failed, "failure"))
	if failed > 0 {
		return errFindings
	}
	return nil
}

// runTransforms works until all is done, or nothing but failures is left.
func (a *app) runTransforms(ctx context.Context, r *transform.Runner, p *plan.Plan, ph *plan.Phase, f *transformFlags) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Run(ctx) // it ends with ctx
	}()
	defer func() { cancel(); <-ended }()
	bar := progress.New(progress.Options{Out: a.stderr, What: "transform", Terminal: progress.Terminal(a.stderr, a.getenv), Now: a.now})
	task := reconciler.Task{Version: plan.Version{Plan: p, Content: plan.ContentDigest(p)}, Stop: plan.Position{Phase: ph.Name}, Since: a.now()}
	best, since := -1, a.now()
	for ctx.Err() == nil {
		now, err := r.Ensure(ctx, task)
		if err != nil {
			return err
		}
		bar.Show(progress.Count{Total: now.Total, Done: now.Finished, Failed: now.Failed, Rate: now.Rate})
		if now.Done {
			bar.End()
			return a.reportTransforms(r.Reports(p.Key()), ph)
		}
		if now.Finished > best {
			best, since = now.Finished, a.now()
		}
		if now.Failed > 0 && a.now().Sub(since) > f.giveUp {
			bar.End()
			return finding("%s; nothing else was transformed for %s", now.Message, f.giveUp)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	bar.End()
	return errors.New("broken off: begin again to go on")
}

func (a *app) reportTransforms(reports map[string]transform.Report, ph *plan.Phase) error {
	orphans := 0
	for _, t := range ph.Transforms {
		r := reports[t.Name]
		a.printf("%s: %s\n", t.Name, printable(r.String(false)))
		for _, to := range t.To {
			a.printf("  %-24s %d\n", to.Name, r.Targets[to.Name])
		}
		for _, o := range r.Orphans {
			a.printf("  orphan: %s\n", printable(o))
		}
		orphans += r.Orphaned
	}
	if orphans > 0 {
		return errFindings
	}
	return nil
}

func (a *app) transformFiles(ctx context.Context, f *transformFlags, args []string) error {
	switch {
	case len(f.files) == 0 || f.with == "":
		return usageError("--files and --with go together: the files to read, and the FileTransform")
	case len(args) > 0:
		return usageError("--files takes no plan: put patterns in quotes, so that the shell does not expand them")
	case f.kube.wanted() || f.phase != "" || f.records != "" || *f.namespace != "":
		return usageError("--files reads no cluster and no plan: leave out --kubeconfig, --context, --in-cluster, --phase, --records and -n")
	case f.out == "" && !f.dryRun:
		return usageError("-o DIR is required: the folder to write to")
	case f.format != string(filetransform.JSON) && f.format != string(filetransform.YAML):
		return usageError("--format %q: want json or yaml", f.format)
	}
	src, err := readBounded(f.with)
	if err != nil {
		return err
	}
	spec, doc, problems := plan.DecodeFileTransform(f.with, src)
	var compiled *maps.Files
	if !plan.HasErrors(problems) {
		compiled, problems = maps.CompileFiles(doc, spec.Spec)
	}
	if len(problems) > 0 {
		return a.showProblems(problems)
	}
	r, err := filetransform.Run(ctx, filetransform.Options{Patterns: f.files, Maps: compiled, With: doc, Out: f.out, Format: filetransform.Format(f.format), DryRun: f.dryRun})
	if err != nil {
		return err
	}
	for _, m := range r.Made {
		switch {
		case len(r.Problems) > 0:
		case f.dryRun:
			a.printf("# %s becomes %s\n%s", printable(m.From), printable(m.To), printableLines(m.Content))
		default:
			a.printf("%s\n", printable(m.To))
		}
	}
	for _, name := range r.Left {
		a.note("%s: left out, as `when` does not hold", printable(name))
	}
	if len(r.Problems) > 0 {
		err := a.showProblems(r.Problems)
		a.note("Nothing was written.")
		return err
	}
	return nil
}

func (a *app) showProblems(problems []plan.Problem) error {
	for _, p := range problems {
		a.printf("%s", a.renderProblem(p))
	}
	return errFindings
}
