// Package lease lets one of several daemons work: the one that holds a Lease.
//
// The election is client-go's, over a client of its own, so that a daemon with
// much to do for its plans still renews. What client-go does not give is here.
// Fence says no from the moment on at which the last renewal that succeeded is
// too old, whether anybody has noticed or not: a process that was stopped and goes
// on, or whose API server hangs, asks it before every effect. The lease is given
// up when the work has ended and no sooner, and whoever waits for it is told
// then, so that it takes over at once.
package lease
