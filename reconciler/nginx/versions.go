package nginx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	render "github.com/changeover-dev/changeover/render/nginx"
)

// versions are the folders below an include folder, of which a symlink names
// the one in force.
type versions struct {
	dir  string
	keep int
}

const (
	link   = "changeover"
	folder = "changeover.d"
)

func (v versions) path(name string) string { return filepath.Join(v.dir, folder, name) }

// lock takes turns with every other writer, in this process and in others.
func (v versions) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Join(v.dir, folder), 0o755); err != nil {
		return nil, fmt.Errorf("write include folder: %w", err)
	}
	f, err := os.OpenFile(v.path("lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock include folder: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock include folder %q: %w", v.dir, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("lock include folder %q: another change of it is under way: %w", v.dir, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// version is one folder of include files.
type version struct {
	name  string // "" where there is none
	files map[string][]byte
}

// current reads the version in force. A version does not change once it is
// pointed to, so no lock is needed; one that is pruned meanwhile is read anew.
func (v versions) current() (version, error) {
	for attempt := 0; ; attempt++ {
		target, err := os.Readlink(filepath.Join(v.dir, link))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return version{}, nil
		case errors.Is(err, syscall.EINVAL):
			return version{}, fmt.Errorf("read include folder: %q must be Changeover's own symlink: move away what is there", filepath.Join(v.dir, link))
		case err != nil:
			return version{}, fmt.Errorf("read include folder: %w", err)
		}
		name := filepath.Base(target)
		if filepath.Join(folder, name) != target {
			return version{}, fmt.Errorf("read include folder: symlink %q leads to %q, not below %q: remove it", filepath.Join(v.dir, link), target, folder)
		}
		got, err := v.read(name)
		if err == nil || attempt == 3 {
			return got, err
		}
	}
}

func (v versions) read(name string) (version, error) {
	entries, err := os.ReadDir(v.path(name))
	if err != nil {
		return version{}, fmt.Errorf("read include files: %w", err)
	}
	out := version{name: name, files: make(map[string][]byte)}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(v.path(name), e.Name()))
		if err != nil {
			return version{}, fmt.Errorf("read include files: %w", err)
		}
		out.files[e.Name()] = b
	}
	return out, nil
}

// config reads what the version holds of one plan.
func (v version) config(planName string) config {
	var c config
	found := 0
	for _, part := range parts {
		name := fileName(planName, part)
		src, ok := v.files[name]
		if !ok {
			continue
		}
		found++
		h, ok := decode(src)
		switch {
		case !ok:
			c.damage = fmt.Sprintf("file %q was edited by hand: its header cannot be read", name)
		case !h.intact:
			c.damage = fmt.Sprintf("file %q was edited by hand: it is not what Changeover wrote", name)
		case c.hash != "" && h.hash != c.hash:
			c.damage = fmt.Sprintf("file %q is of another config than the files beside it", name)
		}
		if ok {
			c.mark, c.hash = &h.mark, h.hash
		}
	}
	if found > 0 && found < len(parts) {
		c.damage = "one of the plan's three files is missing: it was removed by hand"
	}
	return c
}

// taken says that another plan is there: `location /` has one owner. It is ""
// where none is.
func (v version) taken(key plan.Key) string {
	for _, name := range slices.Sorted(maps.Keys(v.files)) {
		if h, ok := decode(v.files[name]); ok && h.mark.Key != key {
			return fmt.Sprintf("plan %q already owns `location /` of this nginx, plan %q cannot have it too: use another gateway for one of them, or remove the files of %q once it is done",
				h.mark.Key, key, h.mark.Key.Name)
		}
	}
	return ""
}

// with returns the version's files with those of one plan replaced.
func (v version) with(planName string, m reconciler.Mark, f render.Files) map[string][]byte {
	files := maps.Clone(v.files)
	if files == nil {
		files = make(map[string][]byte)
	}
	for _, part := range parts {
		files[fileName(planName, part)] = encode(m, f.Hash, partOf(f, part))
	}
	return files
}

// write makes a new version, durably, and returns its name.
func (v versions) write(files map[string][]byte) (string, error) {
	names, err := v.list()
	if err != nil {
		return "", err
	}
	next := 1
	if len(names) > 0 {
		next = number(names[len(names)-1]) + 1
	}
	tmp, err := os.MkdirTemp(filepath.Join(v.dir, folder), "tmp-")
	if err != nil {
		return "", fmt.Errorf("write include files: %w", err)
	}
	name := fmt.Sprintf("v%06d", next)
	err = os.Chmod(tmp, 0o755)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err == nil {
			err = writeFile(filepath.Join(tmp, file), files[file])
		}
	}
	if err == nil {
		err = syncDir(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, v.path(name))
	}
	if err == nil {
		err = syncDir(filepath.Join(v.dir, folder))
	}
	if err != nil {
		_ = os.RemoveAll(tmp) // prune tries again
		return "", fmt.Errorf("write include files: %w", err)
	}
	return name, nil
}

func writeFile(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// point swaps the symlink to a version by one rename; "" removes it.
func (v versions) point(name string) error {
	path := filepath.Join(v.dir, link)
	var err error
	if name != "" {
		err = v.symlink(filepath.Join(folder, name), path)
	} else if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("swap include files: %w", err)
	}
	return nil
}

// list returns the names of all versions, oldest first.
func (v versions) list() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(v.dir, folder))
	if err != nil {
		return nil, fmt.Errorf("list versions of include files: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && number(e.Name()) > 0 {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return number(a) - number(b) })
	return names, nil
}

// number of a version, 0 for other names.
func number(name string) int {
	digits, ok := strings.CutPrefix(name, "v")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 0 {
		return 0
	}
	return n
}

// proven is the version that was last seen to be served everywhere; "" where
// there is none, or not any more.
func (v versions) proven() string {
	target, err := os.Readlink(v.path("proven"))
	if err != nil {
		return ""
	}
	if _, err := os.Stat(v.path(target)); err != nil {
		return ""
	}
	return target
}

// prove remembers that a version was seen to be served everywhere.
func (v versions) prove(name string) error {
	if v.proven() == name {
		return nil
	}
	if err := v.symlink(name, v.path("proven")); err != nil {
		return fmt.Errorf("remember the version that is served: %w", err)
	}
	return nil
}

// symlink makes or replaces a symlink by one rename.
func (v versions) symlink(target, path string) error {
	next := v.path("next")
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, next); err != nil {
		return err
	}
	return errors.Join(os.Rename(next, path), syncDir(filepath.Dir(path)))
}

// prune removes old versions, and what a killed process left half written. The
// ones in force and proven stay. What cannot be removed is left: it is tried
// again with the next change.
func (v versions) prune() {
	names, err := v.list()
	if err != nil {
		return
	}
	target, err := os.Readlink(filepath.Join(v.dir, link))
	if err != nil {
		return
	}
	inUse := []string{filepath.Base(target), v.proven()}
	for _, name := range names[:max(len(names)-v.keep, 0)] {
		if !slices.Contains(inUse, name) {
			_ = os.RemoveAll(v.path(name))
		}
	}
	if left, err := filepath.Glob(v.path("tmp-*")); err == nil {
		for _, path := range left {
			_ = os.RemoveAll(path)
		}
	}
}
