package decide

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sampled is how many mutants are tried where the full counts are not asked for.
const sampled = 1

// TestMutants breaks the guards one by one and holds that the tests of this
// package notice. A mutant in testdata/mutants is a comment that says what it
// breaks and one hunk of a diff without its header: the lines that it has or
// removes stand together in exactly one place of the package's files. Try one with
// CHANGEOVER_ACCEPT=1 go test ./reconciler/decide -run 'TestMutants/NAME$'.
func TestMutants(t *testing.T) {
	paths, err := filepath.Glob("testdata/mutants/*.patch")
	if err != nil || len(paths) < 30 {
		t.Fatalf("%d mutants, %v", len(paths), err)
	}
	sources := sources(t)
	for i, path := range paths {
		file, mutated := mutate(t, sources, path) // also those that are not tried must apply
		if os.Getenv("CHANGEOVER_ACCEPT") == "" && i%(len(paths)/sampled) != 0 {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".patch"), func(t *testing.T) { dies(t, file, mutated) })
	}
}

// sources are the package's files without its tests.
func sources(t *testing.T) map[string]string {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[path] = string(b)
	}
	return out
}

// mutate applies a mutant: it names the file that it changes.
func mutate(t *testing.T, sources map[string]string, path string) (file, mutated string) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old, fresh := "\n", "\n"
	for line := range strings.Lines(string(b)) {
		switch line[0] {
		case '-':
			old += line[1:]
		case '+':
			fresh += line[1:]
		case ' ':
			old, fresh = old+line[1:], fresh+line[1:]
		}
	}
	places := 0
	for name, src := range sources {
		if n := strings.Count(src, old); n > 0 {
			places += n
			file, mutated = name, strings.Replace(src, old, fresh, 1)
		}
	}
	if places != 1 {
		t.Errorf("%s applies in %d places: mend it", path, places)
	}
	return file, mutated
}

// dies builds the tests with the mutated file in place of the real one, and runs
// them: first the stories, then the laws.
func dies(t *testing.T, file, mutated string) {
	dir := t.TempDir()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(wd, file): filepath.Join(dir, file)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{file: []byte(mutated), "overlay.json": overlay} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "decide.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", filepath.Join(dir, "overlay.json"), "-o", bin, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var log bytes.Buffer
	for _, args := range [][]string{
		{"-test.skip", "Laws|Mutants"},
		{"-test.run", "Laws", "-rapid.checks", "300"},
	} {
		run := exec.CommandContext(t.Context(), bin, append(args, "-rapid.nofailfile")...)
		run.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "CHANGEOVER_ACCEPT=") })
		run.Stdout, run.Stderr = &log, &log
		if err := run.Run(); err != nil {
			return
		}
	}
	fmt.Fprintln(&log, "a test is missing")
	t.Errorf("no test notices it:\n%s", log.String())
}
