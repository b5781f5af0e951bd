// Package gates compiles the CEL expressions of a plan against a typed
// environment and evaluates them over one snapshot of signals and facts.
//
// The package is pure: a snapshot goes in, verdicts come out. Package
// gates/prom takes the snapshot from a Prometheus.
package gates
