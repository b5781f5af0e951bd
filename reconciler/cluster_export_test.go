package reconciler

// WaitForPushes waits until no push is under way.
func (r *Reconciler) WaitForPushes() { r.pushes.Wait() }
