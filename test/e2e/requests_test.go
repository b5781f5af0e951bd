package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/changeover-dev/changeover/test/load"
	"github.com/changeover-dev/changeover/test/stack"
)

// TestNoRequestFailsAndCallersStay: promotions 25 -> 50, a breach, the
// automatic rollback, and back to setup, under 200 requests a second of GET and
// POST on fresh and kept connections. No request fails; no caller that modern
// served at 25 % is missing at 50 %, and a rollback to 25 % gives the same
// callers again.
func TestNoRequestFailsAndCallersStay(t *testing.T) {
	t.Parallel()
	// What breaches at 50 % does not at 25 %: else a daemon that looks before the
	// probe is quiet again goes back further.
	alarm := strings.Replace(alarmPlan, "expr: signal.probe > 0.5}", "expr: signal.probe > 0.5 && position.percent > 25.0}", 1)
	if alarm == alarmPlan {
		t.Fatal("the plan has another alarm")
	}
	for _, gateway := range []string{"nginx", "bridge"} {
		t.Run(gateway, func(t *testing.T) {
			t.Parallel()
			p := newProbe(t)
			s := stack.Start(t, stack.Options{Bin: bin, Gateway: gateway, Plan: alarm, Targets: []string{p.addr}})
			s.StartDaemon()
			s.Await("steady at setup", await, steadyAt("setup"))
			l := startLoad(t, s)
			var total load.Tally
			rounds := count(2, 10)
			for range rounds {
				promoteAndRollBack(t, s, p, l, &total)
			}
			t.Logf("%d promotions and rollbacks through %s: %s", rounds, gateway, total)
			for _, f := range total.Failed {
				t.Error(f)
			}
			if total.Requests < 1000 {
				t.Errorf("only %d requests were sent", total.Requests)
			}
			if gateway == "bridge" && total.Idle > 0 {
				t.Errorf("the bridge closed %d idle connections: it reloads nothing", total.Idle)
			}
		})
	}
}

func promoteAndRollBack(t *testing.T, s *stack.Stack, p *probe, l *load.Load, total *load.Tally) {
	t.Helper()
	s.Declare("gradual@25")
	s.Await("steady at 25 %", await, steadyAt("gradual@25"))
	at25 := look(l, total)
	s.Declare("gradual@50")
	s.Await("steady at 50 %", await, steadyAt("gradual@50"))
	at50 := look(l, total)
	if len(at25) < 45 || len(at25) > 105 || len(at50) < 115 || len(at50) > 185 {
		t.Errorf("of 300 callers modern served %d at 25 %% and %d at 50 %%", len(at25), len(at50))
	}
	for c := range at25 {
		if !at50[c] {
			t.Errorf("%s was on modern at 25 %% and is not at 50 %%", c)
		}
	}
	p.set("probe 1\n")
	s.Await("rolled back to 25 %", await, steadyAt("gradual@25"))
	p.set("probe 0\n")
	again := look(l, total)
	for c := range at25 {
		if !again[c] {
			t.Errorf("%s was on modern at 25 %% before the rollback and is not after it", c)
		}
	}
	s.Declare("setup")
	s.Await("steady at setup", await, steadyAt("setup"))
	if on := look(l, total); len(on) > 0 {
		t.Errorf("modern serves %d callers at setup", len(on))
	}
}

// look waits until every caller was served anew, and returns those on modern.
// What was tallied so far goes to the total.
func look(l *load.Load, total *load.Tally) map[string]bool {
	add(total, l.Tally())
	l.Reset()
	for l.Seen() < 300 {
		time.Sleep(20 * time.Millisecond)
	}
	return l.On("modern")
}

func add(total *load.Tally, t load.Tally) {
	total.Requests += t.Requests
	total.Idle += t.Idle
	total.Failed = append(total.Failed, t.Failed...)
	if total.Sides == nil {
		total.Sides = map[string]int{}
	}
	for k, v := range t.Sides {
		total.Sides[k] += v
	}
}
