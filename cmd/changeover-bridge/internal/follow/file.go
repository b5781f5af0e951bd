package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/changeover-dev/changeover/render/bridge"
)

// File is a config file. Writers are expected to replace it by a rename; one
// that writes in place is followed as well, at the price of files that are
// refused half-way.
type File struct {
	// Path of the file. It and its folder need not exist yet.
	Path string
	// Reread is how often the file is read without any sign of a change: a
	// safety net for file systems and mounts that give none; 2s.
	Reread time.Duration
	Log    *slog.Logger
}

// String names the file.
func (f File) String() string { return fmt.Sprintf("file %q", f.Path) }

// Read reads the file, bounded. What is no regular file is refused before it is
// opened, since opening a pipe would wait for its writer.
func (f File) Read(context.Context) ([]byte, error) {
	info, err := os.Stat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read config: %q does not exist: %w", f.Path, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("read config: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("read config: %q is no regular file", f.Path)
	}
	r, err := os.Open(f.Path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	defer r.Close()
	src, err := io.ReadAll(io.LimitReader(r, bridge.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	return src, nil
}

// Watch watches the folder, not the file, because a rename puts another file in
// its place; ConfigMap mounts swap a symlink beside it, so every change in the
// folder is a reason to look. Where nothing can be watched the slow reading
// alone follows.
func (f File) Watch(ctx context.Context, look func([]byte, error)) {
	every := f.Reread
	if every == 0 {
		every = 2 * time.Second
	}
	w := watcher{dir: filepath.Dir(f.Path)}
	if fs, err := fsnotify.NewWatcher(); err != nil {
		f.Log.Warn("cannot watch files, reading the config file every so often instead", "every", every.String(), "error", err.Error())
	} else {
		w.fs = fs
		defer fs.Close()
	}
	w.renew()
	look(f.Read(ctx)) // what changed before the watch stood

	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.renew()
		case _, ok := <-w.events():
			if !ok {
				w.fs = nil
				continue
			}
			w.drain(ctx)
		case err, ok := <-w.errors():
			if ok {
				// Events may be lost; the reading below makes up for it.
				f.Log.Warn("watching the config folder", "error", err.Error())
			}
		}
		look(f.Read(ctx))
	}
}
