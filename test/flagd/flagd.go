// Package flagd runs flagd's own evaluator for tests, built from a module of its
// own, so that what Changeover decides is held against what flagd does.
package flagd

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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

// Answer is what a caller gets of one flag.
type Answer struct {
	Variant  string
	Value    any
	Reason   string
	Metadata map[string]any
}

// Answers are what the caller of each context gets of the flags.
func (e Evaluator) Answers(t testing.TB, definitions []byte, flags []string, contexts []map[string]any) [][]Answer {
	t.Helper()
	file := filepath.Join(t.TempDir(), "flags.json")
	if err := os.WriteFile(file, definitions, 0o600); err != nil {
		t.Fatal(err)
	}
	var in, complaint bytes.Buffer
	for _, c := range contexts {
		line, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	cmd := exec.Command(e.program, append([]string{file}, flags...)...)
	cmd.Stdin, cmd.Stderr = &in, &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("flagd's evaluator: %v\n%s", err, complaint.String())
	}
	answers := make([][]Answer, 0, len(contexts))
	lines := json.NewDecoder(bytes.NewReader(out))
	for lines.More() {
		var all []Answer
		if err := lines.Decode(&all); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, all)
	}
	if len(answers) != len(contexts) {
		t.Fatalf("%d answers to %d questions", len(answers), len(contexts))
	}
	return answers
}

// Variants of one flag for each caller, in their order.
func (e Evaluator) Variants(t testing.TB, definitions []byte, flag string, keys []string) []string {
	t.Helper()
	contexts := make([]map[string]any, len(keys))
	for i, key := range keys {
		contexts[i] = map[string]any{"targetingKey": key}
	}
	variants := make([]string, len(keys))
	for i, a := range e.Answers(t, definitions, []string{flag}, contexts) {
		variants[i] = a[0].Variant
	}
	return variants
}
