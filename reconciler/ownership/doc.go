// Package ownership keeps which side owns which entity: the table of a plan, the
// stores that hold it, and an index in memory that follows one.
//
// Ownership is state. It is never in Git and no revert undoes it: what was born
// on modern stays there until somebody hands it over.
//
// Every change of a plan's table gets a revision, higher than all before it, and
// becomes visible in that order. So a follower that has read up to a revision has
// missed nothing, and reads only what came after it.
package ownership
