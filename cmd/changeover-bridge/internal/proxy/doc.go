// Package proxy carries requests to the side that the routes choose, streams
// the answers back, and counts both.
//
// A config is served as one immutable value behind an atomic pointer: a
// request reads the pointer once and ends on the config with which it began,
// so a swap drops and disturbs nothing. Connections to a backend outlive a
// swap that leaves its URL as it was.
package proxy
