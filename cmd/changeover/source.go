package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/git"
	"github.com/changeover-dev/changeover/reconciler/pulls"
	"github.com/changeover-dev/changeover/reconciler/record"
)

// source is one watched branch of a daemon, with its records and its loop.
type source struct {
	flags   *sourceFlags
	records *record.Dir
	log     *slog.Logger
	metrics prometheus.Registerer

	loop   atomic.Pointer[reconciler.Reconciler] // nil before this daemon leads, and while the repository cannot be opened
	pulls  atomic.Pointer[pulls.Watcher]         // nil without a forge, and as loop
	closed atomic.Pointer[error]                 // why the repository cannot be opened; nil: it can, or was not tried
}

// newSource opens the records of a source.
func (d *daemon) newSource(f *sourceFlags) (*source, error) {
	s := &source{flags: f, log: d.log, metrics: d.metrics}
	if f.name != "" {
		s.log = d.log.With("source", f.name)
		s.metrics = prometheus.WrapRegistererWith(prometheus.Labels{"source": f.name}, d.metrics)
	}
	var err error
	s.records, err = record.Open(f.dir)
	return s, err
}

// open opens the watched branch. That of one source among several is tried until
// ctx ends, as often as a branch is read: the others need not wait for it.
func (s *source) open(ctx context.Context, now func() time.Time, interval time.Duration) (*git.Repository, error) {
	told := ""
	for {
		repo, err := openSource(ctx, s.flags, now, s.log)
		if err == nil {
			s.closed.Store(nil)
			return repo, nil
		}
		if s.flags.name == "" || ctx.Err() != nil {
			return nil, err
		}
		s.closed.Store(&err)
		if told != err.Error() {
			told = err.Error()
			s.log.Error("the repository cannot be opened: its plans stay where they are; it is tried again", "err", told)
		}
		if err := sleep(ctx, interval); err != nil {
			return nil, err
		}
	}
}

// run works the branch until ctx ends.
func (s *source) run(ctx context.Context, w *wired) (err error) {
	repo, err := s.open(ctx, w.daemon.now, w.common.GitInterval)
	switch {
	case err != nil && s.flags.name != "" && ctx.Err() != nil:
		return nil // the daemon ends while it waits
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, repo.Close()) }()
	beside, loop, err := w.loop(s, repo)
	if err != nil {
		return err
	}
	s.loop.Store(loop)
	return besides(ctx, beside, loop.Run)
}

// ready is nil once every plan was worked once.
func (s *source) ready() error {
	var err error
	switch loop, closed := s.loop.Load(), s.closed.Load(); {
	case loop != nil:
		err = loop.Ready()
	case closed != nil:
		err = fmt.Errorf("%w: %w", reconciler.ErrUnread, *closed)
	default:
		return errNoLoop
	}
	if err != nil && s.flags.name != "" {
		return fmt.Errorf("source %s: %w", s.flags.name, err)
	}
	return err
}

// errNoLoop: the daemon is starting, or stands by.
var errNoLoop = errors.New("there is no loop yet")
