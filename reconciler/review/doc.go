// Package review says what a change of the repository would do, before it is
// merged: Build compares the plans of two trees and returns a Review, which Text
// and Markdown write down. The daemon comments pull requests with it, and
// `changeover diff` prints it.
//
// No cluster is asked. What is in effect is taken to be what the base declares,
// and what the daemon would do about the head is asked of decide.Decide itself.
// Times that hang on the data plane, such as how much of a bake is over, are
// unknown and shown as what they are in the plan.
//
// The package is pure: the files, the clock and the values of gates are
// arguments. Equal inputs give equal reviews.
package review
