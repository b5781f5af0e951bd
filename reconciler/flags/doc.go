// Package flags brings the flags of plans to where applications read them: a store,
// a folder or the ConfigMaps of a cluster, from which flagd serves them, and the
// daemon's memory, from which they are served by OFREP.
package flags
