package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// Outcome of a check.
type Outcome string

// The outcomes, best first. Warning: it works, and a person should know.
const (
	OK      Outcome = "ok"
	Warning Outcome = "warning"
	Failed  Outcome = "failed"
	// Skipped: it was not asked, for want of a flag.
	Skipped Outcome = "skipped"
)

// Check is one line.
type Check struct {
	Name    string  `json:"check"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail"`
	// Do is what to do about it; empty where nothing is.
	Do string `json:"do,omitempty"`
}

// Bounds beyond which a person should know, or something is wrong.
const (
	skewWarns   = 2 * time.Second
	skewFails   = 30 * time.Second
	scrapeWarns = 2 * time.Minute
	gitFails    = 5 * time.Minute
)

// Daemon is what was learned of the one on this machine.
type Daemon struct {
	StateDir string
	// None: nobody answers there. Err says why nobody could be asked.
	None bool
	Err  error
	// Idle says why it works no plan: it is starting, or stands by.
	Idle string
	// Version that it told; empty: it could not tell. Own is this program's.
	Version, Own string
	Statuses     []reconciler.Status
}

// Check of the daemon, and of each of its plans.
func (d Daemon) Check(now time.Time) []Check {
	switch {
	case d.None:
		return []Check{{"daemon", Failed, "no daemon is running on " + d.StateDir,
			"start it: `changeover run --state-dir " + d.StateDir + "`; or name its directory by --state-dir. For one in a cluster run this in its pod"}}
	case d.Err != nil:
		return []Check{{"daemon", Failed, d.Err.Error(), "run this as the daemon's user, on its machine"}}
	}
	out := []Check{d.version()}
	switch {
	case d.Idle != "":
		return append(out, Check{"daemon.work", Warning, d.Idle, "another daemon works meanwhile, or this one is ready in a moment: ask again, or ask that one"})
	case len(d.Statuses) == 0:
		return append(out, Check{"daemon.work", Warning, "it has no plan", "commit a MigrationPlan below the watched path of its branch; `changeover validate` checks one"})
	}
	out = append(out, Check{"daemon.work", OK, fmt.Sprintf("plans that it works: %d", len(d.Statuses)), ""})
	for i := range d.Statuses {
		out = append(out, planChecks(&d.Statuses[i], now)...)
	}
	return out
}

func (d Daemon) version() Check {
	switch d.Version {
	case d.Own:
		return Check{"daemon", OK, "answers on " + d.StateDir + ", version " + d.Version, ""}
	case "":
		return Check{"daemon", Warning, "answers on " + d.StateDir + ", and cannot tell its version: it is older than this command", "take the same version for both"}
	}
	return Check{"daemon", Warning, fmt.Sprintf("answers on %s, version %s; this command is %s", d.StateDir, d.Version, d.Own), "take the same version for both"}
}

// conditions of a plan that are wrong, each with a name of its own.
func conditions(s *reconciler.Status, now time.Time) (out []Check) {
	add := func(name string, o Outcome, format string, args ...any) {
		out = append(out, Check{Name: name, Outcome: o, Detail: fmt.Sprintf(format, args...)})
	}
	switch {
	case s.Unverified:
		add("signature", Failed, "the branch's head is not signed as it must be: %s", s.GitError)
	case s.GitError != "":
		add("git", Failed, "the branch could not be read: %s", s.GitError)
	case !s.GitReadAt.IsZero() && now.Sub(s.GitReadAt) > gitFails:
		add("git", Failed, "the branch was last read %s ago", web.Age(s.GitReadAt, now))
	}
	if s.Halt != nil {
		add("halt", Failed, "%s: %s", s.Halt.Reason, s.Halt.Message)
	}
	if p := s.Pending; p != nil {
		add("revert", Failed, "the revert of a rollback is not on the branch, after %d attempts", p.Attempts)
	}
	if b := s.Blind; b != nil {
		o := Warning
		if b.Told {
			o = Failed
		}
		add("gates", o, "gates have no data since %s", web.Age(b.Since, now))
	}
	if g := s.Observed.Gateway; g.Known && !g.Healthy {
		add("gateway", Failed, "%s", cmp(g.Message, "it does not serve what was applied"))
	}
	if c := s.Observed.Cluster; c.Known && !c.Healthy {
		add("cluster", Failed, "%s", cmp(c.Message, "what was applied is not ready"))
	}
	if s.Observed.Split != "" {
		add("split", Failed, "%s", s.Observed.Split)
	}
	if plan.HasErrors(s.Problems) {
		add("file", Failed, "%s does not validate at the branch's head", s.Path)
	}
	if s.Error != "" {
		add("work", Failed, "%s", s.Error)
	}
	if s.Decision.Reason == decide.Orphaned {
		add("file", Failed, "the plan is gone from the branch, and its traffic is left where it is")
	}
	return out
}

