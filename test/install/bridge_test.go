package install

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/kubetest"
	"github.com/changeover-dev/changeover/test/stack"
)

const bridged = `
apiVersion: changeover.dev/v1alpha1
kind: MigrationPlan
metadata: {name: orders, namespace: NAMESPACE}
spec:
  position: {phase: setup}
  backends: {legacy: {url: "LEGACY"}, modern: {url: "MODERN"}}
  gateway: {bridge: {}}
  phases:
    - {name: setup, routes: [{to: legacy}]}
    - {name: sunset, routes: [{to: modern}]}
`

// TestTheBridgeOfThePodFollowsTheDaemonOfThePod runs both as the component has
// them, in a namespace that the daemon may not work in at first.
func TestTheBridgeOfThePodFollowsTheDaemonOfThePod(t *testing.T) {
	k := kubetest.Shared(t)
	installed(t, k)
	ns := k.Namespace(t)
	r := &rig{t: t, k: k, namespace: ns, bin: binaries(t), account: k.Account(t, system, "changeover")}

	// What is one pod's there is in one folder, and on two ports, here.
	dir, traffic, admin := t.TempDir(), child.FreeAddr(t), child.FreeAddr(t)
	here := strings.NewReplacer("/var/lib/bridge", dir, "/etc/changeover/bridge", dir, "127.0.0.1:8081", admin, "=:8080", "="+traffic, "=:8081", "="+admin)
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var args []string
	for _, arg := range container(t, "bridge", "bridge").Args {
		args = append(args, here.Replace(arg))
	}
	bridge := exec.Command(filepath.Join(r.bin, "changeover-bridge"), args...)
	done, err := child.Start(bridge, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = bridge.Process.Kill()
		<-done
	})
	daemon := r.args("bridge")
	for i, arg := range daemon {
		daemon[i] = here.Replace(arg)
	}
	r.Stack = stack.Start(t, stack.Options{Bin: r.bin, Plan: strings.ReplaceAll(bridged, "NAMESPACE", ns), Args: daemon})
	kubetest.WaitFor(t, "the bridge answers, and waits for a config", func() bool { return ask(t, admin, "/healthz", "") == "503" })
	r.StartDaemon()
	r.Await("that the namespace was not given", patience, func(s reconciler.Status) bool {
		return strings.Contains(s.Error, "permission is missing") && strings.Contains(s.Error, `cannot get resource "migrationplans"`)
	})
	if got := ask(t, traffic, "/", ""); got != "503" {
		t.Errorf("the bridge answers %s before the daemon may work", got)
	}
	team(t, k, ns)
	r.serves("setup", "legacy", traffic)
	r.Declare("sunset")
	r.serves("sunset", "modern", traffic)
	for token, want := range map[string]string{"": "401", "wrong": "401", "s3cret": "200"} {
		if got, _, _ := strings.Cut(ask(t, admin, "/metrics", token), " "); got != want {
			t.Errorf("/metrics with token %q answers %s, want %s", token, got, want)
		}
	}
	if got, _, _ := strings.Cut(ask(t, admin, "/healthz", ""), " "); got != "200" {
		t.Errorf("the probe gets %s", got)
	}
}

// serves waits for a stop, and asks the bridge as a client.
func (r *rig) serves(stop, side, traffic string) {
	r.t.Helper()
	r.Await("steady at "+stop, patience, func(s reconciler.Status) bool {
		return s.Effective.String() == stop && s.Declared == s.Effective && s.Move == nil && s.Error == ""
	})
	if got := ask(r.t, traffic, "/", ""); got != "200 "+side+":" {
		r.t.Errorf("at %s the bridge answers %q", stop, got)
	}
}

// ask gets a path and returns code and body; the code alone where it is no 200.
func ask(t *testing.T, addr, path, token string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	code, _, _ := strings.Cut(res.Status, " ")
	if code != "200" {
		return code
	}
	return code + " " + string(b)
}
