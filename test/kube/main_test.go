package kube

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// bin holds the binaries under test.
var bin string

func TestMain(m *testing.M) { os.Exit(withBinaries(m)) }

func withBinaries(m *testing.M) int {
	dir, err := os.MkdirTemp("", "changeover-kube-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin = dir
	build := exec.Command("go", "build", "-o", dir+"/", "../../cmd/changeover", "../../cmd/changeover-bridge")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the binaries:", err)
		return 1
	}
	return kubetest.Main(m, cluster.Options{GatewayAPI: cluster.Standard, Audit: true})
}

// accept reports whether the full counts are asked for.
func accept() bool { return os.Getenv("CHANGEOVER_ACCEPT") != "" }
