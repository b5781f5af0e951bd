package doctor_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/cmd/changeover/doctor"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

var now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// well is a plan about which nothing is to be said.
func well() reconciler.Status {
	return reconciler.Status{
		Key: plan.Key{Namespace: "default", Name: "shop"}, Effective: plan.Position{Phase: "setup"}, State: reconciler.StateSteady,
		Decision: decide.Decision{Verb: decide.Hold, Reason: decide.Steady}, GitReadAt: now.Add(-time.Minute),
	}
}

func running(s ...reconciler.Status) doctor.Daemon {
	return doctor.Daemon{StateDir: "/state", Version: "v1", Own: "v1", Statuses: s}
}

// TestEveryConditionOfADaemonIsFound, each with what to do, and what is well is
// said to be.
func TestEveryConditionOfADaemonIsFound(t *testing.T) {
	with := func(change func(*reconciler.Status)) doctor.Daemon {
		s := well()
		change(&s)
		return running(s)
	}
	for name, c := range map[string]struct {
		daemon doctor.Daemon
		check  string
		want   doctor.Outcome
		says   string
	}{
		"all is well":       {running(well()), "plan default/shop", doctor.OK, "at setup"},
		"no daemon":         {doctor.Daemon{StateDir: "/state", None: true}, "daemon", doctor.Failed, "no daemon is running on /state"},
		"not ours":          {doctor.Daemon{Err: errors.New("permission denied")}, "daemon", doctor.Failed, "permission denied"},
		"another version":   {doctor.Daemon{Version: "v2", Own: "v1"}, "daemon", doctor.Warning, "version v2; this command is v1"},
		"an old version":    {doctor.Daemon{Own: "v1"}, "daemon", doctor.Warning, "cannot tell its version"},
		"stands by":         {doctor.Daemon{Version: "v1", Own: "v1", Idle: "this daemon stands by"}, "daemon.work", doctor.Warning, "stands by"},
		"no plan":           {running(), "daemon.work", doctor.Warning, "no plan"},
		"stale git":         {with(func(s *reconciler.Status) { s.GitReadAt = now.Add(-time.Hour) }), "plan default/shop git", doctor.Failed, "60m ago"},
		"git fails":         {with(func(s *reconciler.Status) { s.GitError = "refused" }), "plan default/shop git", doctor.Failed, "refused"},
		"not signed":        {with(func(s *reconciler.Status) { s.Unverified, s.GitError = true, "no signature" }), "plan default/shop signature", doctor.Failed, "no signature"},
		"halted":            {with(func(s *reconciler.Status) { s.Halt = &decide.HaltOf{Reason: decide.HistoryRewritten, Message: "gone"} }), "plan default/shop halt", doctor.Failed, "gone"},
		"revert not pushed": {with(func(s *reconciler.Status) { s.Pending = &decide.Pending{Attempts: 3} }), "plan default/shop revert", doctor.Failed, "3 attempts"},
		"blind, not told":   {with(func(s *reconciler.Status) { s.Blind = &decide.Blindness{Since: now.Add(-time.Minute)} }), "plan default/shop gates", doctor.Warning, "60s"},
		"blind":             {with(func(s *reconciler.Status) { s.Blind = &decide.Blindness{Since: now.Add(-time.Hour), Told: true} }), "plan default/shop gates", doctor.Failed, "60m"},
		"gateway":           {with(func(s *reconciler.Status) { s.Observed.Gateway = decide.Part{Known: true, Message: "404"} }), "plan default/shop gateway", doctor.Failed, "404"},
		"cluster":           {with(func(s *reconciler.Status) { s.Observed.Cluster = decide.Part{Known: true} }), "plan default/shop cluster", doctor.Failed, "not ready"},
		"split":             {with(func(s *reconciler.Status) { s.Observed.Split = "all go to legacy" }), "plan default/shop split", doctor.Failed, "all go to legacy"},
		"invalid":           {with(func(s *reconciler.Status) { s.Problems = []plan.Problem{{Severity: plan.SeverityError}} }), "plan default/shop file", doctor.Failed, "does not validate"},
		"work fails":        {with(func(s *reconciler.Status) { s.Error = "disk full" }), "plan default/shop work", doctor.Failed, "disk full"},
		"orphaned":          {with(func(s *reconciler.Status) { s.Decision.Reason = decide.Orphaned }), "plan default/shop file", doctor.Failed, "gone from the branch"},
	} {
		checks := c.daemon.Check(now)
		if doctor.Worst(checks) != c.want {
			t.Errorf("%s: the worst is %s, want %s: %+v", name, doctor.Worst(checks), c.want, checks)
		}
		found := false
		for _, got := range checks {
			if got.Name == c.check && got.Outcome == c.want {
				found = strings.Contains(got.Detail, c.says) && (got.Do != "") == (c.want != doctor.OK)
			}
		}
		if !found {
			t.Errorf("%s: no check %s says %q with what to do: %+v", name, c.check, c.says, checks)
		}
	}
}

func TestAPrometheusThatIsOfNoUseIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		is   doctor.Prometheus
		want doctor.Outcome
	}{
		"fresh":       {doctor.Prometheus{Newest: 15 * time.Second, Scraped: true}, doctor.OK},
		"no daemon":   {doctor.Prometheus{Newest: 15 * time.Second}, doctor.Warning},
		"old scrapes": {doctor.Prometheus{Newest: 3 * time.Minute, Scraped: true}, doctor.Warning},
		"none":        {doctor.Prometheus{Newest: -1, Scraped: true}, doctor.Failed},
		"no answer":   {doctor.Prometheus{Err: errors.New("refused")}, doctor.Failed},
	} {
		if got := doctor.Worst(c.is.Check()); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestClocksThatDifferAreFound(t *testing.T) {
	for skew, want := range map[time.Duration]doctor.Outcome{
		0: doctor.OK, time.Second: doctor.OK, -3 * time.Second: doctor.Warning, 3 * time.Second: doctor.Warning, -time.Minute: doctor.Failed, time.Minute: doctor.Failed,
	} {
		if got := doctor.Clock("prometheus", skew); got.Outcome != want {
			t.Errorf("%s: got %+v, want %s", skew, got, want)
		}
	}
	if got := doctor.Clock("prometheus", time.Minute).Detail; !strings.Contains(got, "ahead of") {
		t.Errorf("a minute ahead is told as %q", got)
	}
}

func TestALeaseThatNobodyRenewsIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		is   doctor.Lease
		want doctor.Outcome
	}{
		"held":      {doctor.Lease{Holder: "a", Age: 5 * time.Second, Duration: 15 * time.Second}, doctor.OK},
		"lost":      {doctor.Lease{Holder: "a", Age: 20 * time.Second, Duration: 15 * time.Second}, doctor.Failed},
		"free":      {doctor.Lease{}, doctor.Warning},
		"not there": {doctor.Lease{Absent: true}, doctor.OK},
		"forbidden": {doctor.Lease{Err: fmt.Errorf("forbidden")}, doctor.Failed},
	} {
		if got := c.is.Check().Outcome; got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
