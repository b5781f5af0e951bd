// Package reconciler is the loop: for each plan it gathers what is known, asks
// decide.Decide, writes the intent down, carries it out and reports it. It
// declares the small interfaces that it consumes; cmd/changeover wires the
// adapters.
package reconciler
