// Package bridgeconfig keeps the config of bridges in a ConfigMap, and finds the
// bridges behind a Service. Both are the daemon's own affair: it uses its own
// account, not that of a plan.
package bridgeconfig
