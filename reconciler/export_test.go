package reconciler

import (
	"context"

	"k8s.io/client-go/util/workqueue"

	"github.com/changeover-dev/changeover/plan"
)

// Prepare makes the loop ready to be stepped by hand.
func (r *Reconciler) Prepare(ctx context.Context) {
	r.queue = workqueue.NewTypedDelayingQueue[plan.Key]()
	r.poll(ctx)
}

// Step works a plan once and reports the error that its status shows.
func (r *Reconciler) Step(ctx context.Context, key plan.Key) string {
	r.workOnce(ctx, key)
	st, _ := r.Status(key)
	return st.Error
}

// Poll reads the branch once.
func (r *Reconciler) Poll(ctx context.Context) { r.poll(ctx) }
