package gates

import (
	"context"
	"time"

	"github.com/changeover-dev/changeover/plan"
)

// Eval evaluates the gates that the requests name over one snapshot. Results
// carry rev in their keys. Needs that the snapshot has no sample for are
// unknown.
func (p *Program) Eval(rev plan.Revision, reqs []Request, s Snapshot) Results {
	return p.EvalContext(context.Background(), rev, reqs, s)
}

// EvalContext is Eval with a deadline: gates that it cuts off are Error.
func (p *Program) EvalContext(ctx context.Context, rev plan.Revision, reqs []Request, s Snapshot) Results {
	var rs Results
	v := newVars(ctx, &s, p)
	for _, r := range reqs {
		p.gates(r, func(effect plan.Effect, g *gate) {
			ev := evaluation{p: p, gate: g, request: r, effect: effect, snapshot: &s, vars: v}
			out := ev.run()
			out.Key = Key{Revision: rev, Stop: r.Stop, Effect: effect, Name: g.Name}
			out.Expr, out.Message = g.Expr, g.Message
			rs = append(rs, out)
		})
	}
	return rs
}

// evaluation is one gate over one snapshot.
type evaluation struct {
	p        *Program
	gate     *gate
	request  Request
	effect   plan.Effect
	snapshot *Snapshot
	vars     *vars
	// readings of the gate's sources, in their order.
	readings []reading
}

func (e *evaluation) run() Result {
	e.read()
	var out Result
	for _, r := range e.readings {
		if r.last.Unknown == "" {
			if out.Values == nil {
				out.Values = make(map[string]float64, len(e.readings))
			}
			out.Values[r.label()] = r.last.Value
		}
	}
	if e.waits() {
		out.Verdict, out.Now, out.Waits, out.Detail = NoData, NoData, true, "waiting for fresh evidence: the stop was entered backward"
		return out
	}
	if why, early := e.early(); early {
		out.Verdict, out.Now, out.Detail = Fail, Fail, joinDetails(why, e.describe())
		return out
	}
	var err error
	out.Now, err = e.at(func(r *reading) Point { return r.last })
	if e.gate.step == 0 {
		out.Verdict = out.Now
		out.Detail = joinDetails(e.describe(), e.errorDetail(out.Verdict, err), e.emptyResult(out.Verdict))
		return out
	}
	w := e.window()
	out.Verdict = w.verdict(e)
	out.Waits = out.Verdict == NoData && w.stale > 0 && (w.counts == 0 || w.knownEnough(w.counts))
	out.Detail = joinDetails(w.detail(e, out.Verdict), e.describe())
	return out
}

// read looks up the samples of the gate's sources.
func (e *evaluation) read() {
	e.readings = make([]reading, len(e.gate.sources))
	for i := range e.gate.sources {
		r := reading{source: &e.gate.sources[i]}
		sample, ok := e.snapshot.Samples[r.need]
		r.sample, r.last = sample, known(sample.Last)
		switch {
		case !ok:
			r.last = Point{Unknown: "not sampled"}
		case sample.Err != nil:
			r.last = Point{Time: r.last.Time, Unknown: "error"}
		}
		e.readings[i] = r
	}
	for i := range e.readings {
		if r := &e.readings[i]; r.variable == "series" {
			r.readSeries(e.now())
		}
	}
}

// known is a point whose value is a finite number where it is known.
func known(p Point) Point {
	if p.Unknown == "" && notFinite(p.Value) {
		p.Unknown = "NaN or infinite"
	}
	return p
}

// at evaluates the expression with one point of each source. It is Error where
// the result hangs on a signal or an object that could not be asked.
func (e *evaluation) at(point func(*reading) Point) (Verdict, error) {
	e.vars.reset()
	failed := false
	for i := range e.readings {
		r := &e.readings[i]
		if p := point(r); p.Unknown == "" {
			e.vars.set(r, p.Value)
			continue
		}
		e.vars.unknown = append(e.vars.unknown, r.pattern)
		failed = failed || r.sample.Err != nil
	}
	for _, name := range e.gate.expr.objects {
		failed = failed || e.snapshot.Facts.Objects[name].Err != nil
	}
	v, err := e.gate.expr.eval(e.vars)
	if v == NoData && failed {
		v = Error
	}
	return v, err
}

// freshAfter is the time after which evidence counts at a stop that was
// entered backward: what the queries read before it is older than the entry.
func (e *evaluation) freshAfter() (time.Time, bool) {
	alarm := e.effect == plan.Pause || e.effect == plan.Breaches || e.effect == plan.Verify
	if !e.request.Fresh || !alarm || len(e.gate.sources) == 0 {
		return time.Time{}, false
	}
	return e.request.Since.Add(e.gate.reach), true
}

func (e *evaluation) waits() bool {
	after, ok := e.freshAfter()
	return ok && !e.now().After(after)
}

// now is the time of the newest points; that of the snapshot where there are
// none that near. A sampler may round the time that it was asked for.
func (e *evaluation) now() time.Time {
	newest := time.Time{}
	for i := range e.readings {
		r := &e.readings[i]
		for _, t := range []time.Time{r.last.Time, lastTime(r.sample.Points)} {
			if t.After(newest) && !t.After(e.snapshot.Now) {
				newest = t
			}
		}
	}
	if age := e.snapshot.Now.Sub(newest); age < max(e.gate.step, e.p.interval) {
		return newest
	}
	return e.snapshot.Now
}

func lastTime(ps []Point) time.Time {
	if len(ps) == 0 {
		return time.Time{}
	}
	return ps[len(ps)-1].Time
}
