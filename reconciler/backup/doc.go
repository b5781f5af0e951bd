// Package backup saves objects of a cluster before a phase is entered, and
// restores them.
//
// A backup is a folder NAMESPACE/PLAN/NAME of a bucket:
//
//	objects.jsonl.gz      one object a line, without what the API server keeps for itself; zcat reads it
//	secrets.jsonl.gz.age  the Secrets, for the recipients of the plan; age -d and zcat read it
//	index.jsonl.gz        what each line above is: kind, name, UID, SHA-256
//	backup.json           the manifest: what the files are, with their SHA-256 and one over all
//
// The manifest is written last, after everything was read back: a folder without
// one is no backup. Objects are compressed in groups of at most a hundred, so
// that a bit that flips loses no more than these, and says which. Nothing here
// holds more than a page of the API server, or a group, in memory, but for the
// names and sums of the objects of one kind where live ones are compared.
package backup
