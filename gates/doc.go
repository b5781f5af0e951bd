// Package gates compiles the CEL expressions of a plan against a typed
// environment and evaluates them over one snapshot of signals and facts.
//
// The package is pure: a snapshot goes in, verdicts come out. Package
// gates/prom takes the snapshot from a Prometheus.
//
// An expression reads signal.NAME, object.NAME, position and declared (.phase,
// .percent), stop and phase (.since, .age), health (.cluster, .gateway) and now.
// What is not known (a signal without a value, an object that is not there, the
// age of a stop that was never entered, a division of zero by zero) is unknown
// and travels through the expression by CEL's partial evaluation: true ||
// unknown is true. A result that is unknown is NoData, or Error where a signal
// or an object that the expression reads could not be asked. Neither ever
// passes.
//
// The fields of an object are of any type. One that is missing is an Error, for
// which has(object.NAME.status.field) asks first.
//
// A gate with `for` is judged at the points of a window that ends now; see
// window. The oldest sample behind a signal is told from its queries: the
// longest range selector with its offset and the subqueries around it, and for
// an instant selector maxAge, at most the 5 minutes that Prometheus looks
// back. At a stop that was entered backward, pause, rollback and verify gates
// count only what was sampled after the entry.
package gates
