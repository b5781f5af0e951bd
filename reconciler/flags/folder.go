package flags

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/durable"
	"github.com/changeover-dev/changeover/render/flagd"
)

// Folder is a Store of files: NAMESPACE/NAME/flags.flagd.json of each plan in it.
// The folder itself must exist.
type Folder string

func (f Folder) file(key plan.Key) string {
	return filepath.Join(string(f), key.Namespace, key.Name, flagd.Key)
}

// Read implements Store.
func (f Folder) Read(_ context.Context, key plan.Key) ([]byte, error) {
	b, err := os.ReadFile(f.file(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the flag definitions: %w", err)
	}
	return b, nil
}

// Write implements Store.
func (f Folder) Write(_ context.Context, s *flagd.Set) error {
	path := f.file(s.Plan)
	dir := filepath.Dir(path)
	err := f.makeFolders(dir)
	if err == nil {
		err = durable.Replace(filepath.Join(dir, "."+flagd.Key+".tmp"), path, s.Definitions(), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the flag definitions: %w", err)
	}
	return nil
}

// makeFolders makes the plan's folder and that of its namespace, not the one that
// holds all: where that is gone, as when it is not mounted, nobody would read what
// is written.
func (f Folder) makeFolders(dir string) error {
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Mkdir(d, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := durable.SyncFolder(filepath.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

// None is a Store that keeps nothing: the flags are only asked for by OFREP.
type None struct{}

// Read implements Store.
func (None) Read(context.Context, plan.Key) ([]byte, error) { return nil, nil }

// Write implements Store.
func (None) Write(context.Context, *flagd.Set) error { return nil }
