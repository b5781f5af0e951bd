package record

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

var (
	// ErrLocked says that another daemon works on the directory.
	ErrLocked = errors.New("another daemon holds the lock")
	// ErrReadOnly says that the directory was opened with OpenReadOnly.
	ErrReadOnly = errors.New("the state directory is open for reading only")
	// ErrDamaged says that a file does not hold what was written to it.
	ErrDamaged = errors.New("file is damaged")
	// ErrFormat says that a file was written by another version of Changeover.
	ErrFormat = errors.New("file was written by another version of Changeover")
)

// The names in the directory.
const (
	lockFile    = "lock"
	plansDir    = "plans"
	recordFile  = "record.json"
	statusFile  = "status.json"
	historyFile = "history.jsonl"
)

// Dir is a reconciler.Recorder on a directory. It is safe for use by several
// goroutines. Its methods do not look at their context: each is one short
// local read or write, and what happened must not go unrecorded because a
// deadline passed meanwhile.
type Dir struct {
	path string
	root *os.Root
	lock *os.File // nil where it is open for reading only

	mu    sync.Mutex
	plans map[plan.Key]*folder
}

// folder is what is known of one plan's folder.
type folder struct {
	name string // relative to the root

	mu sync.Mutex // held by writers
	// made: the folder exists, durably.
	made bool
	// history is counted once the file was looked at: repaired is true then.
	repaired bool
	lines    int
	size     int64
}

var _ reconciler.Recorder = (*Dir)(nil)

// Open opens the directory for the one daemon that may write to it, and makes
// it where it is missing. While another holds it the error is ErrLocked. The
// lock ends with Close, or with the process, however that ends.
func Open(dir string) (*Dir, error) {
	if err := create(dir); err != nil {
		return nil, fmt.Errorf("create state directory: %w", err)
	}
	d, err := open(dir)
	if err != nil {
		return nil, err
	}
	if err := d.acquire(); err != nil {
		return nil, errors.Join(err, d.root.Close())
	}
	if err := d.mkdir(plansDir); err != nil {
		return nil, errors.Join(fmt.Errorf("create folder in state directory %q: %w", dir, err), d.Close())
	}
	return d, nil
}

// create makes the directory where it is missing, and makes that durable.
func create(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(filepath.Clean(dir)))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// OpenReadOnly opens the directory for reading, whether or not a daemon works
// on it. Everything that would write returns ErrReadOnly.
func OpenReadOnly(dir string) (*Dir, error) { return open(dir) }

func open(dir string) (*Dir, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open state directory %q: %w; give the --state-dir with which the daemon runs", dir, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("open state directory %q: %w", dir, err)
	}
	return &Dir{path: dir, root: root, plans: map[plan.Key]*folder{}}, nil
}

// acquire takes the lock and writes the pid into its file.
func (d *Dir) acquire() error {
	f, err := d.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open lock of state directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("lock state directory %q: %w%s; stop it first, or give this one another --state-dir", d.path, ErrLocked, holder(f))
		return errors.Join(err, f.Close())
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("lock state directory %q: %w", d.path, err), f.Close())
	}
	d.lock = f
	return nil
}

// holder names the process whose pid is in the lock file, where it is known.
func holder(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

// Close releases the lock. No method may be called afterwards.
func (d *Dir) Close() error {
	var err error
	if d.lock != nil {
		err = d.lock.Close()
	}
	return errors.Join(err, d.root.Close())
}

// Keys lists the plans that have a record, damaged ones included, by namespace
// and name.
func (d *Dir) Keys(context.Context) ([]plan.Key, error) {
	var keys []plan.Key
	namespaces, err := d.names(plansDir)
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	for ns, nsDir := range namespaces {
		names, err := d.names(nsDir)
		if err != nil {
			return nil, fmt.Errorf("list records: %w", err)
		}
		for name, dir := range names {
			_, err := d.root.Stat(path.Join(dir, recordFile))
			if err == nil {
				keys = append(keys, plan.Key{Namespace: ns, Name: name})
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("list records: look at %q: %w", d.full(path.Join(dir, recordFile)), cause(err))
			}
		}
	}
	slices.SortFunc(keys, func(a, b plan.Key) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return keys, nil
}

// names lists the folders in a folder that this package named: their meaning,
// and where they are. Others are left alone.
func (d *Dir) names(dir string) (map[string]string, error) {
	entries, err := fs.ReadDir(d.root.FS(), dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read folder %q: %w", d.full(dir), cause(err))
	}
	names := map[string]string{}
	for _, e := range entries {
		if s, ok := unescape(e.Name()); ok && e.IsDir() {
			names[s] = path.Join(dir, e.Name())
		}
	}
	return names, nil
}

// Load implements reconciler.Recorder. A damaged record is ErrDamaged, one of
// another version ErrFormat.
func (d *Dir) Load(_ context.Context, key plan.Key) (rec decide.Record, ok bool, err error) {
	ok, err = d.read(key, recordFile, kindRecord, &rec)
	if err != nil {
		return decide.Record{}, false, fmt.Errorf("load record of %s: %w", key, err)
	}
	return rec, ok, nil
}

// Save implements reconciler.Recorder.
func (d *Dir) Save(_ context.Context, key plan.Key, rec decide.Record) error {
	if err := d.write(key, recordFile, kindRecord, finiteRecord(rec)); err != nil {
		return fmt.Errorf("save record of %s: %w", key, err)
	}
	return nil
}

// LoadStatus implements reconciler.Recorder.
func (d *Dir) LoadStatus(_ context.Context, key plan.Key) (s reconciler.Status, ok bool, err error) {
	ok, err = d.read(key, statusFile, kindStatus, &s)
	if err != nil {
		return reconciler.Status{}, false, fmt.Errorf("load status of %s: %w", key, err)
	}
	return s, ok, nil
}

// SaveStatus implements reconciler.Recorder.
func (d *Dir) SaveStatus(_ context.Context, s reconciler.Status) error {
	if err := d.write(s.Key, statusFile, kindStatus, finiteStatus(s)); err != nil {
		return fmt.Errorf("save status of %s: %w", s.Key, err)
	}
	return nil
}

// folder returns what is known of the plan's folder, the same each time.
func (d *Dir) folder(key plan.Key) (*folder, error) {
	name, err := folderName(key)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.plans[key]
	if f == nil {
		f = &folder{name: name}
		d.plans[key] = f
	}
	return f, nil
}
