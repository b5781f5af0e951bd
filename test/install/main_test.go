package install

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

// root of the repository.
const root = "../.."

func TestMain(m *testing.M) { os.Exit(withFolder(m)) }

func withFolder(m *testing.M) int {
	dir, err := os.MkdirTemp("", "changeover-install-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	built.dir = dir
	return kubetest.Main(m, cluster.Options{GatewayAPI: cluster.Standard})
}

// built are the binaries under test, once a test asks for them.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// binaries is the folder with changeover and changeover-bridge.
func binaries(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		build := exec.Command("go", "build", "-o", built.dir+"/", "./cmd/changeover", "./cmd/changeover-bridge")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build the binaries: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir
}

// accept reports whether the full counts are asked for.
func accept() bool { return os.Getenv("CHANGEOVER_ACCEPT") != "" }

// shipped is a copy of examples/install, which a test may change.
func shipped(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "install")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "examples/install"))); err != nil {
		t.Fatal(err)
	}
	return dir
}
