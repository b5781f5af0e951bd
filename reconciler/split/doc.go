// Package split judges whether requests are split between the sides as a stop
// declares. What gateways and signals have counted comes in, a verdict goes out:
// the package is pure, but for a Watch, which remembers what it was told.
//
// A caller with a key has a bucket, and belongs on one side: every request of
// such a caller on the other side contradicts the bucket. What share of the
// requests that makes depends on who calls, and is not judged. Requests without
// a key go to either side by chance: their share is judged by how far chance
// reaches, three standard deviations. Where nothing tells one kind from the
// other, only 0 % and 100 % can be judged.
package split
