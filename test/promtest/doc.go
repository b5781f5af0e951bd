// Package promtest runs a real Prometheus for tests: on a free port of the
// loopback address, with its data in a folder of its own.
package promtest
