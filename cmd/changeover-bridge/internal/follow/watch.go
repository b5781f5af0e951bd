package follow

import (
	"context"
	"os"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleFor is how long signs of a change are gathered before the file is
// read: a rename alone gives several.
const settleFor = 2 * time.Millisecond

// watcher watches one folder, also when it is replaced.
type watcher struct {
	dir     string
	fs      *fsnotify.Watcher // nil where there is none
	watched os.FileInfo
}

func (w *watcher) events() <-chan fsnotify.Event {
	if w.fs == nil {
		return nil
	}
	return w.fs.Events
}

func (w *watcher) errors() <-chan error {
	if w.fs == nil {
		return nil
	}
	return w.fs.Errors
}

// renew watches the folder that stands at the path now: it may have come into
// being, or been replaced, since.
func (w *watcher) renew() {
	if w.fs == nil {
		return
	}
	now, err := os.Stat(w.dir)
	if err == nil && w.watched != nil && os.SameFile(now, w.watched) {
		return
	}
	if w.watched != nil {
		// It fails where the folder is gone, and the watch with it.
		_ = w.fs.Remove(w.dir)
		w.watched = nil
	}
	if err == nil && w.fs.Add(w.dir) == nil {
		w.watched = now
	}
}

// drain takes the events that belong to the one that came.
func (w *watcher) drain(ctx context.Context) {
	settle := time.NewTimer(settleFor)
	defer settle.Stop()
	for {
		select {
		case <-w.fs.Events:
		case <-settle.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
