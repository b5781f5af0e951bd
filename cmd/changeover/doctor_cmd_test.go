package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/cmd/changeover/doctor"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/promtest"
)

// TestDoctorLooksAtARunningInstallation: a daemon, a repository and a Prometheus.
func TestDoctorLooksAtARunningInstallation(t *testing.T) {
	dir := startDaemon(t, &fakeDaemon{statuses: []reconciler.Status{waiting()}})
	repo := filepath.Join(t.TempDir(), "host.git")
	if out, err := exec.Command("git", "init", "-q", "--bare", "--initial-branch=main", repo).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	p := promtest.Start(t, "{}") // it scrapes nothing
	code, out, errs := call(t, "doctor", "--state-dir", dir, "--prometheus", p.URL, "--repo", repo, "-o", "json")
	var checks []doctor.Check
	if err := json.Unmarshal([]byte(out), &checks); err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	is := map[string]doctor.Outcome{}
	for _, c := range checks {
		is[c.Name] = c.Outcome
		if c.Outcome != doctor.OK && c.Outcome != doctor.Skipped && c.Do == "" {
			t.Errorf("%+v does not say what to do", c)
		}
	}
	for name, want := range map[string]doctor.Outcome{
		"daemon.work": doctor.OK, "prometheus": doctor.OK, "prometheus.scrapes": doctor.Failed, "prometheus.daemon": doctor.Warning,
		"clock.prometheus": doctor.OK, "kubernetes": doctor.Skipped,
	} {
		if is[name] != want {
			t.Errorf("%s is %q, want %q: %+v", name, is[name], want, checks)
		}
	}
	if code != exitFindings {
		t.Errorf("it ended with %d, although Prometheus has scraped nothing", code)
	}
}

// TestDoctorTellsNoSecret: what is in URLs and files does not come out, whatever
// fails.
func TestDoctorTellsNoSecret(t *testing.T) {
	const canary = "s3cr3t-canary"
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"table", "json"} {
		code, out, errs := call(t, "doctor", "--no-daemon", "-o", format, "--prometheus", "http://ops:"+canary+"@127.0.0.1:1/"+"prom",
			"--repo", "https://127.0.0.1:1/ops/plans.git", "--git-token-file", token)
		if code != exitFindings || !strings.Contains(out, "git") || !strings.Contains(out, "failed") {
			t.Errorf("it ended with %d: %s%s", code, out, errs)
		}
		if strings.Contains(out+errs, canary) {
			t.Errorf("a secret came out:\n%s%s", out, errs)
		}
	}
}

func TestDoctorEndsByWhatItFound(t *testing.T) {
	dir := startDaemon(t, &fakeDaemon{statuses: []reconciler.Status{waiting()}})
	if code, out, errs := call(t, "doctor", "--state-dir", dir); code != exitOK {
		t.Errorf("nothing is wrong, and it ended with %d: %s%s", code, out, errs)
	}
	code, out, _ := call(t, "doctor", "--state-dir", shortDir(t))
	if code != exitFindings {
		t.Errorf("no daemon runs, and it ended with %d", code)
	}
	wantAll(t, out, "no daemon is running", "changeover run --state-dir")
	if code, _, errs := call(t, "doctor", "/nowhere/plans", "--no-daemon"); code != exitFailed || !strings.Contains(errs, "/nowhere/plans") {
		t.Errorf("plans that are not there: it ended with %d: %s", code, errs)
	}
	if code, _, _ := call(t, "doctor", "--prometheus", "localhost:9090"); code != exitUsage {
		t.Errorf("a URL that is none: it ended with %d", code)
	}
}
