package kube

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/reconciler/kube/preflight"
	"github.com/changeover-dev/changeover/schemas"
	"github.com/changeover-dev/changeover/test/gatewaytest"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// inquiry is an example in a folder and a namespace of a test's own, about which
// preflight is asked.
type inquiry struct {
	t              *testing.T
	k              *kubetest.Kube
	namespace, dir string
}

func newInquiry(t *testing.T) *inquiry {
	t.Helper()
	k := kubetest.Shared(t)
	k.Apply(t, "", string(schemas.Definition))
	q := &inquiry{t: t, k: k, namespace: k.Namespace(t), dir: t.TempDir()}
	for name, text := range files(t, "kubernetes", "migration-demo", q.namespace, "ledger.example.com", q.namespace+".example.com") {
		q.write(name, text)
	}
	return q
}

// in is the same inquiry in a subtest.
func (q *inquiry) in(t *testing.T) *inquiry {
	return &inquiry{t: t, k: q.k, namespace: q.namespace, dir: q.dir}
}

func (q *inquiry) write(name, text string) {
	q.t.Helper()
	path := filepath.Join(q.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		q.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		q.t.Fatal(err)
	}
}

// edit replaces text in the plan, which must be there.
func (q *inquiry) edit(old, text string) {
	q.t.Helper()
	b, err := os.ReadFile(filepath.Join(q.dir, "orders.yaml"))
	if err != nil || !strings.Contains(string(b), old) {
		q.t.Fatalf("the plan has no %q (%v)", old, err)
	}
	q.write("orders.yaml", strings.Replace(string(b), old, text, 1))
}

// gateway puts the Gateway there, of a class that offers these features; all
// where nil.
func (q *inquiry) gateway(features []string) {
	q.t.Helper()
	gatewaytest.Start(q.t, gatewaytest.Options{
		Kubeconfig: q.k.Kubeconfig, ClassName: q.namespace, ControllerName: "changeover.dev/" + q.namespace, Features: features,
	})
	q.k.Apply(q.t, q.namespace, strings.ReplaceAll(edge, "gatewayClassName: fixture", "gatewayClassName: "+q.namespace))
}

// ask runs preflight with a kubeconfig, and wants an exit code.
func (q *inquiry) ask(code int, kubeconfig string, args ...string) (stdout string) {
	q.t.Helper()
	cmd := exec.Command(filepath.Join(bin, "changeover"), append([]string{"preflight", "orders.yaml", "--kubeconfig", kubeconfig}, args...)...)
	cmd.Dir = q.dir
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		q.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		q.t.Fatalf("preflight ended with %d, want %d:\n%s%s", got, code, out, complaint.String())
	}
	return string(out)
}

// failed are the details of what failed, by check.
func (q *inquiry) failed(kubeconfig string) map[string]string {
	q.t.Helper()
	var report struct {
		Plans []struct {
			Plan     struct{ Namespace, Name string }
			Findings []preflight.Finding
		}
	}
	if err := json.Unmarshal([]byte(q.ask(1, kubeconfig, "-o", "json")), &report); err != nil {
		q.t.Fatal(err)
	}
	if len(report.Plans) != 1 || report.Plans[0].Plan.Namespace != q.namespace || report.Plans[0].Plan.Name != "orders" {
		q.t.Fatalf("it is about %+v", report.Plans)
	}
	out := map[string]string{}
	for _, f := range report.Plans[0].Findings {
		if f.Outcome == preflight.Failed {
			out[f.Check] += f.Detail + "\n"
		}
	}
	return out
}

// fails wants one check alone to fail, with these words.
func (q *inquiry) fails(kubeconfig, check string, words ...string) {
	q.t.Helper()
	failed := q.failed(kubeconfig)
	for _, w := range words {
		if !strings.Contains(failed[check], w) {
			q.t.Errorf("check %q does not say %q: %q", check, w, failed[check])
		}
	}
	if len(failed) != 1 {
		q.t.Errorf("other checks failed too: %q", failed)
	}
}

// An administrator's cluster with a Gateway has all that the example needs, and
// asking changes nothing.
func TestPreflightOfAClusterThatHasEverything(t *testing.T) {
	q := newInquiry(t)
	q.gateway(nil)
	audit := q.k.Audit(t)
	out := q.ask(0, q.k.Kubeconfig)
	for _, want := range []string{
		"requires.kubernetes", "apps/v1/Deployment is served", "of kinds that are served, or that the plan defines",
		"Gateway " + q.namespace + "/edge of class " + q.namespace + " offers what the plan needs", "that the plan needs are there",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, " failed ") {
		t.Errorf("something failed:\n%s", out)
	}
	asked := audit.Requests(t).Where(func(r kubetest.Request) bool { return r.UserAgent == "changeover" })
	if len(asked) == 0 {
		t.Error("the audit log has none of its requests")
	}
	if changes := asked.Writes(); len(changes) > 0 {
		t.Errorf("it changed something:\n%s", changes)
	}
}

