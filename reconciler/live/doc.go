// Package live keeps what the status page shows beside the newest status of each
// plan: what the values that gates read were in the last hours, since when each
// gate has its verdict, and who waits for news.
//
// Memory is bounded: a value has at most 128 points of 16 bytes, which is 2 KiB,
// however long it is watched; a gate has at most 32 verdicts, about 1 KiB. A plan
// has at most 64 values and 128 gates, so it never takes more than 256 KiB.
package live
