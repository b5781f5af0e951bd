package follow

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/changeover-dev/changeover/render/bridge"
)

// Options of a Follower.
type Options struct {
	// File is the config file. It and its folder need not exist yet.
	File string
	// Reread is how often the file is read without any sign of a change: a
	// safety net for file systems and mounts that give none; 2s.
	Reread time.Duration
	// Serve makes a config the one that is served. An error refuses it.
	Serve   func(bridge.Config) error
	Metrics *Metrics
	Log     *slog.Logger
}

// Status says how the file and what is served stand to each other.
type Status struct {
	// Hash of the last config that was accepted; empty before the first.
	Hash string
	// Error is why the file as it is now is not served; empty where it is.
	Error string
	// Rejected is the Digest of the file that was refused; empty where there
	// is no file or none was refused.
	Rejected string
}

// Follower follows one file. Its methods may be called from any goroutine.
type Follower struct {
	o Options

	mu       sync.Mutex
	seen     []byte // the bytes that were last judged
	accepted []byte
	status   Status
}

// New returns a Follower that has not read anything.
func New(o Options) *Follower {
	if o.Reread == 0 {
		o.Reread = 2 * time.Second
	}
	return &Follower{o: o}
}

// Status is the state after the last reading.
func (f *Follower) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// Read reads the file once and serves it if it is new and good.
func (f *Follower) Read() {
	f.mu.Lock()
	defer f.mu.Unlock()
	src, err := readFile(f.o.File)
	if err != nil {
		f.unreadable(err)
		return
	}
	switch {
	case f.seen != nil && bytes.Equal(src, f.seen):
	case f.accepted != nil && bytes.Equal(src, f.accepted):
		f.o.Log.Info("config file is again the one that is served", "hash", f.status.Hash)
		f.settle()
	default:
		f.judge(src)
	}
	f.seen = src
}

// unreadable notes an error of reading once for as long as it lasts. A missing
// file before the first config is no error: the bridge waits for it.
func (f *Follower) unreadable(err error) {
	f.seen = nil
	if f.status.Error == err.Error() {
		return
	}
	f.status.Error, f.status.Rejected = err.Error(), ""
	f.o.Metrics.rejected.Set(1)
	if f.accepted == nil && errors.Is(err, fs.ErrNotExist) {
		f.o.Log.Info("waiting for the config file", "file", f.o.File)
		return
	}
	f.o.Metrics.reloads.WithLabelValues(resultRejected).Inc()
	f.o.Log.Error("config file refused, the old config goes on", "file", f.o.File, "hash", f.status.Hash, "error", err.Error())
}

// judge parses and serves new bytes.
func (f *Follower) judge(src []byte) {
	c, err := bridge.ParseConfig(src)
	if err == nil {
		err = f.o.Serve(c)
	}
	if err != nil {
		f.status.Error, f.status.Rejected = err.Error(), bridge.Digest(src)
		f.o.Metrics.rejected.Set(1)
		f.o.Metrics.reloads.WithLabelValues(resultRejected).Inc()
		f.o.Log.Error("config file refused, the old config goes on", "file", f.o.File, "hash", f.status.Hash, "error", err.Error())
		return
	}
	f.accepted = src
	result := resultMarked
	if c.Hash != f.status.Hash {
		result = resultApplied
		f.status.Hash = c.Hash
		f.o.Metrics.serving(c)
		f.o.Metrics.applied.SetToCurrentTime()
		f.o.Log.Info("config served", "plan", c.Plan.String(), "stop", c.Stop.String(), "hash", c.Hash)
	}
	f.o.Metrics.reloads.WithLabelValues(result).Inc()
	f.settle()
}

// settle notes that the file is what is served.
func (f *Follower) settle() {
	f.status.Error, f.status.Rejected = "", ""
	f.o.Metrics.rejected.Set(0)
}
