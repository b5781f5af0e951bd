// Package fakes holds small in-memory implementations of the reconciler's
// ports, for tests of what stands on them. Each passes the suite of its port in
// test/conformance.
package fakes
