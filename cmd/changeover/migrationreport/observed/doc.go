// Package observed asks a Prometheus what a report of a migration tells: where
// the plan was by the daemon's metrics, what the plan's signals were, what each
// side served, and how entities and transforms went.
package observed
