package walk

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/kubetest"
	"github.com/changeover-dev/changeover/test/promtest"
)

// said is what doctor says of each check: its outcome and its words.
type said struct {
	code   int
	is     map[string]string
	detail map[string]string
	advice map[string]string
}

// doctor is asked, and changes nothing.
func doctor(t *testing.T, args ...string) said {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "changeover"), append([]string{"doctor", "--no-daemon", "-o", "json"}, args...)...)
	out, err := cmd.Output()
	var checks []struct{ Check, Outcome, Detail, Do string }
	if jsonErr := json.Unmarshal(out, &checks); jsonErr != nil {
		t.Fatalf("%v, %v:\n%s", err, jsonErr, out)
	}
	s := said{cmd.ProcessState.ExitCode(), map[string]string{}, map[string]string{}, map[string]string{}}
	for _, c := range checks {
		s.is[c.Check], s.detail[c.Check], s.advice[c.Check] = c.Outcome, c.Detail, c.Do
	}
	return s
}

// finds wants an outcome of a check with these words, advice where it is not well,
// and an exit code.
func (s said) finds(t *testing.T, code int, check, outcome, words string) {
	t.Helper()
	if s.is[check] != outcome || !strings.Contains(s.detail[check], words) || s.code != code {
		t.Errorf("%s is %q (%q) and doctor ended with %d, want %q (%q) and %d; all: %v", check, s.is[check], s.detail[check], s.code, outcome, words, code, maps.Clone(s.is))
	}
	if outcome != "ok" && s.advice[check] == "" {
		t.Errorf("%s does not say what to do", check)
	}
}

// lease is one of daemons, by its holder and its last renewal.
func lease(name, holder string, renewed time.Time) string {
	return fmt.Sprintf("apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: %s}\nspec: {holderIdentity: %q, leaseDurationSeconds: 600, renewTime: %q}\n",
		name, holder, renewed.UTC().Format("2006-01-02T15:04:05.000000Z"))
}

// TestDoctorAsksAClusterAndTheRest asks real ones, each question where all is well
// and where it is not.
func TestDoctorAsksAClusterAndTheRest(t *testing.T) {
	k := kubetest.Shared(t)
	ns := k.Namespace(t)
	k.Apply(t, ns, lease("held", "daemon-1", time.Now()))
	k.Apply(t, ns, lease("stale", "daemon-1", time.Now().Add(-time.Hour)))
	k.Apply(t, ns, lease("free", "", time.Now()))
	ask := func(kubeconfig string, args ...string) said {
		return doctor(t, append([]string{"--kubeconfig", kubeconfig, "--lease-namespace", ns}, args...)...)
	}
	t.Run("a cluster", func(t *testing.T) {
		s := ask(k.Kubeconfig, "--lease-name", "held")
		s.finds(t, 0, "kubernetes", "ok", "the API server answers")
		s.finds(t, 0, "kubernetes.lease", "ok", "daemon-1 holds "+ns+"/held")
		ask(k.Kubeconfig, "--lease-name", "none").finds(t, 0, "kubernetes.lease", "ok", "no daemon was ever elected")
		ask(k.Kubeconfig, "--lease-name", "free").finds(t, 0, "kubernetes.lease", "warning", "nobody holds")
		ask(k.Kubeconfig, "--lease-name", "stale").finds(t, 1, "kubernetes.lease", "failed", "has not renewed it")
	})
	t.Run("an account without rights, then without a token", func(t *testing.T) {
		a := k.Account(t, ns, "nobody")
		ask(a.Kubeconfig, "--lease-name", "held").finds(t, 1, "kubernetes.lease", "failed", "cannot get resource \"leases\"")
		a.Expire(t)
		ask(a.Kubeconfig).finds(t, 1, "kubernetes", "failed", "")
	})
	t.Run("nobody answers", func(t *testing.T) {
		cfg, err := clientcmd.LoadFromFile(k.Kubeconfig)
		must(t, err)
		for _, c := range cfg.Clusters {
			c.Server = "https://" + child.FreeAddr(t)
		}
		file := filepath.Join(t.TempDir(), "away.kubeconfig")
		must(t, clientcmd.WriteToFile(*cfg, file))
		ask(file).finds(t, 1, "kubernetes", "failed", "")
	})
}

func TestDoctorAsksGitAndPrometheus(t *testing.T) {
	repo := filepath.Join(t.TempDir(), "host.git")
	cmd := exec.CommandContext(t.Context(), "bash", "-e", "-c", `git init -q --bare -b main "$0" && git clone -q "$0" "$0.work" && cd "$0.work" && git commit -q --allow-empty -m first && git push -q origin HEAD:main`, repo)
	cmd.Env = environ(t, t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	doctor(t, "--repo", repo).finds(t, 0, "git", "ok", "can be read")
	doctor(t, "--repo", repo, "--branch", "other").finds(t, 1, "git", "failed", "other")
	doctor(t, "--repo", repo+".none").finds(t, 1, "git", "failed", "")
	p := promtest.Start(t, "{}")
	doctor(t, "--prometheus", p.URL).finds(t, 1, "prometheus.scrapes", "failed", "scraped nothing")
	p.Stop()
	doctor(t, "--prometheus", p.URL).finds(t, 1, "prometheus", "failed", "")
}
