// Package durable replaces files so that a crash leaves the old one or the new one,
// whole.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace puts a file in place of another. It is written to tmp first, which lies
// in the same folder and is overwritten where a crash left it; one writer at a time
// may use it. When Replace returns nil, the new file survives a crash.
func Replace(tmp, path string, data []byte, mode fs.FileMode) error {
	err := write(tmp, data, mode)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // the error before says more
		return err
	}
	return SyncFolder(filepath.Dir(path))
}

func write(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// SyncFolder makes what was renamed, created or removed in a folder survive a crash.
func SyncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
