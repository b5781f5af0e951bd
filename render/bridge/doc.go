// Package bridge renders one stop of a plan into the config file of
// changeover-bridge, and reads that file back. It is the contract between the
// daemon, which writes the file, and any number of bridges, which follow it.
//
// The file names its plan and its stop, carries the rules in the order in
// which they are tried, and a hash over all of that. The mark (since when, by
// which revision, which holds) stands beside it and does not count for the
// hash: rewriting it is not a change of routes.
//
// The package is pure: bytes and values only.
package bridge
