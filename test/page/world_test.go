package page

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/live"
	"github.com/changeover-dev/changeover/reconciler/split"
	"github.com/changeover-dev/changeover/reconciler/web"
)

// world is a daemon of which only what the page asks is there.
type world struct {
	mu      sync.Mutex
	now     time.Time
	plans   map[plan.Key]reconciler.Status
	entries map[plan.Key][]reconciler.Entry
	ready   error
	feed    *live.Feed
}

var _ web.Plans = (*world)(nil)

var noon = time.Date(2026, 11, 28, 3, 12, 0, 0, time.UTC)

func newWorld(all ...reconciler.Status) *world {
	w := &world{now: noon, plans: map[plan.Key]reconciler.Status{}, entries: map[plan.Key][]reconciler.Entry{}, feed: live.New()}
	for _, s := range all {
		w.put(s)
	}
	return w
}

// put shows a status, as the reconciler would.
func (w *world) put(s reconciler.Status) {
	w.mu.Lock()
	w.plans[s.Key] = s
	w.mu.Unlock()
	w.feed.Put(s)
}

// clock moves on.
func (w *world) clock(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) Statuses() (out []reconciler.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.plans {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b reconciler.Status) int { return plan.CompareKeys(a.Key, b.Key) })
	return out
}

func (w *world) Status(k plan.Key) (reconciler.Status, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.plans[k]
	return s, ok
}

func (w *world) History(_ context.Context, k plan.Key, n int) ([]reconciler.Entry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.entries[k]
	return slices.Clone(all[max(0, len(all)-n):]), nil
}

func (w *world) RequestRollback(context.Context, plan.Key, plan.Position, string) (reconciler.Status, error) {
	panic("the page changes nothing")
}

func (w *world) Ready() error { return w.ready }

// serve serves the page of the world.
func serve(t *testing.T, w *world) *httptest.Server {
	t.Helper()
	return serveAt(t, w, "127.0.0.1:0")
}

