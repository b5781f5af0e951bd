// Package flagd runs flagd's own evaluator, and an application with an OpenFeature
// SDK, for tests. Each is built from a module of its own, so that what Changeover
// decides is held against what they do.
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

// Evaluator is flagd's, as a built program.
type Evaluator struct{ program string }

// Build builds it; Go keeps what was built before.
func Build(t testing.TB) Evaluator { t.Helper(); return Evaluator{build(t, "evaluator")} }

// Client is the application, as a built program.
type Client struct{ program string }

// BuildClient builds it.
func BuildClient(t testing.TB) Client { t.Helper(); return Client{build(t, "client")} }

func build(t testing.TB, name string) (program string) {
	t.Helper()
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatalf("the folder of the %s cannot be told", name)
	}
	program = filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Dir = filepath.Join(filepath.Dir(here), name)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the %s: %v\n%s", name, err, out)
	}
	return program
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
	return answers(t, contexts, e.program, append([]string{file}, flags...)...)
}

// Answers are what the caller of each context gets of the flags at the URL of a
// server. Those whose names end in `.text` are asked for as texts.
func (c Client) Answers(t testing.TB, url string, flags []string, contexts []map[string]any) [][]Answer {
	t.Helper()
	return answers(t, contexts, c.program, append([]string{url}, flags...)...)
}

// answers asks a program for each context.
func answers(t testing.TB, contexts []map[string]any, program string, args ...string) [][]Answer {
	t.Helper()
	var in, complaint bytes.Buffer
	for _, c := range contexts {
		line, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stderr = &in, &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(program), err, complaint.String())
	}
	found := make([][]Answer, 0, len(contexts))
	lines := json.NewDecoder(bytes.NewReader(out))
	for lines.More() {
		var all []Answer
		if err := lines.Decode(&all); err != nil {
			t.Fatal(err)
		}
		found = append(found, all)
	}
	if len(found) != len(contexts) {
		t.Fatalf("%d answers to %d questions", len(found), len(contexts))
	}
	return found
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
