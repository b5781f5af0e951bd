// Package entities compares legacy's inventory, modern's inventory and the
// ownership table of a plan, and keeps the table and modern's copies current.
//
// A check streams all three, sorts them by id outside of memory, and goes through
// them together, so that it takes the same few megabytes for any number of
// entities. It finds
//
//   - orphaned: the owner that the table names does not serve it,
//   - unknown: an inventory has it and the table does not, and it is not simply new
//     on legacy; or it has no id, or stands twice in one inventory,
//   - doubleClaimed: both sides serve it,
//   - mismatched: an expression of verify.equal is not true.
//
// The three are not read at one instant, and entities move meanwhile. So what is
// found for the first time is looked at once more after a pause, and only what is
// found again counts. An inventory that cannot be read whole gives no result at all.
//
// What legacy alone serves and the table does not have was born on legacy: a check
// that may write adds it to the table, and never changes what is there.
package entities
