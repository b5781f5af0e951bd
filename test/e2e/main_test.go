package e2e

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// bin holds the binaries under test.
var bin string

//go:embed testdata/orders.yaml
var ordersPlan string

func TestMain(m *testing.M) { os.Exit(withBinaries(m.Run)) }

func withBinaries(tests func() int) int {
	dir, err := os.MkdirTemp("", "changeover-e2e-")
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
	return tests()
}

// accept reports whether the full counts are asked for.
func accept() bool { return os.Getenv("CHANGEOVER_ACCEPT") != "" }

// count is n in `make test` and full in `make accept`.
func count(n, full int) int {
	if accept() {
		return full
	}
	return n
}
