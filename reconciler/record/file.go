package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/changeover-dev/changeover/plan"
)

// format is the number of the layout that this version reads and writes. It
// rises with every field that an older version must not overlook.
const format = 1

// maxFile bounds record and status, in bytes, when writing and reading.
const maxFile = 16 << 20

// The kinds of enveloped files.
const (
	kindRecord = "record"
	kindStatus = "status"
)

// envelope is what stands in a file. Sum covers all the rest, in compact form,
// so that a file that was only laid out anew is still good.
type envelope struct {
	Format int             `json:"format"`
	Kind   string          `json:"kind"`
	Key    plan.Key        `json:"key"`
	Sum    string          `json:"sum,omitempty"`
	Data   json.RawMessage `json:"data"`
}

func (e envelope) sum() (string, error) {
	e.Sum = ""
	b, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:]), nil
}

// seal encodes a value for a file.
func seal(kind string, key plan.Key, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind, err)
	}
	e := envelope{Format: format, Kind: kind, Key: key, Data: data}
	if e.Sum, err = e.sum(); err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind, err)
	}
	b, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind, err)
	}
	if len(b) >= maxFile {
		return nil, fmt.Errorf("encode %s: %d bytes are more than the bound of %d", kind, len(b), maxFile)
	}
	return append(b, '\n'), nil
}

// unseal checks the content of a file and decodes it.
func unseal(b []byte, kind string, key plan.Key, v any) error {
	var version struct {
		Format int `json:"format"`
	}
	switch err := json.Unmarshal(b, &version); {
	case len(b) == 0:
		return fmt.Errorf("%w: it is empty", ErrDamaged)
	case len(b) > maxFile:
		return fmt.Errorf("%w: it is larger than %d bytes", ErrDamaged, maxFile)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case version.Format != format:
		return fmt.Errorf("%w: it has format %d, this one reads %d", ErrFormat, version.Format, format)
	}
	var e envelope
	if err := strict(b, &e); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	sum, err := e.sum()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case sum != e.Sum:
		return fmt.Errorf("%w: its checksum does not match its content", ErrDamaged)
	case e.Kind != kind:
		return fmt.Errorf("%w: it holds a %s instead of a %s", ErrDamaged, e.Kind, kind)
	case e.Key != key:
		return fmt.Errorf("%w: it belongs to plan %s", ErrDamaged, e.Key)
	}
	// The checksum holds, so this is what was written: a field that is not
	// known here came from another version, and dropping it could drop a hold.
	if err := strict(e.Data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return nil
}

// strict decodes one JSON value and refuses unknown fields.
func strict(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

// read decodes a file of the plan; ok is false where there is none.
func (d *Dir) read(key plan.Key, file, kind string, v any) (ok bool, err error) {
	f, err := d.folder(key)
	if err != nil {
		return false, err
	}
	name := path.Join(f.name, file)
	b, err := d.readFile(name, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := unseal(b, kind, key, v); err != nil {
		return false, fmt.Errorf("read %q: %w; %s", d.full(name), err, remedy(err, kind))
	}
	return true, nil
}

// remedy says what a person can do about a file that cannot be read.
func remedy(err error, kind string) string {
	switch {
	case errors.Is(err, ErrFormat):
		return "run the version that wrote it"
	case kind == kindStatus:
		return "delete it, the daemon writes it anew"
	}
	return "put a backup in its place, or stop the daemon and move the file away: the record is then rebuilt from Git and the gateway"
}

// readFile reads at most limit bytes and one more, by which the reader can
// tell that there was more.
func (d *Dir) readFile(name string, limit int64) ([]byte, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", d.full(name), cause(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", d.full(name), cause(err))
	}
	return b, nil
}

// write seals a value and puts it in the place of the file.
func (d *Dir) write(key plan.Key, file, kind string, v any) error {
	b, err := seal(kind, key, v)
	if err != nil {
		return err
	}
	f, err := d.writable(key)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := d.make(f); err != nil {
		return err
	}
	err = d.replace(path.Join(f.name, file), b)
	// Somebody may have deleted the folder: look anew next time.
	f.made = err == nil
	return err
}

// writable is the folder of a plan for writing.
func (d *Dir) writable(key plan.Key) (*folder, error) {
	if d.lock == nil {
		return nil, ErrReadOnly
	}
	return d.folder(key)
}

// replace puts content in the place of a file such that a crash leaves the old
// or the new one. There is one writer at a time for a file, so the name beside
// it is free, or left from a crash.
func (d *Dir) replace(name string, content []byte) error {
	beside := name + ".new"
	f, err := d.root.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("create %q: %w", d.full(beside), cause(err))
	}
	if err := finish(f, content); err != nil {
		// A full disk is the usual cause: leave nothing half-written on it.
		return errors.Join(fmt.Errorf("write %q: %w", d.full(beside), cause(err)), d.root.Remove(beside))
	}
	if err := d.root.Rename(beside, name); err != nil {
		return fmt.Errorf("rename %q to %q: %w", d.full(beside), path.Base(name), cause(err))
	}
	return d.sync(path.Dir(name))
}

// finish writes, syncs and closes; the first error counts.
func finish(f *os.File, content []byte) error {
	_, err := f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// make creates the plan's folder, durably.
func (d *Dir) make(f *folder) error {
	if f.made {
		return nil
	}
	for _, dir := range []string{path.Dir(f.name), f.name} {
		if err := d.mkdir(dir); err != nil {
			return err
		}
	}
	f.made = true
	return nil
}

// mkdir creates a folder where it is missing, and syncs its parent.
func (d *Dir) mkdir(dir string) error {
	err := d.root.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create folder %q: %w", d.full(dir), cause(err))
	}
	return d.sync(path.Dir(dir))
}

// sync makes names in a folder durable.
func (d *Dir) sync(dir string) error {
	f, err := d.root.Open(dir)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("sync folder %q: %w", d.full(dir), cause(err))
	}
	return nil
}

// full is the name for people.
func (d *Dir) full(name string) string { return filepath.Join(d.path, name) }

// cause drops the name inside a path error: the message around it says the
// full one.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
