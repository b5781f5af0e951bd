// Package status reads from a live object whether it is ready, and if it is not,
// why: in words, without a clock.
package status
