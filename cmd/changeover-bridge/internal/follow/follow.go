package follow

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"

	"github.com/changeover-dev/changeover/render/bridge"
)

// Options of a Follower.
type Options struct {
	Source Source
	// Cache keeps the last config that was good, for a start at which the
	// source has none; its zero value keeps nothing.
	Cache Cache
	// Serve makes a config the one that is served. An error refuses it.
	Serve   func(bridge.Config) error
	Metrics *Metrics
	Log     *slog.Logger
}

// Status says how the source and what is served stand to each other.
type Status struct {
	// Hash of the last config that was accepted; empty before the first.
	Hash string
	// Error is why the config as it is now is not served; empty where it is.
	Error string
	// Rejected is the Digest of the config that was refused; empty where there
	// is none or none was refused.
	Rejected string
}

// Follower follows one source. Its methods may be called from any goroutine.
type Follower struct {
	o Options

	mu       sync.Mutex
	seen     []byte // the bytes that were last judged
	accepted []byte
	status   Status
}

// New returns a Follower that has not read anything.
func New(o Options) *Follower { return &Follower{o: o} }

// Status is the state after the last reading.
func (f *Follower) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// Read reads the source once and serves what it holds if that is new and good.
// Where nothing was ever served, and the source has nothing good, the cached
// config is: the Status still says what is wrong with the source.
func (f *Follower) Read(ctx context.Context) {
	f.take(f.o.Source.Read(ctx))
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.accepted == nil {
		f.fromCache()
	}
}

// Run follows the source until the context ends.
func (f *Follower) Run(ctx context.Context) { f.o.Source.Watch(ctx, f.take) }

// take takes what was read.
func (f *Follower) take(src []byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.unreadable(err)
		return
	}
	switch {
	case f.seen != nil && bytes.Equal(src, f.seen):
	case f.accepted != nil && bytes.Equal(src, f.accepted):
		f.o.Log.Info("config is again the one that is served", "source", f.o.Source.String(), "hash", f.status.Hash)
		f.settle()
	default:
		f.judge(src)
	}
	f.seen = src
}

// unreadable notes an error of reading once for as long as it lasts. A missing
// config before the first one is no error: the bridge waits for it.
func (f *Follower) unreadable(err error) {
	f.seen = nil
	if f.status.Error == err.Error() {
		return
	}
	f.status.Error, f.status.Rejected = err.Error(), ""
	f.o.Metrics.rejected.Set(1)
	if f.accepted == nil && errors.Is(err, fs.ErrNotExist) {
		f.o.Log.Info("waiting for the config", "source", f.o.Source.String())
		return
	}
	f.o.Metrics.reloads.WithLabelValues(resultRejected).Inc()
	f.o.Log.Error("config not read, the old config goes on", "source", f.o.Source.String(), "hash", f.status.Hash, "error", err.Error())
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
		f.o.Log.Error("config refused, the old config goes on", "source", f.o.Source.String(), "hash", f.status.Hash, "error", err.Error())
		return
	}
	result := resultMarked
	if c.Hash != f.status.Hash {
		result = resultApplied
		f.serving(c)
	}
	f.accepted = src
	f.o.Metrics.reloads.WithLabelValues(result).Inc()
	f.settle()
	if err := f.o.Cache.write(src); err != nil {
		f.o.Log.Error("config not cached: a restart while its source cannot be read would serve an older one, or none", "error", err.Error())
	}
}

// serving notes that other routes are served.
func (f *Follower) serving(c bridge.Config) {
	f.status.Hash = c.Hash
	f.o.Metrics.serving(c)
	f.o.Metrics.applied.SetToCurrentTime()
	f.o.Log.Info("config served", "plan", c.Plan.String(), "stop", c.Stop.String(), "hash", c.Hash)
}

// fromCache serves the config that was good before the bridge was restarted.
func (f *Follower) fromCache() {
	src, err := f.o.Cache.read()
	if err != nil || src == nil {
		if err != nil {
			f.o.Log.Error("cached config not read", "error", err.Error())
		}
		return
	}
	c, err := bridge.ParseConfig(src)
	if err == nil {
		err = f.o.Serve(c)
	}
	if err != nil {
		f.o.Log.Error("cached config refused", "file", string(f.o.Cache), "error", err.Error())
		return
	}
	f.accepted = src
	f.o.Log.Warn("the config is from the cache until its source can be read", "file", string(f.o.Cache), "source", f.o.Source.String())
	f.serving(c)
}

// settle notes that the config is what is served.
func (f *Follower) settle() {
	f.status.Error, f.status.Rejected = "", ""
	f.o.Metrics.rejected.Set(0)
}
