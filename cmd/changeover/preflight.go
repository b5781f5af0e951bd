package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/git"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/reconciler/kube/preflight"
	"github.com/changeover-dev/changeover/reconciler/web"
	"github.com/changeover-dev/changeover/render"
	"github.com/changeover-dev/changeover/render/gatewayapi"
	"github.com/changeover-dev/changeover/render/kustomize"
)

// preflightDeadline bounds the questions about one plan.
const preflightDeadline = 2 * time.Minute

// preflightReport is what `preflight -o json` prints.
type preflightReport struct {
	Plans []preflightPlan `json:"plans"`
}

type preflightPlan struct {
	Plan     plan.Key            `json:"plan"`
	Findings []preflight.Finding `json:"findings"`
}

type preflightFlags struct {
	gitFlags
	kube       kubeFlags
	prometheus string
}

func (a *app) preflightCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "preflight [PATH...]",
		Short: "Ask whether everything that plans need is there, before they move",
		Long: `Ask, for every plan in the files and folders named (default: this folder), whether the cluster offers the versions
and kinds that the plan needs, whether the plan's account and the daemon have the permissions, whether the Gateway and
its class can do what the routes ask for, whether Prometheus answers every signal, and whether the Git remote lets the
daemon push. What is not given (no --kubeconfig, no --prometheus, no --repo) is not asked. Nothing is changed.

Exit codes: 0 all is there, 1 something is missing, 2 wrong flags, 3 could not ask.`,
		Example: `  changeover preflight plans/shop.yaml --kubeconfig ~/.kube/config --prometheus http://127.0.0.1:9090
  changeover preflight --context production --repo https://git.example.com/ops/migrations.git --git-token-file token`,
	}
	var f preflightFlags
	f.gitFlags.add(cmd, daemonAuthor)
	f.kube.add(cmd)
	cmd.Flags().StringVar(&f.repo, "repo", "", "URL or path of the Git repository to which the daemon would push reverts")
	cmd.Flags().StringVar(&f.prometheus, "prometheus", "", "URL of the Prometheus that answers the gates' queries")
	out := addOutput(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		if err := f.kube.check(); err != nil {
			return err
		}
		if len(args) == 0 {
			args = []string{"."}
		}
		found := a.readPlans(args)
		for _, err := range found.failed {
			return err
		}
		if plan.HasErrors(found.problems) {
			for _, p := range found.problems {
				a.note("%s", a.renderProblem(p))
			}
			return finding("plans do not validate: mend that first")
		}
		r, err := a.preflight(ctx, &f, found.docs)
		if err != nil {
			return err
		}
		return a.reportPreflight(r, out)
	})
	return cmd
}

func (a *app) preflight(ctx context.Context, f *preflightFlags, docs []*plan.Document) (preflightReport, error) {
	var r preflightReport
	push, err := a.preflightGit(ctx, f)
	if err != nil {
		return r, err
	}
	var c *client.Client
	if f.kube.wanted() {
		cfg, err := f.kube.config()
		if err != nil {
			return r, err
		}
		if c, err = client.New(client.Options{Config: cfg, QPS: f.kube.qps, Burst: f.kube.burst, Now: a.now}); err != nil {
			return r, err
		}
	}
	for _, doc := range docs {
		found, err := a.preflightOne(ctx, c, f, doc)
		if err != nil {
			return r, err
		}
		r.Plans = append(r.Plans, preflightPlan{Plan: doc.Plan.Key(), Findings: append(append([]preflight.Finding{}, push...), found...)})
	}
	return r, nil
}

