package conformance

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// HistoryBound is how many entries of a plan's history a Recorder keeps at
// least, and how many it returns at most.
const HistoryBound = 500

// Recorder runs the suite of reconciler.Recorder. Each call of open gives an
// empty one.
func Recorder(t *testing.T, open func(t *testing.T) reconciler.Recorder) {
	for name, check := range map[string]func(*testing.T, reconciler.Recorder){
		"an empty recorder knows nothing":                   emptyKnowsNothing,
		"a saved record is loaded as it was":                savedIsLoaded,
		"the last save wins":                                lastSaveWins,
		"plans do not touch each other":                     plansAreApart,
		"keys lists the plans with a record, sorted":        keysAreSorted,
		"status is apart from the record":                   statusIsApart,
		"a record shares no memory with its caller":         recordIsACopy,
		"history returns the newest, oldest first":          historyIsOrdered,
		"history is bounded":                                historyIsBounded,
		"values that JSON cannot hold do not stop a record": valuesDoNotStop,
		"several goroutines may work at once":               worksConcurrently,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	one  = plan.Key{Namespace: "migrations", Name: "onap-so"}
	two  = plan.Key{Namespace: "migrations", Name: "nephoran"}
	at10 = plan.Position{Phase: "gradual", Percent: 10}
	at25 = plan.Position{Phase: "gradual", Percent: 25}
)

// SampleRecord has every field set. Two of one seed are equal.
func SampleRecord(seed int) decide.Record {
	rev := func(n int) plan.Revision { return plan.Revision(fmt.Sprintf("%040x", 1000*seed+n)) }
	evidence := gates.Results{{
		Key:     gates.Key{Revision: rev(1), Stop: at25, Effect: plan.Breaches, Name: "high-errors"},
		Verdict: gates.Pass, Now: gates.Pass, Expr: "signal.errors > 0.03", Message: "<errors> & more",
		Detail: "errors is 0.071", Values: map[string]float64{"errors": 0.071, "zero": 0},
	}}
	return decide.Record{
		Applied: &decide.Applied{
			Revision: rev(1), Content: "sha256:aa", Live: "sha256:bb", Stop: at25,
			Since: noon, PhaseSince: noon.Add(-time.Hour), Backward: true,
		},
		Good: &decide.Good{Revision: rev(2), Stop: at10},
		Move: &decide.Move{
			Verb: decide.Rollback, From: at25, To: at10, Revision: rev(2), Content: "sha256:aa", Live: "sha256:bb",
			Step: decide.StepTraffic, Started: noon, Attempts: 3, Error: `reload nginx: exit status 1: "emerg"`,
		},
		Seen: rev(3),
		Changes: []decide.Change{
			{Commit: rev(2), From: plan.Position{}, To: at10, Raise: true, Content: true, Live: true, Subject: "start", At: noon},
			{Commit: rev(1), Parent: rev(2), From: at10, To: at25, Raise: true, Subject: "25 %", At: noon},
			{Commit: rev(3), Parent: rev(1), From: at25, To: at10, Lower: true, RollbackOf: rev(1), Reverts: rev(1), Unhold: rev(9), Resume: true, At: noon},
		},
		Holds: []decide.HoldOf{{Commit: rev(1), At: noon, Evidence: evidence}},
		Pending: &decide.Pending{
			Undo: []plan.Revision{rev(1)}, From: at25, Target: at10, Message: "errors\nare high", Evidence: evidence,
			At: noon, Attempts: 2, Error: "push: no route", Branch: "changeover/rollback-x",
		},
		Halt:        &decide.HaltOf{Reason: decide.HistoryRewritten, Message: "history was rewritten", At: noon, Head: rev(4)},
		Rollbacks:   []time.Time{noon.Add(-time.Hour), noon},
		Baselines:   map[string]decide.Baseline{"legacyP95": {Signal: "p95", Value: 0.1, At: noon, Stop: at10, Revision: rev(2)}},
		LiftedAt:    noon,
		CompletedAt: noon,
	}
}

func entry(n int) reconciler.Entry {
	return reconciler.Entry{
		At: noon.Add(time.Duration(n) * time.Second), Verb: decide.Advance, Reason: decide.GatesPassed,
		From: at10, To: at25, Message: fmt.Sprintf("entry %d\nof \"several\"", n), Commits: []plan.Revision{"ab", "cd"},
		Evidence: gates.Results{{Key: gates.Key{Name: "low"}, Verdict: gates.NoData, Values: map[string]float64{"x": float64(n)}}},
	}
}

func status(key plan.Key, message string) reconciler.Status {
	return reconciler.Status{
		Key: key, Path: "plans/a.yaml", Declared: at25, Effective: at10, Since: noon, State: reconciler.StateWaiting,
		Decision:  decide.Decision{Verb: decide.Hold, Reason: decide.Baking, Message: message, RecheckAt: noon},
		Itinerary: plan.Itinerary{at10, at25}, Observed: decide.Observed{Gateway: decide.Part{Known: true, Stop: at10, Healthy: true}},
		Problems: []plan.Problem{{File: "a.yaml", Line: 3, Column: 4, Code: "unknown-field", Message: "m"}}, CheckedAt: noon, GitReadAt: noon,
	}
}

func emptyKnowsNothing(t *testing.T, r reconciler.Recorder) {
	ctx := t.Context()
	keys, err := r.Keys(ctx)
	want(t, "Keys", keys, []plan.Key(nil), err)
	_, ok, err := r.Load(ctx, one)
	want(t, "Load: ok", ok, false, err)
	_, ok, err = r.LoadStatus(ctx, one)
	want(t, "LoadStatus: ok", ok, false, err)
	h, err := r.History(ctx, one, 10)
	want(t, "length of History", len(h), 0, err)
}

func savedIsLoaded(t *testing.T, r reconciler.Recorder) {
	for _, rec := range []decide.Record{SampleRecord(1), {}} {
		must(t, r.Save(t.Context(), one, rec))
		got, ok, err := r.Load(t.Context(), one)
		want(t, "Load: ok", ok, true, err)
		want(t, "Load", got, rec, nil)
	}
}

func lastSaveWins(t *testing.T, r reconciler.Recorder) {
	for n := range 5 {
		must(t, r.Save(t.Context(), one, SampleRecord(n)))
	}
	got, _, err := r.Load(t.Context(), one)
	want(t, "Load", got, SampleRecord(4), err)
}

func plansAreApart(t *testing.T, r reconciler.Recorder) {
	ctx := t.Context()
	keys := []plan.Key{
		one, two, {Namespace: "other", Name: "onap-so"}, {Namespace: "migrations-onap", Name: "so"},
		{Namespace: "a", Name: "b.c"}, {Namespace: "a.b", Name: "c"}, {Namespace: "A", Name: "b.c"},
		{Namespace: "..", Name: ".."}, {Namespace: ".", Name: "a/../b"}, {Namespace: "a/b", Name: "c"}, {Namespace: "a", Name: "b/c"},
		{Namespace: "a%2f", Name: "b"}, {Namespace: "", Name: "b"}, {Namespace: "a", Name: ""}, {Namespace: "a\x00\n", Name: "ü"},
	}
	for i, k := range keys {
		must(t, r.Save(ctx, k, SampleRecord(i)))
		must(t, r.Append(ctx, k, entry(i)))
		must(t, r.SaveStatus(ctx, status(k, k.String())))
	}
	for i, k := range keys {
		rec, ok, err := r.Load(ctx, k)
		want(t, fmt.Sprintf("Load(%q): ok", k), ok, true, err)
		want(t, fmt.Sprintf("Load(%q)", k), rec, SampleRecord(i), nil)
		h, err := r.History(ctx, k, 10)
		want(t, fmt.Sprintf("History(%q)", k), h, []reconciler.Entry{entry(i)}, err)
		s, _, err := r.LoadStatus(ctx, k)
		want(t, fmt.Sprintf("LoadStatus(%q)", k), s, status(k, k.String()), err)
	}
	got, err := r.Keys(ctx)
	want(t, "number of Keys", len(got), len(keys), err)
}

func keysAreSorted(t *testing.T, r reconciler.Recorder) {
	ctx := t.Context()
	other := plan.Key{Namespace: "a", Name: "z"}
	for _, k := range []plan.Key{one, other, two} {
		must(t, r.Save(ctx, k, decide.Record{}))
	}
	historyOnly := plan.Key{Namespace: "a", Name: "history-only"}
	must(t, r.Append(ctx, historyOnly, entry(1)))
	must(t, r.SaveStatus(ctx, status(historyOnly, "")))
	keys, err := r.Keys(ctx)
	want(t, "Keys", keys, []plan.Key{other, two, one}, err)
}

func statusIsApart(t *testing.T, r reconciler.Recorder) {
	ctx := t.Context()
	must(t, r.Save(ctx, one, SampleRecord(1)))
	_, ok, err := r.LoadStatus(ctx, one)
	want(t, "LoadStatus: ok", ok, false, err)
	must(t, r.SaveStatus(ctx, status(one, "first")))
	must(t, r.SaveStatus(ctx, status(one, "second")))
	s, ok, err := r.LoadStatus(ctx, one)
	want(t, "LoadStatus: ok", ok, true, err)
	want(t, "LoadStatus", s, status(one, "second"), nil)
	rec, _, err := r.Load(ctx, one)
	want(t, "Load", rec, SampleRecord(1), err)
}

func recordIsACopy(t *testing.T, r reconciler.Recorder) {
	rec := SampleRecord(1)
	must(t, r.Save(t.Context(), one, rec))
	rec.Applied.Stop = plan.Position{Phase: "sunset"}
	rec.Holds[0].Evidence[0].Values["errors"] = 9
	got, _, err := r.Load(t.Context(), one)
	want(t, "Load after the caller changed what it saved", got, SampleRecord(1), err)
	got.Rollbacks[0] = time.Time{}
	got, _, err = r.Load(t.Context(), one)
	want(t, "Load after the caller changed what it loaded", got, SampleRecord(1), err)
}

func historyIsOrdered(t *testing.T, r reconciler.Recorder) {
	ctx := t.Context()
	for n := range 5 {
		must(t, r.Append(ctx, one, entry(n)))
	}
	for n, wanted := range map[int][]reconciler.Entry{
		-1: {}, 0: {}, 1: {entry(4)}, 3: {entry(2), entry(3), entry(4)},
		100: {entry(0), entry(1), entry(2), entry(3), entry(4)}, math.MaxInt: {entry(0), entry(1), entry(2), entry(3), entry(4)},
	} {
		h, err := r.History(ctx, one, n)
		if err == nil && len(h) == 0 && len(wanted) == 0 {
			continue // nil or empty is all one
		}
		want(t, fmt.Sprintf("History(%d)", n), h, wanted, err)
	}
}

func historyIsBounded(t *testing.T, r reconciler.Recorder) {
	const all = HistoryBound + 250
	for n := range all {
		must(t, r.Append(t.Context(), one, entry(n)))
	}
	h, err := r.History(t.Context(), one, 10*all)
	want(t, "length of History", len(h), HistoryBound, err)
	for i, e := range h {
		want(t, fmt.Sprintf("entry %d", i), e, entry(all-HistoryBound+i), nil)
	}
}

func valuesDoNotStop(t *testing.T, r reconciler.Recorder) {
	ctx := t.Context()
	rec, s, e := SampleRecord(1), status(one, ""), entry(1)
	s.Gates = SampleRecord(1).Holds[0].Evidence
	s.Decision.Evidence = SampleRecord(1).Holds[0].Evidence
	for _, results := range []gates.Results{rec.Holds[0].Evidence, rec.Pending.Evidence, s.Gates, s.Decision.Evidence, e.Evidence} {
		results[0].Values["nan"] = math.NaN()
		results[0].Values["inf"] = math.Inf(-1)
	}
	must(t, r.Save(ctx, one, rec))
	got, _, err := r.Load(ctx, one)
	want(t, "Load without those values", got, SampleRecord(1), err)
	if len(rec.Holds[0].Evidence[0].Values) != 4 {
		t.Errorf("Save changed the record of its caller: %v", rec.Holds[0].Evidence[0].Values)
	}
	must(t, r.Append(ctx, one, e))
	h, err := r.History(ctx, one, 1)
	want(t, "History without those values", h, []reconciler.Entry{entry(1)}, err)
	must(t, r.SaveStatus(ctx, s))
	_, ok, err := r.LoadStatus(ctx, one)
	want(t, "LoadStatus: ok", ok, true, err)
}

func worksConcurrently(t *testing.T, r reconciler.Recorder) {
	const rounds = 20
	var wg sync.WaitGroup
	for w := range 4 {
		key := []plan.Key{one, two}[w%2]
		wg.Go(func() {
			for n := range rounds {
				check := func(err error) {
					if err != nil {
						t.Errorf("work concurrently: %v", err)
					}
				}
				ctx := context.Background()
				check(r.Save(ctx, key, SampleRecord(n)))
				check(r.Append(ctx, key, entry(n)))
				check(r.SaveStatus(ctx, status(key, "")))
				_, ok, err := r.Load(ctx, key)
				check(err)
				_, _, err = r.LoadStatus(ctx, key)
				check(err)
				_, err = r.History(ctx, key, 5)
				check(err)
				_, err = r.Keys(ctx)
				check(err)
				if !ok {
					t.Error("work concurrently: a saved record was not there")
				}
			}
		})
	}
	wg.Wait()
	for _, key := range []plan.Key{one, two} {
		h, err := r.History(t.Context(), key, HistoryBound)
		want(t, "length of History", len(h), 2*rounds, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, what string, got, wanted any, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if d := cmp.Diff(wanted, got); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}
