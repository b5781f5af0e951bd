package reconciler

import (
	"context"
	"errors"
	"fmt"

	"github.com/changeover-dev/changeover/plan"
)

// ErrUnknownPlan says that the daemon knows no plan of that name.
var ErrUnknownPlan = errors.New("no such plan")

// rollbackRequest is what a person asked for on the admin socket.
type rollbackRequest struct {
	to     plan.Position
	reason string
	done   chan error
}

// RequestRollback rolls a plan back because a person asks: to the position
// before the newest raise, or to one that a raise on the branch started from.
// It returns when the intent is written down and the traffic was tried.
func (r *Reconciler) RequestRollback(ctx context.Context, key plan.Key, to plan.Position, reason string) (Status, error) {
	r.mu.Lock()
	w, ok := r.plans[key]
	r.mu.Unlock()
	if !ok {
		return Status{}, fmt.Errorf("roll back %s: %w", key, ErrUnknownPlan)
	}
	req := &rollbackRequest{to: to, reason: reason, done: make(chan error, 1)}
	w.mu.Lock()
	if w.request != nil {
		w.mu.Unlock()
		return Status{}, fmt.Errorf("roll back %s: another request is being answered", key)
	}
	w.request = req
	w.mu.Unlock()
	r.enqueue(key)
	select {
	case err := <-req.done:
		if err != nil {
			return Status{}, fmt.Errorf("roll back %s: %w", key, err)
		}
	case <-ctx.Done():
		// Who was told that it failed must not see it happen later.
		w.mu.Lock()
		if w.request == req {
			w.request = nil
		}
		w.mu.Unlock()
		return Status{}, fmt.Errorf("roll back %s: %w", key, ctx.Err())
	}
	st, _ := r.Status(key)
	return st, nil
}
