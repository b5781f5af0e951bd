package reconciler

import (
	"context"

	"k8s.io/client-go/util/workqueue"

	"github.com/changeover-dev/changeover/plan"
)

// What follows runs the loop by hand in place of Run, one plan and one reading at a
// time, as simulations do: nothing happens but what they ask for, so that one seed
// gives one history.

// Prepare makes the loop ready, and reads the branch.
func (r *Reconciler) Prepare(ctx context.Context) {
	r.queue = workqueue.NewTypedDelayingQueue[plan.Key]()
	r.poll(ctx)
}

// Step works a plan, and those that it is connected with, once. It returns the
// error that the plan's status shows.
func (r *Reconciler) Step(ctx context.Context, key plan.Key) string {
	r.workOnce(ctx, key)
	st, _ := r.Status(key)
	return st.Error
}

// Poll reads the branch once.
func (r *Reconciler) Poll(ctx context.Context) { r.poll(ctx) }

// WaitForPushes waits until nothing is on its way to the remote.
func (r *Reconciler) WaitForPushes() { r.pushes.Wait() }

// Close ends what Prepare began.
func (r *Reconciler) Close() {
	r.pushes.Wait()
	r.queue.ShutDown()
}
