// Package flagd writes the flags of a plan at a stop down as the definitions that
// flagd and its providers read, and evaluates them as flagd does, for applications
// that ask by OFREP.
//
// A file is always written whole, and its order is fixed. A flag that is off, for
// whatever reason, has one form: ENABLED, defaultVariant legacy, no targeting, and
// the reason in its metadata; never DISABLED, which means the default of the
// caller's code. Each other flag that does not have everybody on one side is one
// entry of $evaluators, true for callers whom its own rules and percent put on
// modern; its targeting asks for that and for those of all flags that it needs.
//
// The percent is a fractional operation with an explicit key, the plan's salt and
// the caller's targetingKey, over two weights that sum up to 10,000, modern first:
// flagd computes for it what plan.Bucket does. That is so since flagd hashes to
// integers (its change 1909, of spring 2026); versions before have another 10 % of
// the callers, for whom all else holds. The variants of an experiment are
// distributed by a salt of their own, so that a caller keeps its variant while the
// percent rises.
//
// flagd cuts blanks off the end of what it hashes, and so a targetingKey with
// blanks at its end has the bucket of the one without.
//
// The package is pure: no clock, no network, no file system, no map order.
package flagd
