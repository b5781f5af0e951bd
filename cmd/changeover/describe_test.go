package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/cmd/changeover/screen"
	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/split"
)

var update = flag.Bool("update", false, "write the golden files anew")

var night = time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC)

func before(d time.Duration) time.Time { return night.Add(-d) }

func after(d time.Duration) time.Time { return night.Add(d) }

func at(percent plan.Percent) plan.Position {
	return plan.Position{Phase: "gradual", Percent: percent}
}

const (
	raise  = plan.Revision("5f3c1a2e00000000000000000000000000000000")
	second = plan.Revision("77aa01be00000000000000000000000000000000")
)

func verdict(e plan.Effect, name string, v gates.Verdict, expr, detail string) gates.Result {
	return gates.Result{Key: gates.Key{Stop: at(25), Effect: e, Name: name, Revision: raise}, Verdict: v, Now: v, Expr: expr, Detail: detail}
}

var breach = verdict(plan.Breaches, "many-errors", gates.Pass, `signal.errors > 0.03 && signal.requests > 100.0`,
	"true at all of 21 known points of the last 5m; errors=0.0712, requests=4120")

// steadyAt25 is a plan at rest, from which the others are made.
func steadyAt25() reconciler.Status {
	breach := breach
	breach.Verdict, breach.Now, breach.Detail = gates.Fail, gates.Fail, "false at 21 of 21 known points of the last 5m; errors=0.0012, requests=4120"
	breach.Message = "modern answers with errors"
	setup := plan.Position{Phase: "setup"}
	part := decide.Part{Known: true, Stop: at(25), Healthy: true}
	return reconciler.Status{
		Key: plan.Key{Namespace: "migrations", Name: "onap-so"}, Path: "plans/onap-so.yaml", Declared: at(25), Effective: at(25),
		Since: before(26 * time.Hour), BakedAt: before(2 * time.Hour), State: reconciler.StateSteady,
		Decision: decide.Decision{Verb: decide.Hold, Reason: decide.Steady, Message: "at gradual@25, as declared"},
		Head:     raise, Applied: raise, Itinerary: plan.Itinerary{setup, at(10), at(25), at(50), at(100)},
		Observed: decide.Observed{Gateway: part, Cluster: part},
		Gates: gates.Results{
			verdict(plan.Advance, "low-errors", gates.Pass, "signal.errors < 0.01", "true at all of 241 known points of the last 1h; errors=0.0012"), breach,
		},
		CheckedAt: before(4 * time.Second), GitReadAt: before(9 * time.Second),
	}
}

// waits is on the way to 50 % and held by blocks, the first of which is the
// reason.
func waits(blocks ...decide.Block) reconciler.Status {
	s := steadyAt25()
	s.Declared, s.State = at(50), reconciler.StateWaiting
	s.Decision = decide.Decision{Verb: decide.Hold, Reason: blocks[0].Reason, Message: blocks[0].Message, Blocks: blocks, Next: at(50), RecheckAt: blocks[0].Until}
	return s
}

func block(r decide.Reason, message string, until time.Time) decide.Block {
	return decide.Block{Reason: r, Message: message, Until: until}
}

