package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/cmd/changeover/migrationreport"
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/test/promtest"
)

var (
	updateReports = flag.Bool("update-reports", false, "write the reports in testdata anew")
	// reportTestdata is found before a test changes the folder.
	reportTestdata, _ = filepath.Abs("testdata/report")
)

// The days of the tests' migration.
var reportDay = time.Date(2024, 3, 4, 0, 0, 0, 0, time.UTC)

func reportAt(day, hour, minute int) time.Time {
	return reportDay.Add(time.Duration(day)*24*time.Hour + time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
}

const reportPlan = `apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: shop}
spec:
  position: {phase: setup}
  backends: {legacy: {url: "http://127.0.0.1:8081"}, modern: {url: "http://127.0.0.1:8082"}}
  gateway: {bridge: {}}
  identity: {header: X-User}
  signals:
    errors: {query: 'errors{side="modern"}'}
    legacyP95: {query: 'p95{side="legacy"}'}
    modernP95: {query: 'p95{side="modern"}'}
  baselines:
    before: {signal: legacyP95, at: setup}
  roles:
    operations: {signers: [ann@example.com]}
  phases:
    - name: setup
      routes: [{to: legacy}]
    - name: gradual
      percents: [10, 50]
      bake: 1h
      routes: [{to: split}]
      gates:
        advance: [{name: few, expr: signal.errors < 0.01, for: 30m}]
        rollback: [{name: many, expr: signal.errors > 0.03, for: 5m}]
    - name: done
      routes: [{to: modern}]
      approvals: [{role: operations}]
      checklist: [Dashboards reviewed]
  success:
    - {name: faster, expr: signal.modernP95 < 0.5 * baseline.before, message: twice as fast}
    - {name: fewer-errors, expr: signal.errors < 0.001}
`

// reportHistory is what a Prometheus has: setup until 10:00 of the first day,
// 10 % until 12:00, 50 % until errors take it back at 13:06, then 10 %, on the
// second day 50 % from 10:00 and done from 14:00.
func reportHistory() string {
	var b [9]strings.Builder
	var duration [2]strings.Builder
	within := func(t, from, to time.Time) bool { return !t.Before(from) && t.Before(to) }
	legacy, modern, failed := 0, 0, 0
	for t := reportAt(0, 8, 0); !t.After(reportAt(2, 0, 0)); t = t.Add(time.Minute) {
		u := t.Unix()
		phase, percent := "done", 100
		switch {
		case t.Before(reportAt(0, 10, 0)):
			phase, percent = "setup", 0
		case within(t, reportAt(0, 12, 0), reportAt(0, 13, 6)), within(t, reportAt(1, 10, 0), reportAt(1, 14, 0)):
			phase, percent = "gradual", 50
		case t.Before(reportAt(1, 14, 0)):
			phase, percent = "gradual", 10
		}
		errors := 0.0005
		if within(t, reportAt(0, 13, 0), reportAt(0, 13, 6)) {
			errors = 0.05
			failed += 3
		}
		legacy, modern = legacy+10*(100-percent), modern+10*percent
		fmt.Fprintf(&b[0], "changeover_plan_position{plan=\"default/shop\",phase=%q} 1 %d\n", phase, u)
		fmt.Fprintf(&b[1], "changeover_effective_percent{plan=\"default/shop\"} %d %d\n", percent, u)
		fmt.Fprintf(&b[2], "changeover_bridge_requests_total{plan=\"shop\",route=\"0\",side=\"legacy\",code=\"200\"} %d %d\n", legacy, u)
		fmt.Fprintf(&b[3], "changeover_bridge_requests_total{plan=\"shop\",route=\"0\",side=\"modern\",code=\"200\"} %d %d\n", modern-failed, u)
		fmt.Fprintf(&b[4], "changeover_bridge_requests_total{plan=\"shop\",route=\"0\",side=\"modern\",code=\"503\"} %d %d\n", failed, u)
		fmt.Fprintf(&b[5], "errors{side=\"modern\"} %g %d\n", errors, u)
		fmt.Fprintf(&b[6], "p95{side=\"legacy\"} 0.4 %d\n", u)
		fmt.Fprintf(&b[7], "p95{side=\"modern\"} 0.15 %d\n", u)
		fmt.Fprintf(&b[8], "changeover_entities{plan=\"default/shop\",is=\"modern\",instance=\"a:1\"} %d %d\n", percent, u)
		for i, side := range []struct {
			name string
			n    int
		}{{"legacy", legacy}, {"modern", modern}} {
			for _, le := range []string{"0.1", "0.5", "+Inf"} {
				n := side.n
				if le == "0.1" && side.name == "legacy" {
					n /= 10
				}
				fmt.Fprintf(&duration[i], "changeover_bridge_request_duration_seconds_bucket{plan=\"shop\",route=\"0\",side=%q,le=%q} %d %d\n", side.name, le, n, u)
			}
		}
	}
	var all strings.Builder
	for i := range b {
		all.WriteString(b[i].String())
	}
	all.WriteString(duration[0].String() + duration[1].String())
	return all.String() + "# EOF\n"
}

// reportRepo is the migration's repository: a bare one, and a clone that is the
// folder of the command.
type reportRepo struct {
	t    *testing.T
	work string
}

func newReportRepo(t *testing.T) *reportRepo {
	t.Helper()
	r := &reportRepo{t: t, work: filepath.Join(t.TempDir(), "work")}
	bare := filepath.Join(t.TempDir(), "host.git")
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	t.Setenv("HOME", t.TempDir())
	r.git(t.TempDir(), reportDay, "ann", "init", "-q", "--bare", "--initial-branch=main", bare)
	r.git(t.TempDir(), reportDay, "ann", "clone", "-q", bare, r.work)
	r.git(r.work, reportDay, "ann", "checkout", "-q", "-b", "main")
	t.Chdir(r.work)
	return r
}

func (r *reportRepo) git(dir string, at time.Time, who string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	date, mail := at.Format(time.RFC3339), who+"@example.com"
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME="+who, "GIT_AUTHOR_EMAIL="+mail, "GIT_AUTHOR_DATE="+date,
		"GIT_COMMITTER_NAME="+who, "GIT_COMMITTER_EMAIL="+mail, "GIT_COMMITTER_DATE="+date)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes a file and pushes it; it returns the commit's name.
func (r *reportRepo) commit(at time.Time, who, file, text, message string) string {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Join(r.work, filepath.Dir(file)), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.work, file), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.git(r.work, at, who, "add", ".")
	r.git(r.work, at, who, "commit", "-q", "-m", message)
	r.git(r.work, at, who, "push", "-q", "origin", "main")
	return r.git(r.work, at, who, "rev-parse", "HEAD")
}

