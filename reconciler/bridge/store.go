package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/changeover-dev/changeover/reconciler/durable"
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
	if err := durable.Replace(tmp, string(path), src, 0o644); err != nil {
		return fmt.Errorf("write the bridge's config file: %w", err)
	}
	return nil
}

// Remove implements Store.
func (path File) Remove(context.Context) error {
	if err := os.Remove(string(path)); err != nil {
		return fmt.Errorf("remove the bridge's config file: %w", err)
	}
	if err := durable.SyncFolder(filepath.Dir(string(path))); err != nil {
		return fmt.Errorf("sync the folder of the bridge's config file: %w", err)
	}
	return nil
}
