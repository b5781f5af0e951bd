package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/changeover-dev/changeover/reconciler/durable"
)

// Cache is the path of a file with the last good config; empty: there is none.
type Cache string

// read returns nil where there is no cached config.
func (c Cache) read() ([]byte, error) {
	if c == "" {
		return nil, nil
	}
	src, err := File{Path: string(c)}.Read(context.Background())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return src, err
}

// write puts a whole file in place: whoever reads it, also after a crash, sees
// the old one or the new one.
func (c Cache) write(src []byte) error {
	if c == "" {
		return nil
	}
	if old, err := c.read(); err == nil && bytes.Equal(old, src) {
		return nil
	}
	path := string(c)
	// A bridge and the one that takes over from it write at one time.
	tmp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d.tmp", filepath.Base(path), os.Getpid()))
	if err := durable.Replace(tmp, path, src, 0o600); err != nil {
		return fmt.Errorf("write the cached config: %w", err)
	}
	return nil
}
