// Package engine evaluates PromQL by Prometheus's own engine, in this process,
// over series that are written in promtool's notation. It is a prom.Querier.
//
// The series are in memory: Prometheus's own database would add the clients of
// two clouds to the binary, and a folder to clean up.
package engine