func (r *reportRepo) raise(at time.Time, position, message string) string {
	return r.commit(at, "ben", "shop.yaml", strings.Replace(reportPlan, "{phase: setup}", position, 1), message)
}

// story is the whole migration in Git.
func (r *reportRepo) story() {
	r.raise(reportAt(0, 8, 0), "{phase: setup}", "Add shop")
	r.raise(reportAt(0, 9, 59), "{phase: gradual, percent: 10}", "Advance shop to 10")
	bad := r.raise(reportAt(0, 11, 59), "{phase: gradual, percent: 50}", "Advance | shop to *50*")
	r.raise(reportAt(0, 13, 6), "{phase: gradual, percent: 10}", "Revert \"Advance | shop to *50*\"\n\nThis reverts commit "+bad+".\n\n"+
		"Changeover-Plan: default/shop\nChangeover-Rollback-Of: "+bad+"\nChangeover-Gate: many\nChangeover-Evidence: errors=0.05\n")
	r.raise(reportAt(1, 9, 59), "{phase: gradual, percent: 50}", "Advance shop to 50 again")
	last := r.raise(reportAt(1, 13, 50), "{phase: done}", "Advance shop to done")
	for i, spec := range []string{"role: operations", "role: operations, item: Dashboards reviewed"} {
		r.commit(reportAt(1, 13, 55+i), "ann", fmt.Sprintf("approvals/shop/%d.yaml", i), fmt.Sprintf(
			"apiVersion: changeover.dev/v1alpha1\nkind: Approval\nspec: {plan: shop, stop: done, raise: %s, %s}\n", last, spec), "Approve shop")
	}
	r.commit(reportAt(1, 13, 58), "eve", "approvals/shop/eve.yaml", fmt.Sprintf(
		"apiVersion: changeover.dev/v1alpha1\nkind: Approval\nspec: {plan: shop, stop: done, raise: %s, role: operations}\n", last), "Approve shop too")
}

