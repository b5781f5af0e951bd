// Package celjson is JSON as CEL knows it: a whole number of 64 bits is an int (else
// a uint), any other a double; what CEL makes is written with sorted keys, bounded
// in size and depth. Translations and transforms read and write with it.
package celjson
