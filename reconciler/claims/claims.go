// Package claims keeps the watched branches of one daemon apart: of two that
// declare a plan of the same name only the one that had it first works it. The
// other is told which that is, and touches nothing.
package claims

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// ErrTaken says that another source of this daemon keeps a plan of that name.
var ErrTaken = errors.New("another source of this daemon keeps a plan of this name")

// Claims says which source keeps each plan. The zero value is ready; it is safe
// for use by several goroutines.
type Claims struct {
	mu sync.Mutex
	by map[plan.Key]string
}

// Owner is the source that keeps a plan; ok is false where none does.
func (c *Claims) Owner(key plan.Key) (source string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	source, ok = c.by[key]
	return source, ok
}

// take claims a plan for a source, unless another has it.
func (c *Claims) take(source string, key plan.Key) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[plan.Key]string{}
	}
	owner, ok := c.by[key]
	switch {
	case !ok:
		c.by[key] = source
	case owner != source:
		return fmt.Errorf("%w: %s is that of source %q; rename one of the two", ErrTaken, key, owner)
	}
	return nil
}

// Recorder is the recorder of a source. A plan is claimed when its record is
// listed or first loaded: a daemon that lists those of all its sources before it
// works any keeps, over a restart, to who had what.
func (c *Claims) Recorder(source string, inner reconciler.Recorder) reconciler.Recorder {
	return &recorder{inner, c, source}
}

type recorder struct {
	reconciler.Recorder
	claims *Claims
	source string
}

// Keys implements reconciler.Recorder: those that are not another source's.
func (r *recorder) Keys(ctx context.Context) ([]plan.Key, error) {
	keys, err := r.Recorder.Keys(ctx)
	return slices.DeleteFunc(keys, func(k plan.Key) bool { return r.claims.take(r.source, k) != nil }), err
}

// Load implements reconciler.Recorder; ErrTaken where another source has the
// plan. Nothing of a plan is done before its record was loaded.
func (r *recorder) Load(ctx context.Context, key plan.Key) (decide.Record, bool, error) {
	if err := r.claims.take(r.source, key); err != nil {
		return decide.Record{}, false, err
	}
	return r.Recorder.Load(ctx, key)
}

// History implements reconciler.Recorder: none of a plan of another source.
func (r *recorder) History(ctx context.Context, key plan.Key, n int) ([]reconciler.Entry, error) {
	if owner, ok := r.claims.Owner(key); ok && owner != r.source {
		return nil, nil
	}
	return r.Recorder.History(ctx, key, n)
}

// SaveStatus implements reconciler.Recorder: that of a plan of another source is
// shown by the daemon and kept nowhere.
func (r *recorder) SaveStatus(ctx context.Context, s reconciler.Status) error {
	if owner, ok := r.claims.Owner(s.Key); ok && owner != r.source {
		return nil
	}
	return r.Recorder.SaveStatus(ctx, s)
}
