// Package timeline plays a plan over time: what the daemon would decide, and
// where the plan would be, given what its signals answer at each step.
//
// It asks the same gates and the same decide.Decide as the daemon, in the order
// in which package reconciler does, and begins and finishes moves by the same
// Record. The world is perfect: a move is done at once and observed, what a
// decision asks of Git is on the branch at once, Git was read just now, and the
// cluster offers what a plan requires. There is no clock and no I/O in it.
package timeline
