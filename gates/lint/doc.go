// Package lint finds what is valid in a plan and still wrong. Its warnings stop
// nothing: `changeover validate` shows them, the daemon does not ask.
//
// An expression is taken apart into boxes: which values of which terms make it
// true. A term is what is compared with a number, mostly a signal. What is no
// such comparison is a condition of its own that may be true or false, and an
// expression that needs more than 64 boxes is not judged. So "never", "always"
// and "whenever" in a warning hold for all values; that something is not found
// proves nothing.
//
//	contradictory-bands  gates of a phase say different things about the same values of a signal
//	gate-never-true      no values can make the expression true
//	gate-always-true     no values can make the expression false
//	shadowed-gate        another gate with the same effect is true whenever this one matters
//	or-vector-zero       a proportion has no data until its first event: add `or vector(0)`
//	no-samples           gates judge a proportion without asking how many requests stand behind it
//	few-samples          samples.min is too small to prove what a gate asks, even where nothing fails
//	long-for             the time of `for` cannot pass before the stop or Prometheus' data ends
//	unused-signal        nothing reads the signal
//	unused-object        nothing reads the object
//	no-rollback-gate     the phase sends traffic to modern and nothing would take it back
//	legacy-silent        a gate reads a signal of legacy at a stop where legacy gets no traffic
//	unknown-plan         a gate reads a plan that is in none of the files, where folders are checked
//	rule-expires         a rule of mirror.compare has expired, or does so within 30 days
//	flag-never-on        nobody has the flag on modern at any stop
//	flag-expires         a flag has expired, or does so within 30 days
//	unused-ignore        an ignore comment ignores nothing
//	bad-ignore           an ignore comment has no reason, or names no code that can be ignored
//
// Percents that do not rise are no warning: plan.Decode refuses them.
//
// Bands contradict each other where an advance gate still passes though a pause
// or rollback gate of the phase is true, of one term and in the direction in
// which the alarm lies; where a pause gate is true only when a rollback gate is,
// and no earlier; where gates that must all pass never can; and where advance
// gates pass only while something pauses or rolls back. That a pause band lies
// below a rollback band, or that between two bands nothing happens, is how plans
// are written.
//
// A proportion is sum(rate(A)) / sum(rate(B)) where A has all matchers of B, so
// that it is 0 to 1, or where A's name tells of errors. How many clean requests
// prove a bound is told by the upper end of Wilson's interval at 95 %: 100 prove
// less than 3.7 %, 381 less than 1 %. With `for` each separate window of samples
// in it counts.
//
// `for` is long where it is more than the 15 days for which Prometheus keeps data
// by default; an advance gate's also where the phase's rollback window ends
// before it; a rollback gate's also where it cannot pass within that window; and
// a pause or rollback gate's also where the stop may be left before it, after
// bake and the advance gates' own `for`.
//
// A signal is of legacy where a label of its query must be legacy (or begins so)
// and none is modern, or where its name begins with legacy.
//
// A comment `# changeover:ignore CODE REASON` drops the warnings with that code
// of its own line or, alone on a line, of the next line that is no comment; above
// everything, of the whole file. The reason is not optional.
package lint
