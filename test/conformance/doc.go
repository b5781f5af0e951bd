// Package conformance says in tests what each port of the reconciler promises.
// Every implementation runs the suite of its port, the fakes as well: so what
// is proved against a fake holds for the real one.
package conformance