// serveAt serves it at an address.
func serveAt(t *testing.T, w *world, address string) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(web.Handler(web.Options{Plans: w, Feed: w.feed, Now: w.Now, Version: "v0.9.0"}))
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(func() {
		w.feed.Close()
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func at(phase string, percent plan.Percent) plan.Position {
	return plan.Position{Phase: phase, Percent: percent}
}

var journey = plan.Itinerary{
	at("setup", 0), at("shadow", 0), at("gradual", 10), at("gradual", 25), at("gradual", 50), at("gradual", 75), at("gradual", 100), at("sunset", 0),
}

func rev(c string) plan.Revision {
	out := ""
	for len(out) < 40 {
		out += c
	}
	return plan.Revision(out[:40])
}

func changesOf(to ...plan.Position) (out []decide.Change) {
	from := plan.Position{}
	for i, p := range to {
		subject := fmt.Sprintf("onap-so: move on to %s", p)
		if i == 0 {
			subject = "onap-so: add the plan"
		}
		out = append(out, decide.Change{
			Commit: rev(fmt.Sprintf("%x7c4e%d9b2a", i+1, i)), From: from, To: p, Raise: true, Subject: subject, Author: "dana@example.com",
			At: noon.Add(time.Duration(i-len(to)) * 26 * time.Hour),
		})
		from = p
	}
	return out
}

func gate(stop plan.Position, e plan.Effect, name string, v gates.Verdict, expr string, values map[string]float64) gates.Result {
	r := gates.Result{Key: gates.Key{Revision: rev("7c4e29b2a"), Stop: stop, Effect: e, Name: name}, Verdict: v, Now: v, Expr: expr, Values: values}
	for _, n := range []string{"modernErrorRate", "modernP95"} {
		if x, ok := values[n]; ok {
			r.Detail += fmt.Sprintf("signal.%s=%.4g; ", n, x)
		}
	}
	if len(r.Detail) > 0 {
		r.Detail = r.Detail[:len(r.Detail)-2]
	}
	return r
}

// blocked is a plan that a gate and an approval keep from going forward.
func blocked() reconciler.Status {
	here := at("gradual", 25)
	s := reconciler.Status{
		Key: plan.Key{Namespace: "migrations", Name: "onap-so"}, Path: "plans/onap-so.yaml", Declared: at("gradual", 50), Effective: here,
		Since: noon.Add(-51 * time.Hour), State: reconciler.StateWaiting, Head: rev("57c4e49b2a"), Applied: rev("47c4e39b2a"), Itinerary: journey,
		Changes: changesOf(at("setup", 0), at("shadow", 0), at("gradual", 10), here, at("gradual", 50)),
		Decision: decide.Decision{Verb: decide.Hold, Target: here, Reason: decide.GateFailed, Next: at("gradual", 50),
			Message: "advance gate few-errors of gradual@25 fails (signal.modernErrorRate=0.0182)",
			Blocks: []decide.Block{
				{Reason: decide.ApprovalMissing, Message: "1 of 1 approvals of operations is missing for gradual@50"},
				{Reason: decide.NotBefore, Message: "gradual@50 is not entered before 2026-11-28 09:00 UTC", Until: noon.Add(348 * time.Minute)},
				{Reason: decide.GateFailed, Message: "advance gate few-errors of gradual@25 fails (signal.modernErrorRate=0.0182)"},
			}},
		Gates: gates.Results{
			gate(here, plan.Advance, "few-errors", gates.Fail, "signal.modernErrorRate < 0.01", map[string]float64{"modernErrorRate": 0.0182}),
			gate(here, plan.Advance, "fast", gates.Pass, "signal.modernP95 < 1.2 * baseline.legacyP95", map[string]float64{"modernP95": 0.231, "baseline.legacyP95": 0.244}),
			gate(here, plan.Advance, "enough-shadow", gates.NoData, "shadow.matchRate > 0.999", nil),
			gate(here, plan.Pause, "more-errors", gates.Fail, "signal.modernErrorRate >= 0.02", map[string]float64{"modernErrorRate": 0.0182}),
			gate(here, plan.Breaches, "many-errors", gates.Fail, "signal.modernErrorRate > 0.03", map[string]float64{"modernErrorRate": 0.0182}),
		},
		Split:     &split.Report{Declared: []plan.Percent{25}, Requests: split.Pair{Legacy: 36180, Modern: 12004}},
		Work:      []reconciler.Progress{{Name: "entities", Total: 12400, Finished: 8312, Failed: 3, Rate: 14.2, Message: "hands over the oldest first"}},
		Shadow:    &reconciler.ShadowReport{MatchRate: 0.99873, Coverage: 0.412, Comparisons: 184223},
		CheckedAt: noon, GitReadAt: noon.Add(-4 * time.Second),
	}
	s.Gates[2].Detail = "shadow unknown: http://127.0.0.1:8081 compares nothing at this stop: no route has mirror.compare"
	s.Observed.Gateway = decide.Part{Known: true, Healthy: true, Stop: here}
	s.Observed.Cluster = decide.Part{Known: true, Healthy: true, Stop: here}
	return s
}

// rollingBack is one whose rollback is under way, its revert not in Git yet.
func rollingBack() reconciler.Status {
	s := blocked()
	here, to := at("gradual", 50), at("gradual", 25)
	s.Key.Name = "payments"
	s.Effective, s.Declared, s.State, s.Since = here, here, reconciler.StateRollingBack, noon.Add(-11*time.Minute)
	s.Gates = gates.Results{
		gate(here, plan.Advance, "few-errors", gates.Fail, "signal.modernErrorRate < 0.01", map[string]float64{"modernErrorRate": 0.0871}),
		gate(here, plan.Breaches, "many-errors", gates.Pass, "signal.modernErrorRate > 0.03", map[string]float64{"modernErrorRate": 0.0871}),
	}
	s.Gates[1].Message = "modern fails too often"
	s.Decision = decide.Decision{Verb: decide.Rollback, Target: to, Reason: decide.Breach, Undo: []plan.Revision{s.Changes[4].Commit},
		Message: "rollback gate many-errors of gradual@50 is breached (signal.modernErrorRate=0.0871): modern fails too often", Evidence: s.Gates[1:]}
	s.Move = &decide.Move{Verb: decide.Rollback, From: here, To: to, Step: decide.StepTraffic, Started: noon.Add(-9 * time.Second)}
	s.Pending = &decide.Pending{Undo: s.Decision.Undo, From: here, Target: to, Reason: decide.Breach, At: noon.Add(-9 * time.Second)}
	s.Split = &split.Report{Declared: []plan.Percent{50}, Requests: split.Pair{Legacy: 5011, Modern: 4990}}
	s.Shadow, s.Work = nil, nil
	return s
}

// rolledBack is one that was rolled back, and whose commit is on hold.
func rolledBack() reconciler.Status {
	s := blocked()
	s.Key.Name = "orders"
	s.Declared, s.State = s.Effective, reconciler.StateQuarantined
	bad := s.Changes[4].Commit
	s.Changes = append(s.Changes, decide.Change{Commit: rev("e0a7f19c"), From: at("gradual", 50), To: s.Effective, Lower: true, RollbackOf: bad,
		Subject: `Revert "onap-so: move on to gradual@50"`, Author: "changeover@localhost", At: noon.Add(-40 * time.Minute)})
	s.Changes[4].At = noon.Add(-2 * time.Hour)
	s.Holds = []decide.HoldOf{{Commit: bad, At: noon.Add(-41 * time.Minute)}}
	s.Decision = decide.Decision{Verb: decide.Hold, Reason: decide.Quarantined, Message: "commit " + bad.Short() + " was rolled back and is not applied again by itself"}
	return s
}

// entriesOf tells what the daemon did until a plan was rolled back.
func entriesOf(s reconciler.Status) []reconciler.Entry {
	bad := s.Changes[4].Commit
	return []reconciler.Entry{
		{At: noon.Add(-78 * time.Hour), Verb: decide.Advance, Reason: decide.GatesPassed, From: at("shadow", 0), To: at("gradual", 10), Message: "all gates pass"},
		{At: noon.Add(-51 * time.Hour), Verb: decide.Advance, Reason: decide.GatesPassed, From: at("gradual", 10), To: at("gradual", 25), Message: "all gates pass"},
		{At: noon.Add(-118 * time.Minute), Verb: decide.Advance, Reason: decide.GatesPassed, From: at("gradual", 25), To: at("gradual", 50), Message: "all gates pass"},
		{At: noon.Add(-41 * time.Minute), Verb: decide.Rollback, Reason: decide.Breach, From: at("gradual", 50), To: at("gradual", 25), Commits: []plan.Revision{bad},
			Message: "rollback gate many-errors of gradual@50 is breached (signal.modernErrorRate=0.0871): modern fails too often"},
		{At: noon.Add(-40 * time.Minute), Verb: decide.Rollback, Reason: decide.Breach, From: at("gradual", 50), To: at("gradual", 25), Commits: []plan.Revision{rev("e0a7f19c")},
			Message: "the revert is on the branch at " + rev("e0a7f19c").Short()},
	}
}

// lived puts a status in again and again, so that there is a past to draw: the
// errors rise to what they are.
func (w *world) lived(s reconciler.Status) {
	end := s.CheckedAt
	for i := range 120 {
		p := s
		p.CheckedAt = end.Add(time.Duration(i-119) * 30 * time.Second)
		p.Gates = slices.Clone(s.Gates)
		for j := range p.Gates {
			values := map[string]float64{}
			for name, v := range s.Gates[j].Values {
				x := float64(i) / 119
				values[name] = v * (0.35 + 0.65*x*x*x + 0.09*math.Sin(float64(i)*0.7+v)*(1-x))
				if name == "modernP95" {
					values[name] = v * (1 + 0.06*math.Sin(float64(i)*0.33)*(1-x))
				}
			}
			p.Gates[j].Values = values
			if i < 95 && p.Gates[j].Name == "few-errors" {
				p.Gates[j].Verdict = gates.Pass
			}
			if i < 116 && p.Gates[j].Name == "many-errors" {
				p.Gates[j].Verdict = gates.Fail
			}
		}
		w.feed.Put(p)
	}
	w.put(s)
}

// many are plans in every state.
func many(n int) (out []reconciler.Status) {
	states := []reconciler.State{reconciler.StateSteady, reconciler.StateWaiting, reconciler.StateComplete, reconciler.StateProgressing, reconciler.StateSteady,
		reconciler.StateDegraded, reconciler.StateSteady, reconciler.StateWaiting, reconciler.StateSuspended, reconciler.StateSteady}
	for i := range n {
		s := blocked()
		s.Key.Name = fmt.Sprintf("service-%03d", i)
		s.State = states[i%len(states)]
		s.Effective = journey[i%len(journey)]
		s.Declared = journey[min(len(journey)-1, i%len(journey)+i%2)]
		s.Since = noon.Add(-time.Duration(i+1) * 37 * time.Minute)
		if s.State == reconciler.StateSteady || s.State == reconciler.StateComplete {
			s.Declared = s.Effective
			s.Decision = decide.Decision{Verb: decide.Hold, Reason: decide.Steady, Message: "the plan is where Git declares it"}
		}
		out = append(out, s)
	}
	return out
}
