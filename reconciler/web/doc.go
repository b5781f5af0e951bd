// Package web serves what the daemon knows over HTTP: health, metrics and a
// read-only status page for people on a TCP address, and the admin API on a
// unix socket that only the daemon's own user may open.
package web
