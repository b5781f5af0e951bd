package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/changeover-dev/changeover/cmd/changeover/doctor"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/reconciler/kube/client"
	"github.com/changeover-dev/changeover/reconciler/kube/preflight"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// doctorDeadline bounds each part that is asked.
const doctorDeadline = 30 * time.Second

// doctorFlags are those of doctor.
type doctorFlags struct {
	preflightFlags
	stateDir *string
	noDaemon bool
	lease    leaseFlags
}

func (a *app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [PATH...]",
		Short: "Say what is wrong with this installation, and what to do",
		Long: `Look at the parts of an installation, one line for each check: the daemon on this machine, its version, and each of
its plans (blind, stale Git, halted, a revert that is not on the branch, a data plane that is not as applied); the
repository, whether it can be read and reverts can be pushed; Prometheus, whether it answers and is fresh; the clocks; in
a cluster the API server and the Lease of the daemons. With PATHs of plans it also asks what preflight asks for each.

What is not given (no --repo, no --prometheus, no --kubeconfig) is skipped, and said to be. Nothing is changed, and no
secret is printed.

Exit codes: 0 nothing is wrong, 1 something is, 2 wrong flags, 3 it could not look.`,
		Example: `  changeover doctor
  changeover doctor --prometheus http://localhost:9090 --repo https://git.example.com/ops/migrations.git --git-token-file token
  changeover doctor plans/ --no-daemon --kubeconfig ~/.kube/config`,
	}
	f := &doctorFlags{}
	f.gitFlags.add(cmd, daemonAuthor)
	f.kube.add(cmd)
	f.stateDir = a.addStateDir(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.repo, "repo", "", "URL or path of the Git repository to which the daemon would push reverts")
	flags.StringVar(&f.prometheus, "prometheus", "", "URL of the Prometheus that answers the gates' queries")
	flags.BoolVar(&f.noDaemon, "no-daemon", false, "the daemon runs elsewhere: do not look for one here")
	flags.StringVar(&f.lease.namespace, "lease-namespace", "changeover-system", "namespace of the daemons' Lease")
	flags.StringVar(&f.lease.name, "lease-name", "changeover", "name of the daemons' Lease")
	out := addOutput(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		checks, err := a.examine(ctx, f, args)
		if err != nil {
			return err
		}
		return a.reportDoctor(checks, out)
	})
	return cmd
}

// examine asks every part that is given. Its error is that of wrong flags, or of
// plans that cannot be read.
func (a *app) examine(ctx context.Context, f *doctorFlags, paths []string) ([]doctor.Check, error) {
	if err := f.kube.check(); err != nil {
		return nil, err
	}
	if f.prometheus != "" {
		if err := checkURL("--prometheus", f.prometheus); err != nil {
			return nil, err
		}
	}
	plans := planFiles{}
	if len(paths) > 0 {
		plans = a.readPlans(paths)
		for _, err := range plans.failed {
			return nil, err
		}
	}
	checks := a.examineDaemon(ctx, f)
	more, err := a.examineGit(ctx, f)
	if err != nil {
		return nil, err
	}
	checks = append(checks, more...)
	checks = append(checks, a.examinePrometheus(ctx, f)...)
	c, more := a.examineCluster(ctx, f)
	checks = append(checks, more...)
	for _, p := range plans.problems {
		checks = append(checks, doctor.Check{Name: "plan " + p.File, Outcome: doctor.Warning, Detail: p.String(), Do: "`changeover validate` says more"})
	}
	for _, doc := range plans.docs {
		found, err := a.preflightOne(ctx, c, &f.preflightFlags, doc)
		if err != nil {
			checks = append(checks, doctor.Check{Name: "preflight " + doc.Plan.Key().String(), Outcome: doctor.Failed, Detail: err.Error(), Do: "see that the API server and Prometheus are up"})
		}
		for _, one := range found {
			checks = append(checks, fromPreflight("preflight "+doc.Plan.Key().String()+" "+one.Check, one))
		}
	}
	return checks, nil
}

// fromPreflight is a finding as a line.
func fromPreflight(name string, f preflight.Finding) doctor.Check {
	c := doctor.Check{Name: name, Outcome: doctor.OK, Detail: f.Detail}
	switch f.Outcome {
	case preflight.OK:
	case preflight.Warn:
		c.Outcome, c.Do = doctor.Warning, "see whether the plan can do without"
	case preflight.Failed:
		c.Outcome, c.Do = doctor.Failed, "mend it before the plan moves: it would be stuck"
	}
	return c
}

func skipped(name, want string) []doctor.Check {
	return []doctor.Check{{Name: name, Outcome: doctor.Skipped, Detail: "not asked: give " + want}}
}

func (a *app) examineDaemon(ctx context.Context, f *doctorFlags) []doctor.Check {
	if f.noDaemon {
		return []doctor.Check{{Name: "daemon", Outcome: doctor.Skipped, Detail: "not asked, as --no-daemon says"}}
	}
	ctx, cancel := context.WithTimeout(ctx, doctorDeadline)
	defer cancel()
	d := doctor.Daemon{StateDir: *f.stateDir, Own: readBuild().Version}
	c, err := dialAdmin(ctx, *f.stateDir)
	if err == nil {
		d.Version, _ = c.Version(ctx) // one that cannot tell is an old one
		d.Statuses, err = c.Statuses(ctx)
	}
	var told *adminError
	switch {
	case errors.Is(err, errNoDaemon):
		d.None = true
	case errors.As(err, &told) && told.code == http.StatusServiceUnavailable:
		d.Idle = told.message
	default:
		d.Err = err
	}
	return d.Check(a.now())
}

