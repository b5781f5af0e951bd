package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/changeover-dev/changeover/test/child"
	"github.com/changeover-dev/changeover/test/kubetest"
	"github.com/changeover-dev/changeover/test/stack"
)

// TestBridgesOfTheirOwnFollowTheDaemon runs the daemon and two bridges as the
// component bridge-replicas has them, with the shipped roles. Only the Service
// is none: its endpoints could not be on this machine alone.
func TestBridgesOfTheirOwnFollowTheDaemon(t *testing.T) {
	k := kubetest.Shared(t)
	installed(t, k)
	for _, file := range []string{"account.yaml", "roles.yaml"} {
		b, err := os.ReadFile(filepath.Join(root, "examples/install/components/bridge-replicas", file))
		if err != nil {
			t.Fatal(err)
		}
		k.Apply(t, system, string(b))
	}
	ns := k.Namespace(t)
	team(t, k, ns)
	r := &rig{t: t, k: k, namespace: ns, bin: binaries(t), account: k.Account(t, system, "changeover")}
	bridges := []*ownBridge{r.ownBridge(), r.ownBridge()}
	t.Cleanup(func() { k.Delete(t, "ConfigMap", system, "changeover-bridge") })

	var daemon []string
	for _, arg := range r.args("bridge-replicas") {
		if !strings.HasPrefix(arg, "--bridge-service=") {
			daemon = append(daemon, arg)
			continue
		}
		for _, b := range bridges {
			daemon = append(daemon, "--bridge-url=http://"+b.admin)
		}
	}
	r.Stack = stack.Start(t, stack.Options{Bin: r.bin, Plan: strings.ReplaceAll(bridged, "NAMESPACE", ns), Args: daemon})
	for _, b := range bridges {
		kubetest.WaitFor(t, "the bridge answers, and waits for a config", func() bool { return ask(t, b.admin, "/healthz", "") == "503" })
	}
	r.StartDaemon()
	for i, stop := range []string{"setup", "sunset", "setup"} {
		if i > 0 {
			r.Declare(stop)
		}
		for _, b := range bridges {
			r.serves(stop, map[string]string{"setup": "legacy", "sunset": "modern"}[stop], b.traffic)
		}
	}
}

// ownBridge is a bridge in a pod of its own, as far as this machine has one.
type ownBridge struct{ traffic, admin string }

func (r *rig) ownBridge() *ownBridge {
	r.t.Helper()
	dir := r.t.TempDir()
	b := &ownBridge{traffic: child.FreeAddr(r.t), admin: child.FreeAddr(r.t)}
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("s3cret\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	here := strings.NewReplacer("/var/cache/changeover", dir, "/etc/changeover/bridge", dir, "=:8080", "="+b.traffic, "=:8081", "="+b.admin, "$(NAMESPACE)", system)
	args := []string{"--kubeconfig", r.k.Account(r.t, system, "changeover-bridge").Kubeconfig}
	for _, arg := range container(r.t, "bridge-replicas", "bridge").Args {
		args = append(args, here.Replace(arg))
	}
	cmd := exec.Command(filepath.Join(r.bin, "changeover-bridge"), args...)
	done, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
	return b
}
