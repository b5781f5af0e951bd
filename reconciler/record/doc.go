// Package record keeps the daemon's records in a directory of the local disk:
// for each plan one record, a bounded history and the last status.
//
// The folder looks like this, with modes 0700 and 0600:
//
//	STATE/lock                                  flock of the one daemon, with its pid
//	STATE/plans/NAMESPACE/NAME/record.json      what Decide must remember
//	STATE/plans/NAMESPACE/NAME/history.jsonl    the newest entries, one a line
//	STATE/plans/NAMESPACE/NAME/status.json      the last status
//
// Record and status are replaced whole: written beside, synced, renamed, the
// folder synced. A crash at any point leaves the old one or the new one. Both
// carry a format number and a checksum, so that a file that a disk or a person
// has damaged is an error that names it, and never reads as an empty record.
package record