func (a *app) examineGit(ctx context.Context, f *doctorFlags) ([]doctor.Check, error) {
	if f.repo == "" {
		return skipped("git", "--repo"), nil
	}
	found, err := a.preflightGit(ctx, &f.preflightFlags)
	if err != nil {
		return nil, err
	}
	var out []doctor.Check
	for _, one := range found {
		c := fromPreflight("git", one)
		if c.Outcome == doctor.Failed {
			c.Do = "see that the host is up, the credentials are good, and the account may push: without it a rollback is in the data plane alone"
		}
		out = append(out, c)
	}
	return out, nil
}

func (a *app) examinePrometheus(ctx context.Context, f *doctorFlags) []doctor.Check {
	if f.prometheus == "" {
		return skipped("prometheus", "--prometheus")
	}
	ctx, cancel := context.WithTimeout(ctx, doctorDeadline)
	defer cancel()
	now := a.now()
	p := doctor.Prometheus{Newest: -1}
	q, err := prom.NewQuerier(prom.Options{URL: f.prometheus})
	if err != nil {
		p.Err = err
		return p.Check()
	}
	one := func(query string) (float64, bool) {
		v, err := q.Query(ctx, query, now)
		p.Err = errors.Join(p.Err, err)
		if vec, ok := v.(model.Vector); ok && len(vec) > 0 {
			return float64(vec[0].Value), true
		}
		return 0, false
	}
	if newest, ok := one("max(timestamp(up))"); ok {
		p.Newest = max(0, now.Sub(time.UnixMilli(int64(newest*1000))))
	}
	if p.Err == nil {
		_, p.Scraped = one("count(changeover_build_info)")
	}
	checks := p.Check()
	if skew, ok := a.skew(ctx, f.prometheus); ok {
		checks = append(checks, doctor.Clock("prometheus", skew))
	}
	return checks
}

// skew is by how much this machine's clock is ahead of a server's, which tells its
// own in the head of an answer. Of the time that the question took the half is
// taken off.
func (a *app) skew(ctx context.Context, base string) (time.Duration, bool) {
	u, err := url.Parse(strings.TrimSuffix(base, "/") + "/api/v1/status/buildinfo")
	if err != nil {
		return 0, false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, false
	}
	before := a.now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, false
	}
	_ = resp.Body.Close()
	after := a.now()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0, false
	}
	// The head has whole seconds: it is a half too early in the middle.
	return before.Add(after.Sub(before) / 2).Sub(date.Add(500 * time.Millisecond)), true
}

// examineCluster returns the client too, for what plans need; nil without one.
func (a *app) examineCluster(ctx context.Context, f *doctorFlags) (*client.Client, []doctor.Check) {
	const name = "kubernetes"
	if !f.kube.wanted() {
		return nil, skipped(name, "--kubeconfig or --in-cluster")
	}
	ctx, cancel := context.WithTimeout(ctx, doctorDeadline)
	defer cancel()
	failed := func(err error) []doctor.Check {
		return []doctor.Check{{Name: name, Outcome: doctor.Failed, Detail: err.Error(), Do: "see that the API server is up and the kubeconfig is good; plans stay where they are meanwhile"}}
	}
	cfg, err := f.kube.config()
	if err != nil {
		return nil, failed(err)
	}
	c, err := client.New(client.Options{Config: cfg, QPS: f.kube.qps, Burst: f.kube.burst, Now: a.now})
	if err != nil {
		return nil, failed(err)
	}
	v, err := c.Discovery().ServerVersion()
	if err != nil {
		return nil, failed(client.Explain(err))
	}
	out := []doctor.Check{{Name: name, Outcome: doctor.OK, Detail: "the API server answers, version " + v.GitVersion}}
	leases, err := coordination.NewForConfig(cfg)
	if err != nil {
		return c, append(out, failed(err)...)
	}
	return c, append(out, a.examineLease(ctx, leases, &f.lease).Check())
}

func (a *app) examineLease(ctx context.Context, leases coordination.LeasesGetter, f *leaseFlags) doctor.Lease {
	out := doctor.Lease{Name: f.namespace + "/" + f.name}
	l, err := leases.Leases(f.namespace).Get(ctx, f.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		out.Absent = true
	case err != nil:
		out.Err = client.Explain(err)
	default:
		if l.Spec.HolderIdentity != nil {
			out.Holder = *l.Spec.HolderIdentity
		}
		if l.Spec.RenewTime != nil {
			out.Age = a.now().Sub(l.Spec.RenewTime.Time)
		}
		if l.Spec.LeaseDurationSeconds != nil {
			out.Duration = time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
		}
	}
	return out
}

func (a *app) reportDoctor(checks []doctor.Check, out *outputFlag) error {
	colours := map[doctor.Outcome]string{doctor.OK: toneColours[web.Good], doctor.Warning: toneColours[web.Warn], doctor.Failed: toneColours[web.Bad]}
	rows := [][]cell{cells("CHECK", "OUTCOME", "DETAIL")}
	for _, c := range checks {
		text := c.Detail
		if c.Do != "" {
			text = fmt.Sprintf("%s. Do: %s", strings.TrimRight(text, "."), c.Do)
		}
		row := cells(c.Name, string(c.Outcome), text)
		row[1].colour = colours[c.Outcome]
		rows = append(rows, row)
	}
	if out.structured() {
		if err := out.write(a.stdout, checks); err != nil {
			return err
		}
	} else {
		a.table(a.stdout, "", rows)
	}
	if doctor.Worst(checks) == doctor.Failed {
		return errFindings
	}
	return nil
}
