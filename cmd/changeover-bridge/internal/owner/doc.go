// Package owner knows, for one bridge, which side owns an entity, and records the
// entities that modern creates.
//
// A birth is durable before the client gets its answer: it is written to the
// ownership store and, at the same time, to a spool on disk. While the store is
// down the spool alone counts; what is in it is handed to the store later, by this
// process or by the next. Each process has a file of its own in the spool's
// folder, so that one that drains and one that starts may share it.
package owner
