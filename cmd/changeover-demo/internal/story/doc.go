// Package story plays one migration from beginning to end: three promotions by
// commits, a breach, the automatic revert and the quarantine after it. It
// believes nothing that it did not see: each step is narrated when it was
// observed, and the first one that was not ends the story with an error.
package story
