package kubetest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/cluster/components"
)

// kubectlTimeout bounds one command.
const kubectlTimeout = 2 * time.Minute

// Kubectl runs the real kubectl as administrator and returns what it prints. A
// --kubeconfig among the arguments goes before. It fails the test where kubectl
// does.
func (k *Kube) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := k.RunKubectl("", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// RunKubectl is Kubectl with a standard input, for commands that may fail: the
// error then has what kubectl complained of.
func (k *Kube) RunKubectl(stdin string, args ...string) (stdout string, err error) {
	cache, err := components.DefaultCache()
	if err != nil {
		return "", err
	}
	path, err := cache.Find(components.Kubectl)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), kubectlTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	// No configuration of the user; its cache goes with the cluster.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + k.Dir, "KUBECONFIG=" + k.Kubeconfig}
	var out, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, complaint.String())
	}
	return out.String(), nil
}
