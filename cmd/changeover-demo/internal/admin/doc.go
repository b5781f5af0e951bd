// Package admin asks the daemon on its admin socket what it is doing. The types
// are the part of the socket's JSON that the demo reads.
package admin
