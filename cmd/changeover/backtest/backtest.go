package backtest

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/gates/prom"
	"github.com/changeover-dev/changeover/plan"
)

// Options of Run.
type Options struct {
	Plan    *plan.Plan
	Program *gates.Program
	// Stops whose gates are evaluated, each as if the plan had stood there
	// all the time.
	Stops []plan.Position
	// From when, and until when: the end is not evaluated any more.
	From, To time.Time
	// Step between two evaluations.
	Step time.Duration
}

// Report is what a backtest found.
type Report struct {
	Plan plan.Key      `json:"plan"`
	From time.Time     `json:"from"`
	To   time.Time     `json:"to"`
	Step plan.Duration `json:"step"`
	// Evaluations of each gate.
	Evaluations int `json:"evaluations"`
	// Assumptions about what nobody knows of the past, in sentences.
	Assumptions []string `json:"assumptions"`
	Gates       []Gate   `json:"gates"`
}

// Gate is one gate over the whole time.
type Gate struct {
	// Stops at which it gave the same.
	Stops   []plan.Position `json:"stops"`
	Effect  plan.Effect     `json:"effect"`
	Name    string          `json:"name"`
	Expr    string          `json:"expr"`
	For     plan.Duration   `json:"for,omitempty"`
	Message string          `json:"message,omitempty"`
	// Totals are for how long each verdict lasted.
	Totals map[gates.Verdict]plan.Duration `json:"totals"`
	// FirstPass is when the expression was true for the first time: of a
	// pause or rollback gate its first breach.
	FirstPass *time.Time `json:"firstPass,omitempty"`
	// Intervals follow one another without a gap.
	Intervals []Interval `json:"intervals"`
}

// Interval is a time in which the verdict was the same. To is the first
// evaluation that gave another, or the end.
type Interval struct {
	From    time.Time     `json:"from"`
	To      time.Time     `json:"to"`
	Verdict gates.Verdict `json:"verdict"`
	// Detail and Values are those of the first evaluation in it.
	Detail string             `json:"detail,omitempty"`
	Values map[string]float64 `json:"values,omitempty"`
}

// Breach reports whether the verdict is that of an alarm that goes off.
func (g *Gate) Breach(v gates.Verdict) bool { return g.alarm() && v == gates.Pass }

func (g *Gate) alarm() bool { return g.Effect == plan.Pause || g.Effect == plan.Breaches }

// Word is the verdict for people: Breach and Quiet for alarms.
func (g *Gate) Word(v gates.Verdict) string {
	switch {
	case g.alarm() && v == gates.Pass:
		return "Breach"
	case g.alarm() && v == gates.Fail:
		return "Quiet"
	}
	return string(v)
}

// Assumptions are what is taken for granted of a past at a stop.
func Assumptions() []string {
	return []string{
		"The plan stood at each stop all the time, and had entered it long before: position and declared are that stop.",
		"Cluster and gateway were healthy.",
		"What Prometheus does not keep is unknown: live objects, other plans, approvals, commits, and when a stop or a phase was entered.",
	}
}

// Facts are what is assumed of a past at a stop.
func Facts(stop plan.Position) gates.Facts {
	return gates.Facts{Position: stop, Declared: stop, Health: gates.Health{Cluster: true, Gateway: true}}
}

// Requests are for all gates of a stop.
func Requests(stop plan.Position) []gates.Request {
	return []gates.Request{{Stop: stop, Effects: plan.Effects}}
}

