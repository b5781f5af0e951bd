// Package install tests what examples/install holds: that it applies to a real
// API server as it stands, that its pods have no more rights than they need, and
// that the real daemon works with the shipped roles and says which permission is
// missing where one is taken away.
package install
