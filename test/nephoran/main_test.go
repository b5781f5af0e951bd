package nephoran

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/test/cluster"
	"github.com/changeover-dev/changeover/test/kubetest"
)

const (
	root    = "../.."
	example = root + "/examples/nephoran"
)

// steps are the plans of the five controllers, each of which depends on the one before.
var steps = []string{"llm", "resource", "manifest", "gitops", "verification"}

// bin holds the binaries under test.
var bin string

func TestMain(m *testing.M) { os.Exit(withBinaries(m)) }

func withBinaries(m *testing.M) int {
	dir, err := os.MkdirTemp("", "changeover-nephoran-")
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
	return kubetest.Main(m, cluster.Options{})
}

// changeover runs the command line, wants an exit code, and returns what it printed.
func changeover(t *testing.T, code int, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "changeover"), args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("changeover %s ended with %d, want %d:\n%s", strings.Join(args, " "), got, code, out)
	}
	return string(out)
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// decoded is a plan of the example.
func decoded(t *testing.T, name string) *plan.Plan {
	t.Helper()
	doc, problems := plan.Decode(name+".yaml", []byte(read(t, filepath.Join(example, name+".yaml"))))
	if plan.HasErrors(problems) {
		t.Fatal(problems)
	}
	return doc.Plan
}