// preflightOne asks cluster and Prometheus, of those that are given, about one
// plan.
func (a *app) preflightOne(ctx context.Context, c *client.Client, f *preflightFlags, doc *plan.Document) ([]preflight.Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, preflightDeadline)
	defer cancel()
	var all []preflight.Finding
	if c != nil {
		found, err := preflightCluster(ctx, c, doc)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if f.prometheus != "" {
		found, err := a.preflightSignals(ctx, f.prometheus, doc.Plan)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// preflightCluster builds all phases and asks the cluster for what is in them.
func preflightCluster(ctx context.Context, c *client.Client, doc *plan.Document) ([]preflight.Finding, error) {
	s := preflight.Subject{Plan: doc.Plan}
	if g := doc.Plan.Spec.Gateway; g != nil && g.GatewayAPI != nil {
		s.Features = gatewayapi.Features(doc.Plan)
	}
	root, rel, err := repositoryOf(doc.File)
	if err != nil {
		return nil, err
	}
	seen := map[render.ID]bool{}
	var failed []preflight.Finding
	for _, ph := range doc.Plan.Spec.Phases {
		if ph.Cluster == nil {
			continue
		}
		stop := plan.Position{Phase: ph.Name}
		if len(ph.Percents) > 0 {
			stop.Percent = ph.Percents[0]
		}
		objects, err := kustomize.Build(os.DirFS(root), doc.Plan, rel, stop, "")
		if err != nil {
			failed = append(failed, preflight.Finding{Check: "render", Outcome: preflight.Failed, Detail: err.Error()})
			continue
		}
		for _, o := range objects {
			if id := o.ID(); !seen[id] {
				seen[id] = true
				s.Objects = append(s.Objects, o)
			}
		}
	}
	found, err := preflight.Run(ctx, c, s)
	return append(failed, found...), err
}

// preflightSignals asks Prometheus every signal of a plan once.
func (a *app) preflightSignals(ctx context.Context, url string, p *plan.Plan) ([]preflight.Finding, error) {
	c, err := prom.New(prom.Options{URL: url})
	if err != nil {
		return nil, err
	}
	needs := map[gates.Need]string{}
	var all []gates.Need
	for _, name := range slices.Sorted(maps.Keys(p.Spec.Signals)) {
		s := p.Spec.Signals[name]
		n := gates.Need{Query: s.Query, Freshness: s.Freshness, MaxAge: time.Duration(s.MaxAge)}
		if s.Samples != nil {
			n.SamplesQuery, n.SamplesMin = s.Samples.Query, s.Samples.Min
		}
		if _, ok := needs[n]; !ok {
			all = append(all, n)
		}
		needs[n] = name
	}
	answers := c.Sample(ctx, all, a.now())
	var out []preflight.Finding
	for _, n := range all {
		f := preflight.Finding{Check: "signals." + needs[n]}
		switch s := answers[n]; {
		case s.Err != nil:
			f.Outcome, f.Detail = preflight.Failed, s.Err.Error()
		case s.Last.Unknown != "":
			f.Outcome, f.Detail = preflight.Warn, "no data now: "+s.Last.Unknown
		default:
			f.Outcome, f.Detail = preflight.OK, fmt.Sprintf("answers %g", s.Last.Value)
		}
		out = append(out, f)
	}
	return out, nil
}

// preflightGit finds out whether reverts could be pushed.
func (a *app) preflightGit(ctx context.Context, f *preflightFlags) ([]preflight.Finding, error) {
	if f.repo == "" {
		return nil, nil
	}
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	if o.Dir, err = os.MkdirTemp("", "changeover-preflight-"); err != nil {
		return nil, fmt.Errorf("make a folder for a copy of the repository: %w", err)
	}
	defer func() { _ = os.RemoveAll(o.Dir) }()
	o.Now = a.now
	repo, err := git.Open(ctx, o)
	if err != nil {
		return []preflight.Finding{{Check: "git", Outcome: preflight.Failed, Detail: err.Error()}}, nil
	}
	defer func() { _ = repo.Close() }()
	if err := repo.CheckPush(ctx); err != nil {
		return []preflight.Finding{{Check: "git", Outcome: preflight.Failed, Detail: err.Error()}}, nil
	}
	return []preflight.Finding{{Check: "git", Outcome: preflight.OK, Detail: "branch " + f.branch + " can be read, and reverts can be pushed"}}, nil
}

func (a *app) reportPreflight(r preflightReport, out *outputFlag) error {
	missing, asked := false, 0
	rows := [][]cell{cells("PLAN", "CHECK", "OUTCOME", "DETAIL")}
	colours := map[preflight.Outcome]string{preflight.OK: toneColours[web.Good], preflight.Warn: toneColours[web.Warn], preflight.Failed: toneColours[web.Bad]}
	for _, p := range r.Plans {
		for _, f := range p.Findings {
			asked++
			missing = missing || f.Outcome == preflight.Failed
			row := cells(p.Plan.String(), f.Check, string(f.Outcome), f.Detail)
			row[2].colour = colours[f.Outcome]
			rows = append(rows, row)
		}
	}
	switch {
	case out.structured():
		if err := out.write(a.stdout, r); err != nil {
			return err
		}
	case asked == 0:
		a.note("Nothing was asked: give --kubeconfig, --prometheus or --repo.")
	default:
		a.table(a.stdout, "", rows)
	}
	if missing {
		return errFindings
	}
	return nil
}
