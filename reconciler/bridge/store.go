package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/changeover-dev/changeover/render/bridge"
)

// Store keeps the one config that all replicas follow. Its methods may be called
// from any goroutine, and return soon after the context has ended.
type Store interface {
	// String names it in messages, as in: the bridge's config file.
	String() string
	// Read returns nil where there is no config. It may leave out what is more
	// than one byte larger than a bridge reads.
	Read(ctx context.Context) ([]byte, error)
	// Write puts a whole config in place: whoever reads, also after a crash,
	// sees the old one or the new one.
	Write(ctx context.Context, src []byte) error
	// Remove takes the config away.
	Remove(ctx context.Context) error
}

// File is a Store: the path of a file, whose folder must exist.
type File string

// String implements Store.
func (File) String() string { return "the bridge's config file" }

// Read implements Store.
func (path File) Read(context.Context) ([]byte, error) {
	f, err := os.Open(string(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the bridge's config file: %w", err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, bridge.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the bridge's config file: %w", err)
	}
	return src, nil // not nil, also where the file is empty
}

// Write implements Store.
func (path File) Write(_ context.Context, src []byte) error {
	// A fixed name: what a crash leaves behind is overwritten by the next.
	tmp := filepath.Join(filepath.Dir(string(path)), "."+filepath.Base(string(path))+".tmp")
	err := writeSynced(tmp, src)
	if err == nil {
		err = os.Rename(tmp, string(path))
	}
	if err != nil {
		_ = os.Remove(tmp) // the error before says more
		return fmt.Errorf("write the bridge's config file: %w", err)
	}
	return path.sync()
}

// Remove implements Store.
func (path File) Remove(context.Context) error {
	if err := os.Remove(string(path)); err != nil {
		return fmt.Errorf("remove the bridge's config file: %w", err)
	}
	return path.sync()
}

// sync makes what was renamed or removed in the file's folder durable.
func (path File) sync() error {
	d, err := os.Open(filepath.Dir(string(path)))
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return fmt.Errorf("sync the folder of the bridge's config file: %w", err)
	}
	return nil
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
