// Package record keeps the daemon's records where kubectl users look: in the
// status of a MigrationPlan object. It decorates another recorder, the local
// journal, which always comes first.
//
// # What is where
//
// The object has the plan's namespace and name. Its spec mirrors Git: an edit
// in the cluster is put right, an object that was deleted is made again. Its
// status has what kubectl shows (phase, state, conditions, what blocks and the
// stop that comes next, the newest twenty entries of the history) and the record itself, with a serial that tells which
// of two copies is newer, a checksum, and the daemon that wrote it. Plans whose
// namespace or name no API server allows are kept in the journal alone.
//
// # Writes
//
// Save writes the journal and then the status, and waits at most two seconds
// for the latter; one of the two is enough. Everything else is written by Run,
// some moments later, so that what comes together goes together. What the
// cluster did not take is tried again until it does. Nothing is written where
// nothing changed but numbers in a message, or when a block ends.
//
// Status writes carry the resource version that was last seen. Where the object
// turns out to be another daemon's, nothing more is written: ErrFenced.
//
// # Bounds
//
// The copy in the cluster has the newest 200 changes of the branch, and the
// status at most 20 blocks and 512 KiB: where it would be larger, evidence and
// blocks go first, then old entries and old changes. The journal has
// everything.
package record
