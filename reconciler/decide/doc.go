// Package decide is the pure core of Changeover: Decide says what to do, and
// the methods of Record say what is remembered of it. Equal inputs give equal
// decisions; there is no clock, no I/O, no randomness and no map order.
//
// # The truth table
//
// First match wins. Effective is where the world was brought to; furthest is
// the furthest of the applied stop, of what cluster and gateway were seen to
// serve, and of a move under way.
//
//	 1  suspend                                            Hold Suspended
//	 2  plan gone from Git, breach                         Rollback Breach to the first stop
//	    the same, a dependency fell                        Rollback DependencyLost to the first stop
//	    plan gone from Git                                 Hold Orphaned
//	 3  the plan at head is not valid                      the last valid version governs; where
//	                                                       it would go forward: Hold Invalid
//	 4  declared behind furthest                           Retreat Lowered
//	4a  a plan that this one depends on is known to be     Rollback DependencyLost to the first
//	    below what is needed of it; past the first stop    stop, every raise undone
//	 5  a backward move under way                          resume it; while it fails it takes up
//	                                                       newer content
//	 6  a rollback gate breached, onBreach revert, in      Rollback Breach
//	    its window; not once monitorFor is over
//	 7  the same, but freeze or outside the window         Halt BreachFrozen
//	7a  a verify gate is false after a rollback            Halt VerifyFailed, once
//	 8  a forward move under way                           resume it; while it fails, or waits
//	                                                       for health, it takes up newer content;
//	                                                       after a row 7, or while Git is stale,
//	                                                       hold
//	8a  record and gateway differ, and no move says why    Halt StateMismatch
//	 9  the raise or content is held, or a revert is not   Hold Quarantined
//	    on the branch yet
//	10  effective stop not on the declared itinerary       Hold OffItinerary
//	    another gateway, and not at the first stop         Hold GatewayChanged
//	11  live content changed                               Apply, after every forward check but
//	                                                       those of a stop that is entered,
//	                                                       health, bake and advance gates
//	    quiet content changed                              Apply
//	12  same stop, last, baked, advance gates pass         Complete; once monitorFor is over
//	                                                       whatever the gates say
//	13  same stop                                          Hold Steady; with Propose where
//	                                                       promotion is auto, the stop has baked
//	                                                       and its gates pass
//	14  ahead, halted                                      Hold Halted
//	15  ahead, Git not read for gitMaxAge                  Hold GitStale
//	    ahead, a rollback is being verified                Hold Verifying
//	16  ahead, and a requirement unmet at the first stop,  Hold, with the reason of the first
//	    a dependency short, unknown or not there, a        that blocks, in this order; the
//	    conflicting plan past its first stop or unknown,   message names all
//	    windows, notBefore, manual phase, approvals,
//	    checklist, cooldown, bake, pause, advance or
//	    enter gate, or a rollback expression true
//	    without its `for`, or a baseline that is
//	    remembered here without a value
//	17  ahead, cluster or gateway not healthy              Hold NotHealthy
//	    ahead, requests seen not to be split as declared   Hold SplitMismatch
//	    ahead, data that a way back left is taken back     Hold TakingBack
//	18  otherwise                                          Advance to the next stop
//
// Too many rollbacks in a day halt the plan (row 14). Connected plans are decided
// by Group.
//
// # Blind
//
// Gates of the effective stop that are not known (no data, or an error) block the
// way forward and breach nothing. Record.Watch keeps since when at least one is
// not: for noDataAlert, and a person is told, once; once more when all are
// known. Another stop has gates of its own, and its time begins anew.
//
// # Moves
//
// A forward move goes Expand, Health, Traffic, Contract: what is added is there
// and healthy before traffic relies on it, and what is taken away goes after the
// traffic has left it. A backward move goes Prepare, Traffic and is done then:
// Prepare brings back what the traffic returns to, and nothing else comes before
// the traffic. The cluster follows what was applied, as it does after a drift,
// and until it does nothing moves forward (row 17).
//
// Row 11 leaves health out: a content commit is how a person mends what is not
// healthy.
package decide
