package walk

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheDemoSeesEveryStep plays it as `make demo` does, with more time for each
// step: it is for a machine that does nothing else.
func TestTheDemoSeesEveryStep(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "changeover-demo"), "-patience=5").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Every step was observed") {
		t.Errorf("%v:\n%s", err, out)
	}
}