// states are what an operator may find at night.
func states() map[string]reconciler.Status {
	all := map[string]reconciler.Status{
		"steady":     steadyAt25(),
		"baking":     waits(block(decide.Baking, "gradual@25 bakes for 72h", after(46*time.Hour))),
		"window":     waits(block(decide.OutsideWindow, "no forward moves before Mon-Fri 09:00-16:00 Europe/Berlin opens", after(5*time.Hour))),
		"not-before": waits(block(decide.NotBefore, "gradual@50 is not entered before 2026-03-05T09:00:00Z", after(78*time.Hour))),
		"approval":   waits(block(decide.ApprovalMissing, "gradual@50 needs 1 more approval by operations", time.Time{})),
		"checklist":  waits(block(decide.ChecklistOpen, `gradual@50 needs "Ten deployments sampled" and "Dashboards reviewed"`, time.Time{})),
		"dependency": waits(block(decide.DependencyUnmet, "platform is at gradual@10, and setup is not left before it is at or past complete", time.Time{})),
		"conflict":   waits(block(decide.Conflict, "other-plan is past its first stop", time.Time{})),
		"cooldown":   waits(block(decide.Cooldown, "a hold was lifted 10m ago; nothing moves forward for 30m", after(20*time.Minute))),
		"gate": waits(block(decide.GateFailed, "advance gate low-errors at gradual@25: signal.errors < 0.01 (false at 3 of 241 known points of the last 1h; errors=0.0212)", time.Time{}),
			block(decide.OutsideWindow, "no forward moves before Mon-Fri 09:00-16:00 Europe/Berlin opens", after(5*time.Hour)),
			block(decide.ApprovalMissing, "gradual@50 needs 1 more approval by operations", time.Time{})),
		"no-data":     waits(block(decide.GateNoData, "advance gate low-errors at gradual@25: signal.errors < 0.01 (0 of 241 points of the last 1h are known (errors: no series))", time.Time{})),
		"error":       waits(block(decide.GateError, "advance gate low-errors at gradual@25: signal.errors < 0.01 (errors failed: the answer has 2 series, and a signal is one number)", time.Time{})),
		"git-stale":   waits(block(decide.GitStale, "Git was not read for 12m", time.Time{})),
		"not-healthy": waits(block(decide.NotHealthy, "Deployment so/orchestrator: 1 of 3 replicas are available", time.Time{})),
	}
	s := all["baking"]
	s.Since, s.BakedAt = before(26*time.Hour), after(46*time.Hour)
	all["baking"] = s
	s = steadyAt25()
	s.State = reconciler.StateDegraded
	s.Split = &split.Report{Declared: []plan.Percent{25}, Requests: split.Pair{Legacy: 3600, Modern: 400}, Contradicting: 600, Intervals: 3,
		Off: "routes[1] by http://10.1.2.3:8081: 600 of 4000 requests went to the side where their callers' buckets are not"}
	s.Split.Last = s.Split.Off
	s.Observed.Split = s.Split.Mismatch()
	all["split"] = s
	s = steadyAt25()
	s.Flags = []reconciler.FlagStatus{{Name: "checkout", Percent: 25}, {Name: "search", Off: plan.FlagPrerequisite, By: "checkout"}}
	all["flags"] = s
	s = steadyAt25()
	s.State, s.Waiting = reconciler.StateProgressing, "5 of the next 250 are in flight"
	s.Work = []reconciler.Progress{{Name: "entities", Message: s.Waiting, Total: 250, Finished: 120, Failed: 2, Rate: 2.5}}
	all["work"] = s
	s.Waiting = ""
	s.Work = []reconciler.Progress{
		{Name: "backup", Back: true, Total: 40, Finished: 12, Failed: 1, Message: "1 object is not restored: ConfigMap so/a: it is being deleted"},
		{Name: "transforms", Back: true, Message: "beginning"},
		{Name: "entities", Done: true, Total: 25, Finished: 24, Message: "1 are in flight"},
	}
	all["taken-back"] = s
	s = all["git-stale"]
	s.GitReadAt, s.GitError = before(12*time.Minute), "fetch main of https://git.example.com/ops/migrations.git: the remote cannot be reached: connection refused"
	all["git-stale"] = s
	troubled(all)
	return all
}

