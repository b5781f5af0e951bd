// Package monitoring tests examples/install/monitoring: rules by promtool, and that
// rules and dashboard use only metrics that the daemon has.
package monitoring
