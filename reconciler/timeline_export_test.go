package reconciler

import (
	"context"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// StepAgain works a plan once, waits until a push that this began is over, and
// returns how long the loop would wait before the next time.
func (r *Reconciler) StepAgain(ctx context.Context, key plan.Key) time.Duration {
	again := r.workOnce(ctx, key)
	r.pushes.Wait()
	return again
}
