// Package app is the bridge as a process: its flags, its two listeners, what
// it answers itself, and how it starts and stops.
package app
