package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/changeover-dev/changeover/reconciler/durable"
)

func TestAFileIsReplacedWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path, tmp := filepath.Join(dir, "a"), filepath.Join(dir, ".a.tmp")
	for _, content := range []string{"first", "second, longer", "3"} {
		if err := durable.Replace(tmp, path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("it holds %q, want %q: %v", got, content, err)
		}
	}
	if err := os.WriteFile(tmp, []byte("what a crash left, longer than all"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.Replace(tmp, path, []byte("4"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A folder in its place cannot be replaced: the file stays as it was.
	if err := durable.Replace(tmp, dir, []byte("5"), 0o600); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if err := durable.Replace(filepath.Join(dir, "gone", "tmp"), path, []byte("6"), 0o600); err == nil {
		t.Error("a folder that is not there is no error")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "4" {
		t.Errorf("it holds %q, want what was written last: %v", got, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left in the folder are %v, %v", left, err)
	}
}
