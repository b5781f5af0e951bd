// Package flagd runs flagd's own evaluator for tests, built from a module of its
// own, so that what Changeover decides is held against what flagd does.
package flagd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Evaluator is the built program.
type Evaluator struct{ program string }

// Build builds it; Go keeps what was built before.
func Build(t testing.TB) Evaluator {
	t.Helper()
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("the folder of the evaluator cannot be told")
	}
	e := Evaluator{program: filepath.Join(t.TempDir(), "evaluator")}
	cmd := exec.Command("go", "build", "-o", e.program, ".")
	cmd.Dir = filepath.Join(filepath.Dir(here), "evaluator")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build flagd's evaluator: %v\n%s", err, out)
	}
	return e
}

// Variants of one flag for each caller, in their order. No key holds a line's
// end.
func (e Evaluator) Variants(t testing.TB, definitions []byte, flag string, keys []string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "flags.json")
	if err := os.WriteFile(file, definitions, 0o600); err != nil {
		t.Fatal(err)
	}
	var in, complaint bytes.Buffer
	for _, k := range keys {
		in.WriteString(flag + " " + k + "\n")
	}
	cmd := exec.Command(e.program, file)
	cmd.Stdin, cmd.Stderr = &in, &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("flagd's evaluator: %v\n%s", err, complaint.String())
	}
	variants := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(variants) != len(keys) {
		t.Fatalf("%d answers to %d questions", len(variants), len(keys))
	}
	return variants
}
