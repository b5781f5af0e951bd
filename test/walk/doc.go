// Package walk goes the way of a new user: it runs the commands of the README
// literally, from an empty folder, with the real programs and a real control plane.
// Every block of commands is run by a test, or says why not.
package walk
