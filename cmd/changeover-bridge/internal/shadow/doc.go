// Package shadow keeps what comparisons of modern's answers with legacy's have come
// to, by endpoint and in bounded memory, and runs them off the request's path.
//
// # The baseline
//
// Where a plan has one, legacy is now and then asked a second time. Where its own
// answers differ, that is noise: timestamps, random ids, orders that nobody promised.
// Those requests come first in which modern differs at a place that is not decided
// yet; the rest are drawn from all.
//
// A place is noise once legacy has differed from itself there at least twice, and
// at least a fifth as often as modern differs from legacy: a field that legacy changes
// now and then does not excuse a modern that always has another value. What was seen
// counts half after each thousand samples. A comparison all of whose differences are
// noise is ignored.
//
// Until an endpoint has twenty samples, and five of requests in which modern differed
// at the place, a difference there is pending: it counts neither for nor against
// modern, and lowers the coverage. Then it is a mismatch, with all that were pending,
// or noise. What turns out to be noise later is taken back from the mismatches of the
// report; the metric, as a counter, then stands still until it is true again.
//
// Without a baseline every difference that no rule excuses is a mismatch at once.
package shadow
