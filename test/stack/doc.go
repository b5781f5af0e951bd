// Package stack starts everything that a migration needs on one machine, for
// tests from end to end: two backends with metrics, a real Prometheus, a real
// nginx or the real bridge, a bare Git repository with a person's clone, and
// the daemon's own binary.
package stack
