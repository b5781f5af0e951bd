package sim

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPlantedBugsAreFound plants bugs, one by one, and holds that the laws notice
// within a minute. A bug in testdata/planted is a comment with the file that it
// changes, the law that it breaks and what it does, and one hunk of a diff without its header: the lines
// that it has or removes stand in exactly one place. Try one with
//
//	CHANGEOVER_ACCEPT=1 go test ./test/sim -run 'TestPlantedBugsAreFound/NAME$' -v
func TestPlantedBugsAreFound(t *testing.T) {
	paths, err := filepath.Glob("testdata/planted/*.patch")
	if err != nil || len(paths) < 6 {
		t.Fatalf("%d planted bugs, %v", len(paths), err)
	}
	for _, path := range paths {
		file, law, mutated := planted(t, path) // also those that are not tried must apply
		name := strings.TrimSuffix(filepath.Base(path), ".patch")
		if os.Getenv("CHANGEOVER_ACCEPT") == "" && name != "skip-bake" {
			continue
		}
		t.Run(name, func(t *testing.T) { isFound(t, file, law, mutated) })
	}
}

func planted(t *testing.T, path string) (file, law, mutated string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, hunk, _ := strings.Cut(string(b), "\n")
	parts := strings.SplitN(strings.TrimPrefix(head, "# "), ": ", 3)
	if len(parts) != 3 {
		t.Fatalf("%s begins with %q, want FILE: law N: what it does", path, head)
	}
	file, law = parts[0], parts[1]
	src, err := os.ReadFile(filepath.Join("..", "..", file))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	old, fresh := "\n", "\n"
	for line := range strings.Lines(hunk) {
		switch line[0] {
		case '-':
			old += line[1:]
		case '+':
			fresh += line[1:]
		case ' ':
			old, fresh = old+line[1:], fresh+line[1:]
		}
	}
	if n := strings.Count(string(src), old); n != 1 {
		t.Errorf("%s applies in %d places of %s: mend it", path, n, file)
	}
	return file, law, strings.Replace(string(src), old, fresh, 1)
}

// isFound plays seeds with the bug until a law is broken.
func isFound(t *testing.T, file, law, mutated string) {
	dir := t.TempDir()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	mutant, overlay, bin := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sim.test")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(root, file): mutant}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{mutant: []byte(mutated), overlay: replace} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-o", bin, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var log bytes.Buffer
	begun := time.Now()
	run := exec.CommandContext(t.Context(), bin, "-test.run", "^TestSeeds$", "-test.v", "-seeds=1-2000", "-shortest=false")
	run.Stdout, run.Stderr = &log, &log
	if err := run.Run(); err == nil || !strings.Contains(log.String(), ": "+law+": ") {
		t.Fatalf("it does not break %s in 2000 seeds:\n%s", law, log.String())
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, ": "+law+": ") {
			t.Logf("found after %s: %s", time.Since(begun).Round(time.Millisecond), strings.TrimSpace(line))
			break
		}
	}
}
