// Package sim plays the daemon's loop in a world of its own, from one seed: the
// real reconciler, decisions, gates, Git logic and records, with a Git host, a
// Prometheus, a cluster, a gateway, a disk and a clock in memory. People push,
// revert and lift holds; the daemon is killed before or after any effect; answers
// are lost after success; every part fails, comes back, and is stale. After each
// event the laws of the design are checked, and at the end, when the faults stop,
// Git, gateway and cluster must agree within a bound.
//
//	make sim SEEDS=1-1000
//
// A seed that fails prints its shortest history, which the test replays.
package sim
