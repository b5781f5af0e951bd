// Package rehearsal goes through every stop of a plan, forward and back, with no
// effect on anything: it renders what the daemon would apply, says what changes
// from stop to stop, and tries it where it is given something to try it on.
//
// What a stop changes is told by comparing the renders of two stops. Whether it
// would be taken is asked of the API server by dry runs, always against what is
// live now: an object that hangs on one which is made on the way is not tried,
// and said to be so. Where a breach leads is asked of decide.Decide.
package rehearsal
