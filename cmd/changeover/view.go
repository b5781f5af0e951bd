package main

import (
	"context"
	"errors"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/record"
)

// view is where status, history and gates look: a running daemon, or what it
// left in its state directory.
type view interface {
	Statuses(ctx context.Context) ([]reconciler.Status, error)
	History(ctx context.Context, key plan.Key, n int) ([]reconciler.Entry, error)
}

// openView prefers the daemon. live is false where none is running.
func openView(ctx context.Context, stateDir string) (v view, live bool, done func(), err error) {
	c, err := dialAdmin(ctx, stateDir)
	if err == nil {
		return c, true, func() {}, nil
	}
	if !errors.Is(err, errNoDaemon) {
		return nil, false, nil, err
	}
	dirs, err := openDirs(stateDir)
	if err != nil {
		return nil, false, nil, err
	}
	return dirs, false, dirs.close, nil
}

// dirView reads what a daemon wrote last.
type dirView struct{ *record.Dir }

// Statuses as they were written. A plan whose status was never written is
// drawn from its record.
func (v dirView) Statuses(ctx context.Context) ([]reconciler.Status, error) {
	keys, err := v.Keys(ctx)
	if err != nil {
		return nil, err
	}
	out := []reconciler.Status{}
	for _, key := range keys {
		s, ok, err := v.LoadStatus(ctx, key)
		if err != nil {
			return nil, err
		}
		if !ok {
			if s, err = v.fromRecord(ctx, key); err != nil {
				return nil, err
			}
		}
		out = append(out, s)
	}
	return out, nil
}

func (v dirView) fromRecord(ctx context.Context, key plan.Key) (reconciler.Status, error) {
	s := reconciler.Status{Key: key}
	rec, _, err := v.Load(ctx, key)
	if err != nil {
		return s, err
	}
	if a := rec.Applied; a != nil {
		s.Effective, s.Since, s.Applied = a.Stop, a.Since, a.Revision
	}
	s.Holds, s.Pending, s.Move, s.Halt = rec.Holds, rec.Pending, rec.Move, rec.Halt
	return s, nil
}

// watchedPlans asks for all plans. When no daemon runs, standard error says
// once where the answer comes from.
func (a *app) watchedPlans(ctx context.Context, v view, live bool, stateDir string) ([]reconciler.Status, error) {
	all, err := v.Statuses(ctx)
	if err != nil {
		return nil, err
	}
	if !live && !a.offline {
		a.note("No daemon is running on %s: this is what it wrote last. Start it with `changeover run --state-dir %s`.", stateDir, stateDir)
	}
	a.offline = !live
	return all, nil
}

func statusKeys(all []reconciler.Status) []plan.Key {
	keys := make([]plan.Key, len(all))
	for i, s := range all {
		keys[i] = s.Key
	}
	return keys
}

// pick finds the plan that is meant.
func pick(all []reconciler.Status, ref planRef) (reconciler.Status, error) {
	key, err := ref.resolve(statusKeys(all), "among those of the daemon")
	if err != nil {
		return reconciler.Status{}, err
	}
	for _, s := range all {
		if s.Key == key {
			return s, nil
		}
	}
	return reconciler.Status{}, finding("find plan %q: the daemon does not have it", key)
}
