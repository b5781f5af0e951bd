package owner

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// entry is a line of a spool's file: an entity that modern created.
type entry struct {
	Plan plan.Key  `json:"plan"`
	ID   string    `json:"id"`
	At   time.Time `json:"at"`
}

// spool is this process's file. It is locked as long as the process lives. One
// goroutine at a time may use it.
type spool struct {
	dir  string
	file *os.File
	size int64
	torn bool // the last line may be cut off
}

const spoolPattern = "births-*.jsonl"

// openSpool makes a file in the folder, which is made where it is missing.
func openSpool(dir string) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the spool of births: %w", err)
	}
	for {
		f, err := os.CreateTemp(dir, spoolPattern)
		if err != nil {
			return nil, fmt.Errorf("open the spool of births: %w", err)
		}
		held, err := lock(f)
		if err == nil && held {
			if err = syncDir(dir); err == nil {
				return &spool{dir: dir, file: f}, nil
			}
		}
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("open the spool of births: %w", err)
		}
		// Another process took the new file for one that was left behind.
	}
}

// lock takes a file that no process holds and that is still at its path.
func lock(f *os.File) (held bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(f.Name())
	if err != nil || !os.SameFile(mine, there) {
		return false, nil //nolint:nilerr // it was taken and removed meanwhile
	}
	return true, nil
}

// append writes entries and returns when they are on disk.
func (s *spool) append(entries []entry) error {
	var buf bytes.Buffer
	if s.torn {
		buf.WriteByte('\n')
	}
	enc := json.NewEncoder(&buf)
	for _, e := range entries {
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("spool births: %w", err)
		}
	}
	s.torn = true
	n, err := s.file.Write(buf.Bytes())
	s.size += int64(n)
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("spool births: %w", err)
	}
	s.torn = false
	return nil
}

// spoolKeeps is how large the file grows before it is emptied, in bytes. What is
// in it may all be in the store long since.
const spoolKeeps = 1 << 20

// empty empties the file, where everything in it is in the store.
func (s *spool) empty() {
	if s.size < spoolKeeps {
		return
	}
	if s.file.Truncate(0) == nil {
		if _, err := s.file.Seek(0, 0); err == nil {
			s.size, s.torn = 0, false
		}
	}
}

// close lets go of the file. done: everything in it is in the store.
func (s *spool) close(done bool) error {
	var err error
	if done {
		err = os.Remove(s.file.Name())
	}
	return errors.Join(err, s.file.Close())
}

// left is a file that a process left behind which is gone.
type left struct {
	file    *os.File
	entries []entry
	// bad is how many lines are none: a crash cut the last one off, and nobody
	// was told that it is kept.
	bad int
}

// adopt takes the files that no process holds.
func (s *spool) adopt() (out []left, err error) {
	names, err := filepath.Glob(filepath.Join(s.dir, spoolPattern))
	if err != nil {
		return nil, fmt.Errorf("look into the spool of births: %w", err)
	}
	var errs []error
	for _, name := range names {
		if name == s.file.Name() {
			continue
		}
		l, err := take(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("take up a spool of births: %w", err))
		} else if l.file != nil {
			out = append(out, l)
		}
	}
	return out, errors.Join(errs...)
}

func take(name string) (l left, err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return left{}, nil
	}
	if err != nil {
		return left{}, err
	}
	if held, err := lock(f); err != nil || !held {
		return left{}, errors.Join(err, f.Close())
	}
	l = left{file: f}
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		var e entry
		if line := bytes.TrimSpace(sc.Bytes()); len(line) > 0 {
			if json.Unmarshal(line, &e) != nil || plan.CheckEntityID(e.ID) != nil {
				l.bad++
				continue
			}
			l.entries = append(l.entries, e)
		}
	}
	if err := sc.Err(); err != nil {
		return left{}, errors.Join(err, f.Close())
	}
	return l, nil
}

// done removes the file: everything in it is in the store.
func (l left) done() error { return errors.Join(os.Remove(l.file.Name()), l.file.Close()) }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
