package record

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// The bounds of a plan's history. The file is rewritten when it is over by
// slack, or over maxHistory bytes; then it keeps the newest entries that fit
// in half of that.
const (
	maxEntries = 500
	slack      = 100
	maxHistory = 8 << 20
	maxEntry   = 1 << 20
)

// Append implements reconciler.Recorder. When it returns, the entry survives a
// crash.
func (d *Dir) Append(_ context.Context, key plan.Key, e reconciler.Entry) error {
	if err := d.appendEntry(key, e); err != nil {
		return fmt.Errorf("append to history of %s: %w", key, err)
	}
	return nil
}

func (d *Dir) appendEntry(key plan.Key, e reconciler.Entry) error {
	e.Evidence = finite(e.Evidence)
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode entry: %w", err)
	}
	if len(line) >= maxEntry {
		return fmt.Errorf("encode entry: %d bytes are more than the bound of %d", len(line), maxEntry)
	}
	line = append(line, '\n')
	f, err := d.writable(key)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := d.make(f); err != nil {
		return err
	}
	if err := d.repair(f); err != nil {
		return err
	}
	name := path.Join(f.name, historyFile)
	file, err := d.root.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		f.repaired, f.made = false, false // somebody may have deleted the folder
		return fmt.Errorf("open %q: %w", d.full(name), cause(err))
	}
	if err := finish(file, line); err != nil {
		f.repaired, f.made = false, false // a part of the line may be there
		return fmt.Errorf("write %q: %w", d.full(name), cause(err))
	}
	f.lines++
	f.size += int64(len(line))
	if f.lines == 1 {
		if err := d.sync(f.name); err != nil {
			return err
		}
	}
	if f.lines >= maxEntries+slack || f.size > maxHistory {
		return d.compact(f)
	}
	return nil
}

// repair counts the lines of the file, and cuts a last line that a crash left
// torn: the next one would be written behind it.
func (d *Dir) repair(f *folder) error {
	if f.repaired {
		return nil
	}
	lines, torn, err := d.lines(f)
	if err != nil {
		return err
	}
	f.count(lines)
	if torn {
		err = d.cut(path.Join(f.name, historyFile), f.size)
	}
	f.repaired = err == nil
	return err
}

// cut shortens a file; it needs no space on the disk.
func (d *Dir) cut(name string, size int64) error {
	file, err := d.root.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open %q: %w", d.full(name), cause(err))
	}
	err = file.Truncate(size)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("cut torn line of %q: %w", d.full(name), cause(err))
	}
	return nil
}

// compact keeps the newest entries.
func (d *Dir) compact(f *folder) error {
	lines, _, err := d.lines(f)
	if err != nil {
		return err
	}
	lines = newest(lines, maxEntries)
	size := 0
	for i := len(lines) - 1; i >= 0; i-- {
		if size += len(lines[i]) + 1; size > maxHistory/2 && i < len(lines)-1 {
			lines = lines[i+1:]
			break
		}
	}
	if err := d.replace(path.Join(f.name, historyFile), join(lines)); err != nil {
		return err
	}
	f.count(lines)
	return nil
}

func (f *folder) count(lines [][]byte) {
	f.lines, f.size = len(lines), int64(len(join(lines)))
}

// History implements reconciler.Recorder. It knows the newest 500 entries.
func (d *Dir) History(_ context.Context, key plan.Key, n int) ([]reconciler.Entry, error) {
	entries, err := d.history(key, n)
	if err != nil {
		return nil, fmt.Errorf("read history of %s: %w", key, err)
	}
	return entries, nil
}

func (d *Dir) history(key plan.Key, n int) ([]reconciler.Entry, error) {
	f, err := d.folder(key)
	if err != nil {
		return nil, err
	}
	lines, _, err := d.lines(f)
	if err != nil {
		return nil, err
	}
	kept := newest(lines, min(n, maxEntries))
	entries := make([]reconciler.Entry, len(kept))
	for i, line := range kept {
		if err := json.Unmarshal(line, &entries[i]); err != nil {
			return nil, fmt.Errorf("read %q: %w: line %d: %w; delete that line, nothing is decided by the history",
				d.full(path.Join(f.name, historyFile)), ErrDamaged, len(lines)-len(kept)+i+1, err)
		}
	}
	return entries, nil
}

// lines reads the file's lines without their ends. A last line that was not
// written whole is left out and reported as torn.
func (d *Dir) lines(f *folder) (lines [][]byte, torn bool, err error) {
	name := path.Join(f.name, historyFile)
	const limit = maxHistory + maxEntry
	b, err := d.readFile(name, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if len(b) > limit {
		return nil, false, fmt.Errorf("read %q: %w: it is larger than %d bytes; move it away, nothing is decided by the history",
			d.full(name), ErrDamaged, limit)
	}
	lines = bytes.Split(b, []byte("\n"))
	last := len(lines) - 1
	torn = len(lines[last]) > 0 // no line end
	lines = lines[:last]
	// Blocks reach the disk in any order: the end may be there and the start
	// not.
	if !torn && last > 0 && !json.Valid(lines[last-1]) {
		torn, lines = true, lines[:last-1]
	}
	return lines, torn, nil
}

// newest is the tail of at most n.
func newest(lines [][]byte, n int) [][]byte { return lines[max(0, len(lines)-max(0, n)):] }

func join(lines [][]byte) []byte {
	var b []byte
	for _, l := range lines {
		b = append(append(b, l...), '\n')
	}
	return b
}