// report runs the command and returns its output and exit code.
func report(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(append([]string{"report", "shop"}, args...), nil, &out, &errs)
	if errs.Len() > 0 {
		t.Fatalf("%v said %s", args, errs.String())
	}
	return out.String(), code
}

// TestReportsOfARealRepositoryAndPrometheus tell the whole story, from a bare Git
// repository and a Prometheus, and without a daemon.
func TestReportsOfARealRepositoryAndPrometheus(t *testing.T) {
	p := promtest.Start(t, "{}", reportHistory())
	r := newReportRepo(t)
	r.story()
	for _, c := range []struct {
		golden string
		code   int
		args   []string
	}{
		{"rollback-day.md", 0, []string{"--until", "2024-03-04T20:00:00Z", "--since", "10h"}},
		{"final.md", 0, []string{"--until", "2024-03-05T20:00:00Z", "--final"}},
		{"final-early.md", 1, []string{"--until", "2024-03-05T12:00:00Z", "--final"}},
	} {
		got, code := report(t, append(c.args, "--prometheus", p.URL)...)
		if code != c.code {
			t.Errorf("%s: ended with %d, want %d", c.golden, code, c.code)
		}
		name := filepath.Join(reportTestdata, c.golden)
		if *updateReports {
			if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s (-want +got, write anew with -args -update-reports):\n%s", c.golden, d)
		}
	}
	page, code := report(t, "--until", "2024-03-05T20:00:00Z", "--final", "--prometheus", p.URL, "-o", "html")
	if code != 0 || !strings.Contains(page, "<h1>Migration report of default/shop</h1>") || !strings.Contains(page, "Advance | shop to *50*") {
		t.Errorf("ended with %d:\n%s", code, page)
	}
	text, _ := report(t, "--until", "2024-03-05T20:00:00Z", "--prometheus", p.URL, "-o", "json")
	var daily migrationreport.Report
	if err := json.Unmarshal([]byte(text), &daily); err != nil {
		t.Fatal(err)
	}
	if daily.Effective.Stop.Phase != "done" || len(daily.Success) != 2 || daily.Success[0].Verdict != gates.Pass || daily.Sides == nil {
		t.Errorf("got %+v", daily)
	}
}

// TestAReportWithoutAPrometheus says what it does not know, and has Git all the
// same.
func TestAReportWithoutAPrometheus(t *testing.T) {
	r := newReportRepo(t)
	r.story()
	got, code := report(t, "--until", "2024-03-05T20:00:00Z", "--since", "48h")
	for _, want := range []string{"not known without --prometheus", "many", "errors=0.05", "ann@example.com", "is no signer of the role"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if code != 0 {
		t.Errorf("ended with %d", code)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"report", "shop", "--until", "2024-03-01T00:00:00Z"}, nil, &out, &errs); code != exitFindings || !strings.Contains(errs.String(), "was not on the branch before") {
		t.Errorf("before the plan was there it ended with %d: %s", code, errs.String())
	}
	if code := run([]string{"report", "shop", "--prometheus", "http://127.0.0.1:1"}, nil, &out, &errs); code != exitFailed {
		t.Errorf("without an answer of Prometheus it ended with %d: %s", code, errs.String())
	}
}
