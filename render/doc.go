// Package render turns a plan and a stop into ordered, canonical routing
// rules. It is the neutral half of every data plane: the sub-packages write
// the same rules down for one target each.
//
// The package is pure: no clock, no network, no file system, no map order.
package render