func planChecks(s *reconciler.Status, now time.Time) []Check {
	found := conditions(s, now)
	if len(found) == 0 {
		reason, _ := web.Why(*s)
		return []Check{{"plan " + s.Key.String(), OK, fmt.Sprintf("at %s, %s (%s)", s.Effective, s.State, reason), ""}}
	}
	advice := strings.Join(web.Advice(*s), " ")
	for i := range found {
		found[i].Name = "plan " + s.Key.String() + " " + found[i].Name
		found[i].Do = advice
		advice = "" // once is enough
	}
	return found
}

func cmp(s, or string) string {
	if s == "" {
		return or
	}
	return s
}

// Prometheus is what was learned of it.
type Prometheus struct {
	Err error
	// Newest is the age of its newest scrape; negative: it has none.
	Newest time.Duration
	// Scraped: it has metrics of a daemon.
	Scraped bool
}

// Check of it.
func (p Prometheus) Check() []Check {
	if p.Err != nil {
		return []Check{{"prometheus", Failed, p.Err.Error(), "see that it is up and that this machine reaches it; without it nothing moves forward and no gate takes a plan back"}}
	}
	out := []Check{{"prometheus", OK, "answers queries", ""}}
	switch {
	case p.Newest < 0:
		out = append(out, Check{"prometheus.scrapes", Failed, "it has scraped nothing within the last 5 minutes", "see its page Targets: gates have no data without"})
	case p.Newest > scrapeWarns:
		out = append(out, Check{"prometheus.scrapes", Warning, "its newest scrape is " + web.Span(p.Newest) + " old", "see its page Targets, and its clock"})
	default:
		out = append(out, Check{"prometheus.scrapes", OK, "the newest is " + web.Span(p.Newest) + " old", ""})
	}
	if !p.Scraped {
		return append(out, Check{"prometheus.daemon", Warning, "it has no metrics of a daemon (changeover_build_info)",
			"let it scrape the daemon's --listen address: alerts, the dashboard and `changeover report` live on that"})
	}
	return append(out, Check{"prometheus.daemon", OK, "it scrapes a daemon", ""})
}

// Clock compares this machine's with that of a server. Told in its answer's head,
// a server's clock has whole seconds, and an answer takes time: less than two
// seconds are none.
func Clock(of string, skew time.Duration) Check {
	name, ahead := "clock."+of, "behind"
	if skew > 0 {
		ahead = "ahead of"
	}
	abs := skew.Abs()
	text := fmt.Sprintf("this machine is %s %s it", web.Span(abs), ahead)
	switch {
	case abs < skewWarns:
		return Check{name, OK, "the same as this machine's", ""}
	case abs < skewFails:
		return Check{name, Warning, text, "set both clocks by NTP: ages of samples, bakes and windows are judged by them"}
	}
	return Check{name, Failed, text, "set both clocks by NTP: samples look too old, or lie in the future, and gates have no data"}
}

// Lease is what is known of that by which daemons are elected.
type Lease struct {
	Name   string // NAMESPACE/NAME
	Absent bool
	Err    error
	Holder string
	// Age of the last renewal, and for how long one counts.
	Age, Duration time.Duration
}

// Check of it.
func (l Lease) Check() Check {
	const name = "kubernetes.lease"
	switch {
	case l.Err != nil:
		return Check{name, Failed, l.Err.Error(), "see that the account may get leases"}
	case l.Absent:
		return Check{name, OK, "there is no Lease " + l.Name + ": no daemon was ever elected there", ""}
	case l.Holder == "":
		return Check{name, Warning, "nobody holds " + l.Name, "no daemon works: see that one is running with --leader-elect"}
	case l.Age > l.Duration:
		return Check{name, Failed, fmt.Sprintf("%s holds %s and has not renewed it for %s", l.Holder, l.Name, web.Span(l.Age)),
			"that daemon is gone or cut off, and no other took over: see the pods and their logs"}
	}
	return Check{name, OK, fmt.Sprintf("%s holds %s", l.Holder, l.Name), ""}
}

// Worst of the checks.
func Worst(checks []Check) Outcome {
	worst := OK
	for _, c := range checks {
		if c.Outcome == Failed || c.Outcome == Warning && worst == OK {
			worst = c.Outcome
		}
	}
	return worst
}
