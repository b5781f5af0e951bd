package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/review"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/kustomize"
)

// rendered is what `render -o json` prints.
type rendered struct {
	Plan    plan.Key       `json:"plan"`
	Stop    plan.Position  `json:"stop"`
	Gateway string         `json:"gateway,omitempty"`
	Hash    string         `json:"hash,omitempty"`
	Files   []renderedFile `json:"files"`
}

type renderedFile struct {
	Name    string `json:"name"`
	Content string `json:"content"`
}

func (a *app) renderCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "render PLAN [PATH...]",
		Short: "Print what gateway, flags and cluster would be given at a stop",
		Long: `Print what gateway, flags and cluster would be given at a stop, from the plan's file as it is in this folder (or in the
files and folders named). Nothing is applied. A nginx plan gives three files, a bridge plan one, a nginx with a bridge both, a plan of the Gateway
API its HTTPRoute; a plan with flags gives their definitions for flagd, as of now; a phase with cluster config gives its
manifests, but for the values of Secrets.`,
		Example: "  changeover render shop --at gradual@25",
		Args:    onePlan(true),
	}
	namespace := addNamespace(cmd)
	out := addOutput(cmd, formatTable, formatJSON, formatYAML)
	at := cmd.Flags().String("at", "", "stop as PHASE or PHASE@PERCENT (default: the declared position)")
	file := cmd.Flags().String("file", "", "the plan's file; the same as naming it as PATH")
	cmd.RunE = a.does(func(_ context.Context, args []string) error {
		paths := args[1:]
		if *file != "" {
			paths = append(paths, *file)
		}
		doc, err := a.namedPlan(args[0], *namespace, paths)
		if err != nil {
			return err
		}
		stop, err := stopOf(doc.Plan, *at)
		if err != nil {
			return err
		}
		r, err := renderAt(doc, stop, a.now())
		if err != nil {
			return err
		}
		return a.printRendered(r, out)
	})
	return cmd
}

// onePlan wants PLAN, and with more also what follows it.
func onePlan(more bool) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usageError("PLAN is missing: give NAME or NAMESPACE/NAME")
		case len(args) > 1 && !more:
			return usageError("one PLAN is wanted, not %d arguments (%q)", len(args), args)
		}
		return nil
	}
}

// noArguments is what cobra.NoArgs checks, without calling one a command.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError("%s takes no arguments, not %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// namedPlan reads the plan of a PLAN argument and the value of -n from the files
// and folders named, or from this folder.
func (a *app) namedPlan(arg, namespace string, paths []string) (*plan.Document, error) {
	ref, err := parsePlan(arg, namespace)
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		paths = []string{"."}
	}
	return a.findPlan(ref, paths)
}

// findPlan reads the plan from the files; one with errors is not returned.
func (a *app) findPlan(ref planRef, paths []string) (*plan.Document, error) {
	f := a.readPlans(paths)
	key, err := ref.resolve(f.keys(), "in the files looked at")
	if err != nil {
		if len(f.failed) > 0 {
			return nil, f.failed[0]
		}
		return nil, err
	}
	for _, d := range f.docs {
		if d.Plan.Key() != key {
			continue
		}
		problems := f.of(d.File)
		if !plan.HasErrors(problems) {
			return d, nil
		}
		for _, p := range problems {
			a.note("%s", a.renderProblem(p))
		}
		return nil, finding("plan %q does not validate", key)
	}
	return nil, finding("find plan %q: no file has it", key)
}

// stopOf reads a stop of the plan's itinerary; the declared one where s is
// empty.
func stopOf(p *plan.Plan, s string) (plan.Position, error) {
	if s == "" {
		return p.Spec.Position, nil
	}
	stop, err := plan.ParsePosition(s)
	if err != nil {
		return stop, usageError("%w", err)
	}
	if p.Itinerary().Index(stop) < 0 {
		return stop, usageError("stop %q is not on the itinerary of %q, which is: %s", s, p.Key(), stopList(p.Itinerary()))
	}
	return stop, nil
}

func stopList(it plan.Itinerary) string {
	s := ""
	for i, stop := range it {
		if i > 0 {
			s += ", "
		}
		s += stop.String()
	}
	return s
}

// renderAt renders gateway, flags and cluster of a stop.
func renderAt(doc *plan.Document, stop plan.Position, now time.Time) (rendered, error) {
	r := rendered{Plan: doc.Plan.Key(), Stop: stop}
	kind, hash, files, err := review.Gateway(doc.Plan, stop)
	if err != nil {
		return r, finding("%w", err)
	}
	flags, err := review.Flags(doc.Plan, stop, now)
	if err != nil {
		return r, finding("%w", err)
	}
	r.Gateway, r.Hash, files = kind, hash, append(files, flags...)
	for _, f := range files {
		r.Files = append(r.Files, renderedFile(f))
	}
	if err := r.cluster(doc); err != nil {
		return r, finding("%w", err)
	}
	return r, nil
}

// cluster builds the kustomization of the stop's phase, if it has one.
func (r *rendered) cluster(doc *plan.Document) error {
	if ph := doc.Plan.Phase(r.Stop.Phase); ph == nil || ph.Cluster == nil {
		return nil
	}
	root, rel, err := repositoryOf(doc.File)
	if err != nil {
		return err
	}
	objects, err := kustomize.Build(os.DirFS(root), doc.Plan, rel, r.Stop, "")
	if err != nil {
		return err
	}
	var all strings.Builder
	for i, o := range objects {
		b, err := yaml.Marshal(render.Masked(o))
		if err != nil {
			return fmt.Errorf("write %s as YAML: %w", o.ID(), err)
		}
		if i > 0 {
			all.WriteString("---\n")
		}
		all.Write(b)
	}
	r.Files = append(r.Files, renderedFile{"cluster.yaml", all.String()})
	return nil
}

func (a *app) printRendered(r rendered, out *outputFlag) error {
	if len(r.Files) == 0 {
		a.note("Plan %q moves no traffic, has no flags and no cluster config at %s: there is nothing to render.", r.Plan, r.Stop)
		return nil
	}
	if out.structured() {
		return out.write(a.stdout, r)
	}
	for i, f := range r.Files {
		if len(r.Files) > 1 {
			if i > 0 {
				a.printf("\n")
			}
			a.printf("==> %s <==\n", f.Name)
		}
		a.printf("%s", f.Content)
	}
	return nil
}
