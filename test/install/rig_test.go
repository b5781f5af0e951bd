package install

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/gatewaytest"
	"github.com/changeover-dev/changeover/test/kubetest"
	"github.com/changeover-dev/changeover/test/stack"
)

// patience is how long a test waits for what must come: the machine may be
// busy.
const patience = 60 * time.Second

// rig is the real daemon, run with the shipped arguments and the shipped roles,
// over the plan of examples/kubernetes.
type rig struct {
	*stack.Stack
	t         *testing.T
	k         *kubetest.Kube
	gw        *gatewaytest.Gateway
	namespace string
	account   *kubetest.Account // the daemon's
	bin       string
}

const edge = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: CLASS
  listeners: [{name: http, port: 80, protocol: HTTP}]
`

// spares are of each kind that an overlay may hold and that nothing else is
// made of, so that they may be deleted and left out.
var spares = map[string]string{
	"deployments": `{apiVersion: apps/v1, kind: Deployment, metadata: {name: spare}, spec: {replicas: 0, selector: {matchLabels: {app: spare}},
  template: {metadata: {labels: {app: spare}}, spec: {containers: [{name: app, image: spare}]}}}}`,
	"services":   `{apiVersion: v1, kind: Service, metadata: {name: spare}, spec: {selector: {app: spare}, ports: [{port: 80}]}}`,
	"configmaps": `{apiVersion: v1, kind: ConfigMap, metadata: {name: spare}, data: {a: b}}`,
	"jobs":       `{apiVersion: batch/v1, kind: Job, metadata: {name: spare}, spec: {suspend: false, template: {spec: {restartPolicy: Never, containers: [{name: app, image: spare}]}}}}`,
	"ledgers":    `{apiVersion: ledger.example.com/v1, kind: Ledger, metadata: {name: spare}, spec: {currency: EUR}}`,
}

// note is on every object of the phase gradual, and may be changed by hand.
const note = "orders.example.com/note"

// newRig installs Changeover, gives a new namespace what the README gives a
// team, and starts a stack, not yet the daemon.
func newRig(t *testing.T) *rig {
	t.Helper()
	k := kubetest.Shared(t)
	installed(t, k)
	t.Cleanup(func() { installed(t, k) }) // the test has changed the roles
	// No pods of the Deployment play a part: kwok only says that they run.
	ns := k.Namespace(t)
	team(t, k, ns)
	r := &rig{t: t, k: k, namespace: ns, bin: binaries(t), account: k.Account(t, system, "changeover")}
	files := r.files()
	text := files["orders.yaml"]
	delete(files, "orders.yaml")
	r.gw = gatewaytest.Start(t, gatewaytest.Options{Kubeconfig: k.Kubeconfig, ClassName: ns, ControllerName: "changeover.dev/" + ns})
	k.Apply(t, ns, strings.ReplaceAll(edge, "CLASS", ns))
	r.gw.URL(t, ns, "edge")
	r.Stack = stack.Start(t, stack.Options{Bin: r.bin, Plan: text, Files: files, Args: r.args("site")})
	return r
}

// files of the repository.
func (r *rig) files() map[string]string {
	r.t.Helper()
	out := map[string]string{}
	dir := filepath.Join(root, "examples/kubernetes")
	words := ofTeam(r.namespace)
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		out[rel] = words.Replace(string(b))
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	// Without requests the signal has no data, which would hold the plan.
	text := strings.Replace(out["orders.yaml"], "spec:\n", "spec:\n  serviceAccountName: migration\n", 1)
	before, rest, ok := strings.Cut(text, "  signals:\n")
	_, after, end := strings.Cut(rest, "  objects:\n")
	text = before + "  objects:\n" + after
	before, rest, gate := strings.Cut(text, "        rollback:")
	_, after, line := strings.Cut(rest, "\n")
	if !ok || !end || !gate || !line {
		r.t.Fatalf("the plan of examples/kubernetes is another:\n%s", text)
	}
	out["orders.yaml"] = before + after
	for name, text := range spares {
		out["overlays/spare/"+name+".yaml"] = words.Replace(text)
	}
	out["overlays/spare/kustomization.yaml"] = spareList("")
	gradual := "overlays/gradual/kustomization.yaml"
	edited := strings.Replace(out[gradual], "[../base, ../modern]", "[../base, ../modern, ../spare]", 1)
	if edited == out[gradual] {
		r.t.Fatalf("the overlay of examples/kubernetes is another:\n%s", edited)
	}
	out[gradual] = edited + "commonAnnotations: {" + note + ": as-declared}\n"
	return out
}

// spareList is the kustomization of the spares but one, and extra ones.
func spareList(without string, extra ...string) string {
	text := "resources: []\n"
	if len(spares) > 0 {
		text = "resources:\n"
	}
	for _, name := range append([]string{"deployments", "services", "configmaps", "jobs", "ledgers"}, extra...) {
		if name != without {
			text += "  - " + name + ".yaml\n"
		}
	}
	return text
}

// args are those of the shipped Deployment, but for what a pod alone has.
func (r *rig) args(variant string) []string {
	r.t.Helper()
	env := map[string]string{"NAMESPACE": system, "BRANCH": "main", "REPO_PATH": "."}
	token := filepath.Join(r.t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("none"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	args := []string{}
	for _, arg := range container(r.t, variant, "changeover").Args[1:] {
		switch name, _, _ := strings.Cut(arg, "="); name {
		case "--repo", "--prometheus", "--listen": // the stack's
		case "--in-cluster":
			args = append(args, "--kubeconfig="+r.account.Kubeconfig)
		case "--git-token-file":
			args = append(args, name+"="+token)
		default:
			args = append(args, os.Expand(strings.NewReplacer("$(", "${", ")", "}").Replace(arg), func(n string) string {
				if env[n] == "" {
					r.t.Errorf("the argument %s names a variable that this test does not know", arg)
				}
				return env[n]
			}))
		}
	}
	return append(args, "--drift-interval", "5s")
}

// settled reports whether nothing is under way and nothing amiss.
func settled(s reconciler.Status, stop string) bool {
	return (s.State == reconciler.StateSteady || s.State == reconciler.StateComplete) && s.Effective.String() == stop &&
		s.Declared == s.Effective && s.Move == nil && s.Error == "" && s.Observed.Cluster.Known && !s.Observed.Cluster.Ill() &&
		s.Head == s.Applied
}

// at waits until the plan is settled at a stop, by the newest commit.
func (r *rig) at(stop string) reconciler.Status {
	r.t.Helper()
	newest := plan.Revision(r.Remote("rev-parse", "main"))
	return r.Await("settled at "+stop, patience, func(s reconciler.Status) bool { return settled(s, stop) && s.Head == newest })
}

// restart ends the daemon, does something, and starts it again.
func (r *rig) restart(between ...func()) {
	r.t.Helper()
	r.StopDaemon()
	for _, do := range between {
		do()
	}
	r.StartDaemon()
}

// preflight asks as the daemon's account, and returns all that it says.
func (r *rig) preflight() (string, error) {
	r.t.Helper()
	r.Pull()
	cmd := exec.CommandContext(r.t.Context(), filepath.Join(r.bin, "changeover"), "preflight", filepath.Join(r.Clone, "orders.yaml"),
		"--kubeconfig", r.account.Kubeconfig)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// said is all that the daemon tells: in its status, and in its log since a
// moment.
func (r *rig) said(since int) (reconciler.Status, string) {
	st, err := r.Status()
	words := []string{st.Error, st.Waiting, st.Decision.Message, st.Observed.Cluster.Message, st.Observed.Gateway.Message, fmt.Sprint(err)}
	if st.Move != nil {
		words = append(words, st.Move.Error)
	}
	for _, v := range st.Gates {
		words = append(words, fmt.Sprint(v))
	}
	return st, strings.Join(words, "\n") + "\n" + strings.ReplaceAll(r.DaemonLog()[since:], `\`, "")
}
