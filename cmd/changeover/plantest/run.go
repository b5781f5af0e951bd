package plantest

import (
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

// Resolve fills in what the tests leave to the plan, and returns what does not
// fit it.
func (f *File) Resolve(p *plan.Plan, src []byte) []plan.Problem {
	d := &decoder{name: f.Name, lines: strings.Split(string(src), "\n")}
	it := p.Itinerary()
	stop := func(pos plan.Position, at place) {
		if !pos.IsZero() && it.Index(pos) < 0 {
			d.addAt(at, "unknown-stop", fmt.Sprintf("%s is not on the plan's itinerary", pos), "the stops are "+stops(it))
		}
	}
	for i := range f.Tests {
		t := &f.Tests[i]
		t.fill(p)
		stop(t.Position, t.at.position)
		stop(t.Effective, t.at.effective)
		for _, c := range t.Commits {
			stop(c.Position, c.place)
			if c.Position.IsZero() {
				d.addAt(c.place, "unknown-stop", "a commit declares a stop", "the stops are "+stops(it))
			}
		}
		for _, e := range t.Expect {
			for _, c := range e.Checks {
				switch c.kind {
				case ofGate:
					if !hasGate(p, c.gate) {
						d.addAt(c.place, "unknown-gate", fmt.Sprintf("the plan has no gate %q", c.gate), "write its name, or EFFECT/NAME as in rollback/errors")
					}
				case ofPosition, ofDeclared:
					if pos, err := plan.ParsePosition(c.want); err == nil && c.want != (plan.Position{}).String() {
						stop(pos, c.place)
					}
				case ofDecision:
				}
			}
		}
	}
	plan.Sort(d.problems)
	return d.problems
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

func stops(it plan.Itinerary) string {
	names := make([]string, len(it))
	for i, stop := range it {
		names[i] = stop.String()
	}
	return strings.Join(names, ", ")
}

func hasGate(p *plan.Plan, name string) bool {
	for _, ph := range p.Spec.Phases {
		for _, e := range plan.Effects {
			for _, g := range ph.GatesOf(e) {
				if named(e, g.Name, name) {
					return true
				}
			}
		}
	}
	return false
}

// named reports whether NAME or EFFECT/NAME means the gate.
func named(e plan.Effect, name, wanted string) bool {
	return wanted == name || wanted == string(e)+"/"+name
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
	o := timeline.Options{Plan: v, From: t.Effective, Start: f.Start, Interval: f.Interval, Limits: Limits, Sampler: signals}
	for name := range v.Plan.Spec.Objects {
		if o.Objects == nil {
			o.Objects = map[string]gates.Object{}
		}
		o.Objects[name] = gates.Object{Value: t.Objects[name]}
	}
	player, err := timeline.New(o)
	if err != nil {
		return nil, err
	}
	if t.Position != t.Effective || t.Effective.IsZero() {
		player.Commit(t.Position, f.Start, false)
	}
	return t.play(player, f.Start, f.Interval)
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
	needs, err := timeline.Needs(p, f.Interval)
	if err != nil {
		return nil, err
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

func (t Test) play(player *timeline.Player, start time.Time, interval time.Duration) (failed []Failure, err error) {
	expected := slices.Clone(t.Expect)
	slices.SortStableFunc(expected, func(a, b Expectation) int { return int(a.At - b.At) })
	commits := t.Commits
	for at := time.Duration(0); len(expected) > 0; at += interval {
		for ; len(commits) > 0 && commits[0].At <= at; commits = commits[1:] {
			player.Commit(commits[0].Position, start.Add(at), commits[0].Resume)
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
