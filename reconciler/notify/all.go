package notify

import (
	"context"

	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
)

// All notifies each in turn. None of them blocks.
type All []reconciler.Notifier

var _ reconciler.Notifier = All{}

// Notify implements reconciler.Notifier.
func (a All) Notify(ctx context.Context, key plan.Key, e reconciler.Entry, page bool) {
	for _, n := range a {
		n.Notify(ctx, key, e, page)
	}
}
