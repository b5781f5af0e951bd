package onap

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/changeover-dev/changeover/plan"
)

const (
	root    = "../.."
	example = root + "/examples/onap-so"
	file    = example + "/onap-so.yaml"
)

// bin holds the binaries under test.
var bin string

func TestMain(m *testing.M) { os.Exit(withBinaries(m.Run)) }

func withBinaries(tests func() int) int {
	dir, err := os.MkdirTemp("", "changeover-onap-")
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

// changeover runs the command line, wants an exit code, and returns what it printed.
func changeover(t *testing.T, code int, args ...string) string {
	t.Helper()
	return piped(t, code, "", args...)
}

// piped is changeover with a standard input.
func piped(t *testing.T, code int, in string, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "changeover"), args...)
	cmd.Stdin = strings.NewReader(in)
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

// decoded is the plan of the example.
func decoded(t *testing.T) *plan.Plan {
	t.Helper()
	doc, problems := plan.Decode("onap-so.yaml", []byte(read(t, file)))
	for _, p := range problems {
		t.Error(p.Render())
	}
	if t.Failed() {
		t.FailNow()
	}
	return doc.Plan
}