// Run asks Prometheus and evaluates every gate at From and at every step after
// it. The error says that Prometheus could not be asked.
func Run(ctx context.Context, c *prom.Client, o Options) (*Report, error) {
	if o.Step <= 0 || !o.To.After(o.From) {
		return nil, fmt.Errorf("backtest from %s to %s by %s: there is nothing to evaluate", o.From.Format(time.RFC3339), o.To.Format(time.RFC3339), o.Step)
	}
	groups := groupStops(o.Plan, o.Stops)
	var all []gates.Request
	for _, g := range groups {
		all = append(all, Requests(g.stops[0])...)
	}
	last := o.From.Add((o.To.Sub(o.From) - 1).Truncate(o.Step))
	span, err := c.Span(ctx, o.Program.Needs(all), o.From, last, o.Step)
	if err != nil {
		return nil, err
	}
	r := &Report{Plan: o.Plan.Key(), From: o.From.UTC(), To: o.To.UTC(), Step: plan.Duration(o.Step), Assumptions: Assumptions(), Gates: []Gate{}}
	samples := map[gates.Need]gates.Sample{}
	for at := o.From; at.Before(o.To); at = at.Add(o.Step) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("backtest: %w", err)
		}
		span.Into(samples, at)
		r.Evaluations++
		for i := range groups {
			g := &groups[i]
			g.add(at.UTC(), o.Program.Eval("", g.requests, gates.Snapshot{Now: at, Samples: samples, Facts: g.facts}))
		}
	}
	for _, g := range groups {
		g.finish(o.Plan, r.To)
		r.Gates = join(r.Gates, g.gates)
	}
	return r, nil
}

// group is stops of one phase whose gates need one evaluation.
type group struct {
	stops    []plan.Position
	requests []gates.Request
	facts    gates.Facts
	gates    []Gate
}

// placed finds expressions whose value may hang on the stop. One that only
// mentions the word costs an evaluation more.
var placed = regexp.MustCompile(`\b(position|declared)\b`)

func groupStops(p *plan.Plan, stops []plan.Position) []group {
	var out []group
	for _, s := range stops {
		if n := len(out); n > 0 && out[n-1].stops[0].Phase == s.Phase && !readsPosition(p.Phase(s.Phase)) {
			out[n-1].stops = append(out[n-1].stops, s)
			continue
		}
		out = append(out, group{stops: []plan.Position{s}, requests: Requests(s), facts: Facts(s)})
	}
	return out
}

func readsPosition(ph *plan.Phase) bool {
	for _, e := range plan.Effects {
		for _, g := range ph.GatesOf(e) {
			if placed.MatchString(g.Expr) {
				return true
			}
		}
	}
	return false
}

// add takes the results of one time.
func (g *group) add(at time.Time, results gates.Results) {
	if g.gates == nil {
		g.gates = make([]Gate, len(results))
	}
	for i := range results {
		r, gate := &results[i], &g.gates[i]
		if n := len(gate.Intervals); n > 0 {
			if gate.Intervals[n-1].Verdict == r.Verdict {
				continue
			}
			gate.Intervals[n-1].To = at
		}
		gate.Effect, gate.Name, gate.Expr, gate.Message = r.Effect, r.Name, r.Expr, r.Message
		gate.Intervals = append(gate.Intervals, Interval{From: at, Verdict: r.Verdict, Detail: r.Detail, Values: r.Values})
		if r.Verdict == gates.Pass && gate.FirstPass == nil {
			gate.FirstPass = &at
		}
	}
}

// finish closes the last intervals and sums up.
func (g *group) finish(p *plan.Plan, end time.Time) {
	fors := map[plan.Effect]map[string]plan.Duration{}
	for _, e := range plan.Effects {
		fors[e] = map[string]plan.Duration{}
		for _, gate := range p.Phase(g.stops[0].Phase).GatesOf(e) {
			fors[e][gate.Name] = gate.For
		}
	}
	for i := range g.gates {
		gate := &g.gates[i]
		gate.Stops, gate.For = g.stops, fors[gate.Effect][gate.Name]
		gate.Intervals[len(gate.Intervals)-1].To = end
		gate.Totals = map[gates.Verdict]plan.Duration{}
		for _, in := range gate.Intervals {
			gate.Totals[in.Verdict] += plan.Duration(in.To.Sub(in.From))
		}
	}
}

// join adds the gates of further stops. A gate that gave the same at the stop
// before is not told twice.
func join(have, more []Gate) []Gate {
	for _, g := range more {
		same := false
		for i := range have {
			h := &have[i]
			if h.Stops[0].Phase == g.Stops[0].Phase && h.Effect == g.Effect && h.Name == g.Name && h.Expr == g.Expr && reflect.DeepEqual(h.Intervals, g.Intervals) {
				h.Stops = append(h.Stops[:len(h.Stops):len(h.Stops)], g.Stops...)
				same = true
				break
			}
		}
		if !same {
			have = append(have, g)
		}
	}
	return have
}
