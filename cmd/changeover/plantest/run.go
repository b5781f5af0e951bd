package plantest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/gates/prom/engine"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
	"github.com/changeover-dev/changeover/reconciler/timeline"
)

// Failure is one thing that is not as expected.
type Failure struct {
	Line   int           `json:"line"`
	Column int           `json:"column"`
	At     plan.Duration `json:"at"`
	What   string        `json:"what"`
	Want   string        `json:"want"`
	Got    string        `json:"got"`
}

func (f Failure) String() string {
	return fmt.Sprintf("at %s: %s: expected %s, got %s", f.At, f.What, f.Want, f.Got)
}

func (t *Test) fill(p *plan.Plan) {
	switch {
	case t.unset.position && t.unset.effective:
		t.Position, t.Effective = p.Spec.Position, p.Spec.Position
	case t.unset.position:
		t.Position = t.Effective
		if t.Position.IsZero() {
			t.Position = p.Spec.Position
		}
	case t.unset.effective:
		t.Effective = t.Position
	}
}

// Limits are the daemon's by default.
var Limits = decide.Limits{GitMaxAge: 5 * time.Minute, Cooldown: 30 * time.Minute, MaxPerDay: 3}

// Run runs one test of the file, whose plan has no errors. The error says that
// it could not be run.
func (f *File) Run(ctx context.Context, v plan.Version, t Test) ([]Failure, error) {
	signals, err := f.signals(ctx, v.Plan, t)
	if err != nil {
		return nil, err
	}
	o := timeline.Options{
		Plan: v, From: t.Effective, Start: f.Start, Interval: f.Interval, Limits: Limits, Sampler: signals,
		Author: strings.ToLower(t.Author), Consent: !t.unset.approvals, Objects: map[string]gates.Object{},
	}
	for _, p := range f.contents(v.Plan, t) {
		for name := range p.Spec.Objects {
			o.Objects[name] = gates.Object{Value: t.Objects[name]}
		}
	}
	player, err := timeline.New(o)
	if err != nil {
		return nil, err
	}
	for _, p := range f.plansOf(f.Others) {
		player.Tell(p.Key(), decide.Other{Itinerary: p.Itinerary(), Conflicts: conflict(p, v.Plan)}, gates.PlanState{Unknown: "it is not told"})
	}
	if t.Position != t.Effective || t.Effective.IsZero() {
		if err := player.Commit(f.Start, timeline.Commit{To: t.Position, Author: t.Author}); err != nil {
			return nil, err
		}
	}
	return f.play(player, v.Plan, t)
}

// signals evaluates every query of the plan over the series.
func (f *File) signals(ctx context.Context, p *plan.Plan, t Test) (*prom.Span, error) {
	e, err := engine.New(t.Series)
	if err != nil {
		return nil, err
	}
	c, err := prom.New(prom.Options{Querier: e, Tick: time.Millisecond})
	if err != nil {
		return nil, err
	}
	var needs []gates.Need
	for _, content := range f.contents(p, t) {
		more, err := timeline.Needs(content, f.Interval)
		if err != nil {
			return nil, err
		}
		for _, n := range more {
			if !slices.Contains(needs, n) {
				needs = append(needs, n)
			}
		}
	}
	return c.Span(ctx, needs, f.Start, f.Start.Add(t.end()), f.Interval)
}

// end is when the last thing is expected.
func (t Test) end() (end time.Duration) {
	for _, e := range t.Expect {
		end = max(end, e.At)
	}
	return end
}

func (f *File) play(player *timeline.Player, p *plan.Plan, t Test) (failed []Failure, err error) {
	expected := slices.Clone(t.Expect)
	slices.SortStableFunc(expected, func(a, b Expectation) int { return cmp.Compare(a.At, b.At) })
	start, interval, what := f.Start, f.Interval, f.script(p, t)
	for at := time.Duration(0); len(expected) > 0; at += interval {
		for ; len(what) > 0 && what[0].at <= at; what = what[1:] {
			if err := what[0].happens(player, start.Add(at)); err != nil {
				return failed, err
			}
		}
		var looks []timeline.Look
		if err := player.Step(start.Add(at), func(l timeline.Look) { looks = append(looks, l) }); err != nil {
			return failed, err
		}
		// What is so then holds until the daemon looks again.
		for ; len(expected) > 0 && expected[0].At < at+interval; expected = expected[1:] {
			for _, c := range expected[0].Checks {
				if got, ok := c.compare(looks); !ok {
					failed = append(failed, Failure{
						Line: c.line, Column: c.column, At: plan.Duration(expected[0].At), What: c.what(), Want: c.want, Got: got,
					})
				}
			}
		}
	}
	slices.SortStableFunc(failed, func(a, b Failure) int { return a.Line - b.Line })
	return failed, nil
}

func (c check) what() string {
	if c.kind == ofGate {
		return "gate " + c.gate
	}
	return string(c.kind)
}

// compare looks a check up among the decisions of one time. Gates are as the
// first of them read them; each of the decisions counts, as what moves is
// looked at again at once; the position is where that led.
func (c check) compare(looks []timeline.Look) (got string, ok bool) {
	last := looks[len(looks)-1]
	switch c.kind {
	case ofPosition:
		got = last.Effective.String()
	case ofDeclared:
		got = last.Declared.String()
	case ofDecision:
		var all []string
		for _, l := range looks {
			d := fmt.Sprintf("%s %s", l.Decision.Verb, l.Decision.Reason)
			if d == c.want || string(l.Decision.Verb) == c.want {
				return "", true
			}
			all = append(all, d+" ("+l.Decision.Message+")")
		}
		return strings.Join(all, ", then "), false
	case ofGate:
		return c.gateOf(looks[0])
	}
	return got, got == c.want
}

func (c check) gateOf(l timeline.Look) (got string, ok bool) {
	for _, r := range l.Verdicts {
		if !named(r.Effect, r.Name, c.gate) {
			continue
		}
		got = string(r.Verdict)
		if r.Detail != "" {
			got += " (" + r.Detail + ")"
		}
		return got, string(r.Verdict) == c.want
	}
	return fmt.Sprintf("nothing: it was not evaluated at %s", l.Before), false
}
