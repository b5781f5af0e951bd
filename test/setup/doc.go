// Package setup holds the scripts behind the targets of the Makefile, and the
// tests of those that could hide a failure.
package setup
