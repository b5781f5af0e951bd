package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	err := writeSynced(tmp, src)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // the error before says more
		return fmt.Errorf("write the cached config: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		return fmt.Errorf("sync the folder of the cached config: %w", err)
	}
	return nil
}

func writeSynced(path string, src []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(src)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
