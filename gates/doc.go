// Package gates compiles the CEL expressions of a plan against a typed
// environment and evaluates them over one snapshot of signals and facts.
//
// The package is pure: a snapshot goes in, verdicts come out. Package
// gates/prom takes the snapshot from a Prometheus.
//
// An expression reads signal.NAME, series.NAME, baseline.NAME, object.NAME,
// position and declared (.phase, .percent), stop and phase (.since, .age),
// health (.cluster, .gateway), plans.NAME, approvals.ROLE, clients (.legacy, .modern),
// shadow (.matchRate, .coverage, .comparisons), entities (.total .legacy .modern
// .inFlight .orphaned .unknown .doubleClaimed .mismatched .syncLag), transforms.NAME,
// commit and now.
// What is not known (a signal without a value, an object or a plan that is not
// there, approvals that could not be read, the age of a stop that was never
// entered, a division of zero by zero) is unknown
// and travels through the expression by CEL's partial evaluation: true ||
// unknown is true. A result that is unknown is NoData, or Error where a signal
// or an object that the expression reads could not be asked. Neither ever
// passes.
//
// The fields of an object are of any type. One that is missing is an Error, for
// which has(object.NAME.status.field) asks first.
//
// series.NAME is the list of the known values that a signal with range and step
// had at every step of its range, oldest first; signal.NAME is its value now.
// Like a window with `for` the series is unknown where less than 90 % of its
// values are known, and like the signal where the newest is not. A gate that
// reads a series has no `for`: the range is its window. At a stop that is younger
// than the range an advance gate over the series is Fail.
//
// baseline.NAME is a value to compare with: what a signal was so long ago, which
// is its query with an offset, or when a stop was left forward, which is a fact.
//
// plans.NAME is another plan of the namespace: .phase and .percent of where it is,
// .declared (.phase, .percent), .complete, and .state, the word of `changeover
// status`. It is as that plan last stood, and nothing waits for it: an order
// between plans is what dependsOn is for.
//
// approvals.ROLE is how many persons of the role approved, by approvals that
// count: in an enter gate those of the gate's own stop, in others of the stop that
// is entered next.
//
// transforms.NAME is a transform of the plan: .total, .done and .failed count its
// sources, .complete says that all of them were transformed and compared. From then
// on .objects and .orphaned are known, as they were counted at that time. One that
// never ran, was taken back, or was changed since is unknown.
//
// commit is what goes forward next: the newest change of the plan's content while
// that was not applied, else the raise by which its position is declared. Of it
// are known .author, an address, and .time. Both are what Git says, and not
// verified: there is no .signed, as a daemon that verifies takes up what is
// signed alone.
//
// A name with a dash stands in quotes: plans["onap-so"], approvals["release-managers"],
// transforms["nw-intents"].
//
// Three functions make one number of many. Where they cannot, it is unknown.
//
//	wilsonUpper(bad, total, z)  the upper bound of the Wilson score interval;
//	                            unknown without a total
//	quantile(list, q)           that of Prometheus, q from 0 to 1; unknown of an
//	                            empty list
//	mannWhitney(a, b)           the two-sided p-value of the Mann-Whitney U test,
//	                            exact for lists of at most 20 values without ties,
//	                            else by the normal distribution, corrected for
//	                            ties and continuity; unknown where one has less
//	                            than 4 values
//
// A gate with `for` is judged at the points of a window that ends now; see
// window. The oldest sample behind a signal is told from its queries: the
// longest range selector with its offset and the subqueries around it, and for
// an instant selector maxAge, at most the 5 minutes that Prometheus looks
// back. At a stop that was entered backward, pause, rollback and verify gates
// count only what was sampled after the entry.
package gates
