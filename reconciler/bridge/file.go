package bridge

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/render/bridge"
)

// file is the config file as it was read.
type file struct {
	exists bool
	src    []byte
	config bridge.Config
	err    error // why src is no config
}

// readConfig fails where the file cannot be read; that there is none, or that
// its content is no config, is an answer.
func readConfig(path string) (file, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, nil
	}
	if err != nil {
		return file{}, fmt.Errorf("read the bridge's config file: %w", err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, bridge.MaxBytes+1))
	if err != nil {
		return file{}, fmt.Errorf("read the bridge's config file: %w", err)
	}
	out := file{exists: true, src: src}
	out.config, out.err = bridge.ParseConfig(src)
	return out, nil
}

// belongsTo refuses the file of another plan.
func (f file) belongsTo(key plan.Key) error {
	if f.exists && f.err == nil && f.config.Plan != key {
		return fmt.Errorf("the bridge serves plan %q, and one bridge serves one plan: give plan %q a bridge of its own, or remove the config file", f.config.Plan, key)
	}
	return nil
}

// markOf is the mark of a plan's file; nil where it is not that plan's.
func (f file) markOf(key plan.Key) *reconciler.Mark {
	if !f.exists || f.err != nil || f.config.Plan != key {
		return nil
	}
	m := &reconciler.Mark{Key: key, Stop: f.config.Stop}
	if c := f.config.Mark; c != nil {
		m.Since, m.Revision, m.Holds = c.Since, c.Revision, c.Holds
	}
	return m
}

// differs says how the file stands to a render; empty where it is that one.
func (f file) differs(want bridge.Config) string {
	switch {
	case !f.exists:
		return "the bridge's config file does not exist"
	case f.err != nil:
		return "the bridge's config file is no config: " + f.err.Error()
	case f.config.Plan != want.Plan:
		return fmt.Sprintf("the bridge's config file is of plan %q", f.config.Plan)
	case f.config.Stop != want.Stop:
		return fmt.Sprintf("the bridge's config file is of stop %s, not %s", f.config.Stop, want.Stop)
	case f.config.Hash != want.Hash:
		return fmt.Sprintf("the bridge's config file has hash %s, the plan renders to %s", f.config.Hash, want.Hash)
	}
	return ""
}

// writeFile puts a whole file in place: whoever reads it, also after a crash,
// sees the old one or the new one.
func writeFile(path string, src []byte) error {
	// A fixed name: what a crash leaves behind is overwritten by the next.
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	err := writeSynced(tmp, src)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // the error before says more
		return fmt.Errorf("write the bridge's config file: %w", err)
	}
	return syncDir(path)
}

func writeSynced(path string, src []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(src)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the bridge's config file: %w", err)
	}
	return syncDir(path)
}

// syncDir makes what was renamed or removed in a file's folder durable.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return fmt.Errorf("sync the folder of the bridge's config file: %w", err)
	}
	return nil
}
