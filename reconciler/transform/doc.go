// Package transform carries out the transforms of a plan in a cluster: it reads the
// sources in batches, has package render/transform make their targets, and applies
// these on the server's side.
//
// # What is remembered
//
// For each source that was transformed a record says which content of it was read,
// and for each target its UID, what was sent, and what the API server made of it.
// Records of a batch are one file, written whole (temporary file, fsync, rename,
// fsync of the folder) before the next batch begins; a later file wins. After kill -9
// everything that has a record and has not changed is passed over. What was applied
// and has no record yet is applied again, which changes nothing. Where the records
// are lost, the annotation of each target tells whose it is.
//
// # When it is done
//
// The sources are gone through again and again, until a pass finds nothing that was
// changed, added or deleted by others since it was read; then targets are read back
// and compared, verify expressions are read, and orphans are looked for. A source
// that fails is told and retried with backoff; while one fails, the work is not done.
// Where sources never come to rest, maxPasses passes without a failure are enough,
// and the message says so.
//
// # What is not touched
//
// An object that no transform made, or another one did, is never written. Nothing is
// forced: where another manager has changed a field, the source fails, and the
// message names the manager. Orphans are told and stay. Undo deletes, where the plan
// asks for it, what was created here and has not changed since in any field but its
// status.
package transform
