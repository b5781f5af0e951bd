package git

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// markerFile tells a store of ours from any other folder: only such a one is
// ever replaced.
const markerFile = "changeover-store.json"

type marker struct {
	URL    string `json:"url"`
	Branch string `json:"branch"`
}

// errNoStore: there is no store in the folder, or it is of another branch.
var errNoStore = errors.New("no store")

func diskStorage(dir string) *filesystem.Storage {
	return filesystem.NewStorage(osfs.New(dir), cache.NewObjectLRU(16*cache.MiByte))
}

// storePath is where the store lies in the folder that it is given: the folder
// itself may be a mount point, which cannot be swapped. A folder that holds
// something else is an error.
func storePath(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("open store: %w", err)
	}
	path := filepath.Join(dir, "branch.git")
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	if err != nil {
		return "", fmt.Errorf("open store: %w", err)
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), filepath.Base(path)) {
			return path, nil
		}
	}
	if len(names) > 0 {
		return "", fmt.Errorf("open store: %q is not empty and has no store of ours; name another folder or empty it", dir)
	}
	return path, nil
}

// openDisk opens the store in a folder; errNoStore where it must be made.
func openDisk(dir string, want marker) (*filesystem.Storage, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		// A swap that was cut off between its two renames.
		if err := os.Rename(dir+".old", dir); err != nil {
			return nil, errNoStore
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, markerFile))
	if err != nil {
		return nil, fmt.Errorf("open store: %q is no store of ours; remove it or name another folder: %w", dir, err)
	}
	var m marker
	if err := json.Unmarshal(b, &m); err != nil || m != want {
		return nil, errNoStore
	}
	// Of a fetch that was killed.
	for _, pattern := range []string{"tmp_*", "objects/pack/tmp_*"} {
		leftovers, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, f := range leftovers {
			_ = os.Remove(f)
		}
	}
	return diskStorage(dir), nil
}

// makeDisk makes an empty bare repository in a new folder.
func makeDisk(dir string, m marker) (*filesystem.Storage, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("make store: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make store: %w", err)
	}
	st := diskStorage(dir)
	if err := st.Init(); err != nil {
		return nil, fmt.Errorf("make store: %w", err)
	}
	c := config.NewConfig()
	c.Core.IsBare = true
	if err := st.SetConfig(c); err != nil {
		return nil, fmt.Errorf("make store: %w", err)
	}
	// Git takes a folder for a repository only where there is a HEAD. It
	// names a branch that never exists: nothing reads it.
	head := plumbing.NewSymbolicReference(plumbing.HEAD, plumbing.NewBranchReferenceName("none"))
	if err := st.SetReference(head); err != nil {
		return nil, fmt.Errorf("make store: %w", err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("make store: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, markerFile), b, 0o600); err != nil {
		return nil, fmt.Errorf("make store: %w", err)
	}
	return st, nil
}

// swapDisk puts a new folder in the place of an old one.
func swapDisk(dir, fresh string) error {
	old := dir + ".old"
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("swap store: %w", err)
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("swap store: %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		return fmt.Errorf("swap store: %w", err)
	}
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("swap store: %w", err)
	}
	return nil
}