func TestPreflightNamesTheRightsThatAreMissing(t *testing.T) {
	q := newInquiry(t)
	q.gateway(nil)
	daemon := q.k.Account(t, q.namespace, "daemon")
	t.Run("of the daemon", func(t *testing.T) {
		q := q.in(t)
		failed := q.failed(daemon.Kubeconfig)
		for _, want := range []string{
			"the daemon's account may not create deployments.apps in namespace " + q.namespace,
			"the daemon's account may not delete services in namespace " + q.namespace,
			"the daemon's account may not patch httproutes.gateway.networking.k8s.io in namespace " + q.namespace,
			"the daemon's account may not create customresourcedefinitions.apiextensions.k8s.io\n",
			"the daemon's account may not update migrationplans.changeover.dev/status in namespace " + q.namespace,
		} {
			if !strings.Contains(failed["permission"], want) {
				t.Errorf("it does not say %q:\n%s", want, failed["permission"])
			}
		}
		if !strings.Contains(failed["gateway"], "edge") {
			t.Errorf("it does not say that it may not read the Gateway: %q", failed["gateway"])
		}
	})
	q.edit("spec:\n", "spec:\n  serviceAccountName: orders\n")
	account := "system:serviceaccount:" + q.namespace + ":orders"
	t.Run("of the plan's account", func(t *testing.T) {
		q := q.in(t)
		failed := q.failed(q.k.Kubeconfig)["permission"]
		if want := account + " may not patch deployments.apps in namespace " + q.namespace; !strings.Contains(failed, want) {
			t.Errorf("it does not say %q:\n%s", want, failed)
		}
		if strings.Contains(failed, "the daemon's account") {
			t.Errorf("an administrator's rights are missing:\n%s", failed)
		}
	})
	t.Run("to act as the plan's account", func(t *testing.T) {
		q := q.in(t)
		failed := q.failed(daemon.Kubeconfig)["permission"]
		if want := "the daemon's account may not impersonate serviceaccounts orders in namespace " + q.namespace; !strings.Contains(failed, want) {
			t.Errorf("it does not say %q:\n%s", want, failed)
		}
		if strings.Contains(failed, account) {
			t.Errorf("it tells of an account as which it could not ask:\n%s", failed)
		}
	})
}

func TestPreflightNamesWhatTheClusterLacks(t *testing.T) {
	t.Run("a Gateway", func(t *testing.T) {
		q := newInquiry(t)
		q.fails(q.k.Kubeconfig, "gateway", "Gateway "+q.namespace+"/edge: ", "does not exist")
	})
	t.Run("a GatewayClass", func(t *testing.T) {
		q := newInquiry(t)
		q.k.Apply(t, q.namespace, strings.ReplaceAll(edge, "gatewayClassName: fixture", "gatewayClassName: nowhere"))
		q.fails(q.k.Kubeconfig, "gateway", "GatewayClass nowhere of Gateway "+q.namespace+"/edge: ", "does not exist")
	})
	t.Run("a feature", func(t *testing.T) {
		q := newInquiry(t)
		q.gateway([]string{"HTTPRouteMethodMatching"})
		q.fails(q.k.Kubeconfig, "gateway", "GatewayClass "+q.namespace+" does not offer what the plan needs: HTTPRouteRequestMirror", "use another class")
	})
	t.Run("a version and an API", func(t *testing.T) {
		q := newInquiry(t)
		q.gateway(nil)
		q.edit(`">=1.29"`, `">=1.99"`)
		q.edit("apps/v1/Deployment]", "ledger.example.org/v7/Ledger]")
		failed := q.failed(q.k.Kubeconfig)
		for check, want := range map[string]string{
			"requires.kubernetes": "the plan requires >=1.99, the cluster has v1.", "requires.apis": "ledger.example.org/v7/Ledger: ",
		} {
			if !strings.Contains(failed[check], want) {
				t.Errorf("check %q does not say %q: %q", check, want, failed[check])
			}
		}
		if len(failed) != 2 {
			t.Errorf("other checks failed too: %q", failed)
		}
	})
	t.Run("a kind", func(t *testing.T) {
		q := newInquiry(t)
		q.gateway(nil)
		q.write("overlays/setup/kustomization.yaml", "namespace: "+q.namespace+"\nresources: [../base, alien.yaml]\n")
		q.write("overlays/setup/alien.yaml", "{apiVersion: ledger.example.org/v7, kind: Alien, metadata: {name: visitor}}\n")
		q.fails(q.k.Kubeconfig, "kind", "Alien", "visitor")
	})
}
