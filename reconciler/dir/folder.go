package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/changeover-dev/changeover/plan"
)

// Bounds of what is read of a plan's folder.
const (
	maxFiles = 10_000
	maxBytes = 64 << 20
)

// workFolder is where folders are made before they are put in place, and where
// they go from it.
const workFolder = ".changeover"

// folder is a store in a folder.
type folder struct {
	root     string
	mode     fs.FileMode // of the files
	exchange func(a, b string) error
}

func openFolder(root string, mode fs.FileMode) (*folder, error) {
	root, err := filepath.Abs(root)
	if err == nil {
		err = os.MkdirAll(filepath.Join(root, workFolder), 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("open the folder for manifests: %w", err)
	}
	f := &folder{root: root, mode: mode, exchange: exchange}
	if err := f.recover(); err != nil {
		return nil, fmt.Errorf("open the folder for manifests: %w", err)
	}
	return f, nil
}

// at is where a plan's folder is.
func (f *folder) at(key plan.Key) string { return filepath.Join(f.root, key.Namespace, key.Name) }

func (f *folder) where(key plan.Key) string { return "folder " + f.at(key) }

// work is a folder beside, of the same plan: names of plans have no underscore.
func (f *folder) work(key plan.Key, suffix string) string {
	return filepath.Join(f.root, workFolder, key.Namespace+"_"+key.Name+"_"+suffix)
}

// recover puts back what a crash between two renames took away, and clears up.
func (f *folder) recover() error {
	work := filepath.Join(f.root, workFolder)
	entries, err := os.ReadDir(work)
	if err != nil {
		return err
	}
	for _, e := range entries {
		parts := strings.Split(e.Name(), "_")
		path := filepath.Join(work, e.Name())
		if len(parts) == 3 && parts[2] == "old" {
			at := f.at(plan.Key{Namespace: parts[0], Name: parts[1]})
			if _, err := os.Lstat(at); errors.Is(err, fs.ErrNotExist) {
				if err := os.Rename(path, at); err != nil {
					return err
				}
				continue
			}
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) read(_ context.Context, key plan.Key) (map[string][]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	files, total := map[string][]byte{}, int64(0)
	dir := os.DirFS(f.at(key))
	err := fs.WalkDir(dir, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if total += info.Size(); total > maxBytes || len(files) > maxFiles {
			return errors.New("it is larger than what is ever written there: remove what does not belong")
		}
		files[name] = nil
		if info.Mode().IsRegular() {
			files[name], err = fs.ReadFile(dir, name)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return files, err
}

// checkKey refuses what would lead elsewhere. Plans that were validated have no
// such names.
func checkKey(key plan.Key) error {
	for _, part := range []string{key.Namespace, key.Name} {
		if part == "" || strings.HasPrefix(part, ".") || strings.ContainsAny(part, "/\\_:") {
			return fmt.Errorf("plan %q has no name for a folder", key)
		}
	}
	return nil
}

// write makes the folder anew beside the old one, and swaps the two. Everything
// is on the disk before.
func (f *folder) write(ctx context.Context, key plan.Key, files map[string][]byte, _ string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	at, next, old := f.at(key), f.work(key, "next"), f.work(key, "old")
	if err := errors.Join(os.RemoveAll(next), os.RemoveAll(old)); err != nil {
		return err
	}
	if err := f.fill(next, files); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := f.swap(at, next, old); err != nil {
		return err
	}
	err := errors.Join(syncDir(filepath.Dir(at)), syncDir(filepath.Dir(next)), syncDir(f.root))
	return errors.Join(err, os.RemoveAll(next), os.RemoveAll(old))
}

// swap puts next in place. Where the file system cannot exchange two folders
// there is a moment without one, which recover sees to after a crash.
func (f *folder) swap(at, next, old string) error {
	if _, err := os.Lstat(at); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(next, at)
	}
	if f.exchange(next, at) == nil {
		return nil
	}
	if err := os.Rename(at, old); err != nil {
		return err
	}
	if err := os.Rename(next, at); err != nil {
		return errors.Join(err, os.Rename(old, at))
	}
	return nil
}

// fill makes a folder with files, and has it written to the disk.
func (f *folder) fill(dir string, files map[string][]byte) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if strings.Contains(name, "/") {
			continue // somebody else's, and not ours to keep
		}
		file, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
		if err != nil {
			return err
		}
		_, err = file.Write(content)
		if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
