package web_test

import (
	"strings"
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

func TestGatesShowTheirCourseTheirLimitAndSinceWhen(t *testing.T) {
	f := live.New()
	s := waiting()
	for i, v := range []float64{0, 0.005, 0.01, 0.02} {
		s.CheckedAt = now.Add(time.Duration(i-3) * 10 * time.Minute)
		s.Gates = waiting().Gates
		s.Gates[0].Values = map[string]float64{"errors": v}
		s.Gates[1].Values = s.Gates[0].Values
		s.Gates[0].Verdict = []gates.Verdict{gates.Pass, gates.Fail}[i/2]
		f.Put(s)
	}
	o := options(&fakePlans{statuses: []reconciler.Status{s}})
	o.Feed = f
	body := get(t, web.Handler(o), "/plans/default/shop").Body.String()
	wantAll(t, body, `aria-label="errors over the last 30m: between 0 and 0.02, limit 0.01"`, `<path class="limit" d="M0 20H200"/>`,
		`<path class="course" d="M3 37L67.7 28.5L132.3 20L197 3"/>`, `>Fail</span> <span class="soft">for 10m</span>`,
		`<rect class="good" x="0" width="133.3" height="4"/><rect class="warn" x="133.3" width="66.7" height="4"/>`)
}

func TestALimitIsDrawnOnlyWhereItIsPlain(t *testing.T) {
	for expr, want := range map[string]string{
		"signal.errors < 0.01": "limit 0.01", "signal.errors>=1e-3 && signal.p95 < 2": "limit 0.001", "(signal.errors > 3)": "limit 3", "baseline.errors < 4": "",
		"signal.errors < 1.2 * baseline.errors": "", "signal.errors + 1.0 < 3": "", "quantile(series.errors, 0.9) < 2": "", "signal.more_errors < 2": "",
	} {
		s := waiting()
		s.Gates = s.Gates[:1]
		s.Gates[0].Expr = expr
		body := get(t, web.Handler(options(&fakePlans{statuses: []reconciler.Status{s}})), "/plans/default/shop").Body.String()
		_, got, _ := strings.Cut(body, "<strong>0.004</strong>")
		got, _, _ = strings.Cut(got, "</p>")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

func TestTheHistoryLinksRollbacksToTheirCommits(t *testing.T) {
	bad, undo := plan.Revision("abcdef0123456789"), plan.Revision("9876543210fedcba")
	s := waiting()
	s.Changes = []decide.Change{
		{Commit: bad, From: stops[1], To: stops[2], Raise: true, Subject: "shop: 25 %", Author: "dana@example.com", At: now.Add(-time.Hour)},
		{Commit: undo, From: stops[2], To: stops[1], Lower: true, RollbackOf: bad, Subject: `Revert "shop: 25 %"`, At: now.Add(-20 * time.Minute)},
	}
	f := &fakePlans{statuses: []reconciler.Status{s}, history: []reconciler.Entry{
		{At: now.Add(-30 * time.Minute), Verb: decide.Rollback, Reason: decide.Breach, From: stops[2], To: stops[1], Message: "high-errors is breached", Commits: []plan.Revision{bad}},
	}}
	body := get(t, web.Handler(options(f)), "/plans/default/shop").Body.String()
	wantAll(t, body, `<li id="c-abcdef0123"`, `<li id="c-9876543210"`, `rolls back <a href="#c-abcdef0123">`, `undone by <a href="#c-9876543210">`, `undoes <a href="#c-abcdef0123">`,
		"Rolled back from gradual 25 % to gradual 10 %", "Declares gradual 25 %, before gradual 10 %.", "dana@example.com")
	at := func(s string) int { return strings.Index(body, s) }
	if r, d, c := at(`<li id="c-9876543210"`), at("high-errors is breached"), at(`<li id="c-abcdef0123"`); r > d || d > c {
		t.Errorf("it is not newest first: revert at %d, rollback at %d, commit at %d", r, d, c)
	}
}

func TestThePageShowsSplitWorkAndShadow(t *testing.T) {
	s := waiting()
	s.Split = &split.Report{Declared: []plan.Percent{10}, Requests: split.Pair{Legacy: 11000, Modern: 1000}, Off: "100 of 12000 requests went astray", Intervals: 2, Last: "100 of 12000 requests went astray"}
	s.Work = []reconciler.Progress{{Name: "transforms", Total: 1000, Finished: 250, Failed: 2, Rate: 5, Message: "invoices"}}
	s.Shadow = &reconciler.ShadowReport{MatchRate: 0.9987, Coverage: 0.5, Comparisons: 12345}
	f := &fakePlans{statuses: []reconciler.Status{s}}
	h := web.Handler(options(f))
	wantAll(t, get(t, h, "/plans/default/shop").Body.String(), "10 % modern, 90 % legacy", "8.333 % modern of 12,000 requests", `<p class="note bad">100 of 12000`,
		`<progress max="1000" value="250"`, "250 of 1,000 done, 5 a second, about 2m30s left: invoices.", "2 failed.", "99.87 %", "50 %", "12,345")
	f.statuses[0].Shadow = &reconciler.ShadowReport{Unknown: "nothing was compared yet"}
	f.statuses[0].Split = nil
	wantAll(t, get(t, h, "/plans/default/shop").Body.String(), "Not known: nothing was compared yet.", "Nobody counts the requests")
}

func TestEveryStateSaysWhatItDoes(t *testing.T) {
	said := map[string]reconciler.State{}
	for _, state := range []reconciler.State{
		reconciler.StateSteady, reconciler.StateWaiting, reconciler.StateQuarantined, reconciler.StateHalted, reconciler.StateSuspended, reconciler.StateComplete,
		reconciler.StateInvalid, reconciler.StateOrphaned, reconciler.StateDegraded,
	} {
		s := waiting()
		s.State = state
		text := web.Doing(s)
		if other, ok := said[text]; ok || !strings.Contains(text, "gradual 10 %") {
			t.Errorf("%s: %q (also %s)", state, text, other)
		}
		said[text] = state
	}
	s := waiting()
	s.Move = &decide.Move{Verb: decide.Rollback, From: stops[2], To: stops[1]}
	wantAll(t, web.Doing(s), "Rolls back from gradual 25 % to gradual 10 %.")
	s.Move.Verb = decide.Retreat
	wantAll(t, web.Doing(s), "Goes back", "as Git declares")
	s.Move = nil
	s.Pending = &decide.Pending{}
	wantAll(t, web.Doing(s), "Traffic is back at gradual 10 %", "not in Git yet")
	wantAll(t, web.Doing(reconciler.Status{}), "Has not entered")
}

func TestTheListPutsFirstWhoNeedsAPerson(t *testing.T) {
	var all []reconciler.Status
	for i, state := range []reconciler.State{reconciler.StateSteady, reconciler.StateWaiting, reconciler.StateHalted, reconciler.StateWaiting} {
		s := waiting()
		s.Key.Name, s.State = string(rune('a'+i)), state
		all = append(all, s)
	}
	all[3].Blind = &decide.Blindness{Stop: stops[1], Told: true}
	w := get(t, web.Handler(options(&fakePlans{statuses: all})), "/")
	body := w.Body.String()
	wantAll(t, body, "<title>2 of 4 plans need a person - Changeover</title>", `<strong class="n-need">2</strong>`, `<strong class="n-move">1</strong>`, `<strong class="n-calm">1</strong>`)
	order := ""
	for _, part := range strings.Split(body, `href="/plans/default/`)[1:] {
		order += part[:1]
	}
	if order != "cdba" {
		t.Errorf("the order is %s", order)
	}
}