func troubled(all map[string]reconciler.Status) {
	s := steadyAt25()
	s.State, s.Declared, s.Gates[1] = reconciler.StateHalted, at(50), breach
	s.Decision = decide.Decision{Verb: decide.Halt, Reason: decide.BreachFrozen, Message: "rollback gate many-errors is breached at gradual@25, and onBreach is freeze"}
	s.Halt = &decide.HaltOf{Reason: decide.BreachFrozen, Message: s.Decision.Message, At: before(3 * time.Minute)}
	all["frozen"] = s

	s = steadyAt25()
	s.State = reconciler.StateHalted
	s.Decision = decide.Decision{Verb: decide.Halt, Reason: decide.StateMismatch, Message: "the record says gradual@25, and the gateway serves gradual@50"}
	s.Halt = &decide.HaltOf{Reason: decide.StateMismatch, Message: s.Decision.Message, At: before(time.Minute)}
	s.Observed.Gateway = decide.Part{Known: true, Stop: at(50), Message: "upstream weights are those of gradual@50"}
	all["mismatch"] = s

	s = steadyAt25()
	s.State, s.Declared, s.Effective, s.Since = reconciler.StateRolledBackUnpushed, at(25), at(10), before(2*time.Minute)
	s.Observed.Gateway.Stop, s.Observed.Cluster.Stop = at(10), at(10)
	s.Decision = decide.Decision{Verb: decide.Hold, Reason: decide.Quarantined, Message: "5f3c1a2e was rolled back and is not applied again"}
	s.Holds = []decide.HoldOf{{Commit: raise, At: before(2 * time.Minute), Evidence: gates.Results{breach}}}
	s.Pending = &decide.Pending{
		Undo: []plan.Revision{second, raise}, From: at(25), Target: at(10), Reason: decide.Breach, Message: "rollback gate many-errors is breached",
		Evidence: gates.Results{breach}, At: before(2 * time.Minute), Attempts: 7, Error: "push main: the remote cannot be reached: connection refused",
	}
	all["unpushed"] = s
	branch := *s.Pending
	branch.Branch, branch.Error, branch.Attempts = "changeover/rollback-onap-so-5f3c1a2e", "push main: refused: protected branch", 1
	s.Pending = &branch
	all["protected"] = s

	s = steadyAt25()
	s.State, s.Declared, s.Effective, s.Since = reconciler.StateSteady, at(10), at(10), before(2*time.Hour)
	s.Observed.Gateway.Stop, s.Observed.Cluster.Stop = at(10), at(10)
	s.Holds = []decide.HoldOf{{Commit: raise, At: before(2 * time.Hour), Evidence: gates.Results{breach}}}
	all["rolled-back"] = s
	s.State, s.Declared = reconciler.StateQuarantined, at(25)
	s.Decision = decide.Decision{Verb: decide.Hold, Reason: decide.Quarantined, Message: "5f3c1a2e was rolled back and is not applied again"}
	all["quarantined"] = s

	s.State, s.Decision.Verb, s.Decision.Reason = reconciler.StateHalted, decide.Halt, decide.HistoryRewritten
	s.Decision.Message = "the branch was rewritten: 5f3c1a2e is not in its history any more"
	s.Halt = &decide.HaltOf{Reason: decide.HistoryRewritten, Message: s.Decision.Message, At: before(time.Minute)}
	all["rewritten"] = s

	s = steadyAt25()
	s.State, s.Declared = reconciler.StateProgressing, plan.Position{Phase: "setup"}
	s.Decision = decide.Decision{Verb: decide.Retreat, Reason: decide.Lowered, Target: s.Declared, Message: "setup is declared, and gradual@25 is in effect"}
	all["lowered"] = s
	s.Decision = decide.Decision{Verb: decide.Retreat, Reason: decide.Resuming, Target: s.Declared, Message: "a move backward is under way"}
	s.Move = &decide.Move{Verb: decide.Retreat, From: at(25), To: s.Declared, Step: decide.StepTraffic, Attempts: 2, Error: "nginx -t: unknown directive"}
	all["going-back"] = s

	s = steadyAt25()
	s.State, s.Decision = reconciler.StateSuspended, decide.Decision{Verb: decide.Hold, Reason: decide.Suspended, Message: "spec.suspend is true: nothing is changed"}
	all["suspended"] = s
	s.State, s.Decision = reconciler.StateOrphaned, decide.Decision{Verb: decide.Hold, Reason: decide.Orphaned, Message: "the plan is in no file of the branch"}
	s.Path = ""
	all["orphaned"] = s

	s = steadyAt25()
	s.State, s.Decision = reconciler.StateInvalid, decide.Decision{Verb: decide.Hold, Reason: decide.Invalid, Message: "the plan at the branch's head does not validate; 5f3c1a2e governs"}
	_, s.Problems = plan.Decode("plans/onap-so.yaml", []byte("apiVersion: changeover.dev/v1alpha1\nkind: MigrationPlan\nmetadata: {name: onap-so}\nspec: {position: {phase: gradual, percent: 150}}\n"))
	s.Problems = s.Problems[:1]
	all["invalid"] = s

	s = steadyAt25()
	s.State, s.Declared, s.Effective = reconciler.StateComplete, at(100), at(100)
	s.Observed.Gateway.Stop, s.Observed.Cluster.Stop = at(100), at(100)
	s.Decision = decide.Decision{Verb: decide.Complete, Reason: decide.Completed, Message: "the last stop has passed its gates; they go on being watched until 2026-03-30"}
	all["complete"] = s

	s = waits(block(decide.GateNoData, "rollback gate many-errors at gradual@25 has no data", time.Time{}))
	s.Gates[1].Verdict, s.Gates[1].Now, s.Gates[1].Detail = gates.NoData, gates.NoData, "0 of 21 points of the last 5m are known (errors: no series); errors unknown: no series"
	s.Blind = &decide.Blindness{Stop: at(25), Since: before(17 * time.Minute), Told: true}
	all["blind"] = s
}

// TestStatusSaysWhatAnOperatorAsks compares each state with its golden file, and
// holds that lines fit a screen.
func TestStatusSaysWhatAnOperatorAsks(t *testing.T) {
	for name, s := range states() {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			(&app{stdout: &out, stderr: &out, now: func() time.Time { return night }}).describe(s, false)
			got := out.String()
			inProblem := false
			for _, line := range strings.Split(got, "\n") {
				// A problem quotes its file as it is.
				inProblem = strings.HasPrefix(line, "Problem:") || inProblem && strings.HasPrefix(line, "   ")
				if n := utf8.RuneCountInString(line); n > screen.Width && !inProblem {
					t.Errorf("%d characters: %s", n, line)
				}
			}
			for _, asks := range []string{"State:", "Doing:", "Why:", "Next:", "Checked:", "What to do:"} {
				if !strings.Contains(got, asks) {
					t.Errorf("it does not say %q", asks)
				}
			}
			if !strings.Contains(got, "Looks again:") && !strings.Contains(got, "Waits until:") {
				t.Error("it does not say when it looks again")
			}
			golden := filepath.Join("testdata", "status", name+".txt")
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s differs (-want +got); -update writes it anew:\n%s", golden, diff)
			}
		})
	}
}
