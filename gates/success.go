package gates

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/changeover-dev/changeover/plan"
)

// toldToReports are the facts that a report knows, which is made from Git and
// Prometheus alone.
var toldToReports = []string{"position", "declared", "now"}

// success compiles the criteria of a plan.
func (b *builder) success(criteria []plan.Criterion) {
	for i, c := range criteria {
		path := fmt.Sprintf("spec.success[%d].expr", i)
		e, fs := b.compiler.compile(c.Expr)
		if len(fs) > 0 {
			b.report(path, c.Expr, fs...)
			continue
		}
		if what := e.untoldToReports(); what != "" {
			b.report(path, c.Expr, fault{code: "success-untold",
				message: fmt.Sprintf("a criterion cannot read %s: it is judged in reports, from Git and Prometheus alone", what),
				hint:    "read a signal that tells it; consent at the end is given by approvals of the last phase"})
			continue
		}
		out := gate{Gate: plan.Gate{Name: c.Name, Expr: c.Expr, Message: c.Message}, expr: e}
		out.sources, out.reach = b.prg.sources(e, 0, 0)
		b.prg.success = append(b.prg.success, out)
	}
}

// untoldToReports names what the expression reads and no report knows; empty
// where there is nothing.
func (e *expr) untoldToReports() string {
	switch {
	case len(e.objects) > 0:
		return "object." + e.objects[0]
	case len(e.plans) > 0:
		return besideName("plans", e.plans[0])
	case len(e.approvals) > 0:
		return besideName("approvals", e.approvals[0])
	}
	for _, name := range e.facts {
		if !slices.Contains(toldToReports, name) {
			return name
		}
	}
	return ""
}

// SuccessNeeds lists what to sample before Success, each once, sorted.
func (p *Program) SuccessNeeds() []Need {
	set := map[Need]struct{}{}
	for i := range p.success {
		for j := range p.success[i].sources {
			set[p.success[i].sources[j].need] = struct{}{}
		}
	}
	return slices.SortedFunc(maps.Keys(set), compareNeeds)
}

// Success judges the plan's criteria over one snapshot, in the order of the
// file. The results have the effect plan.Succeeds.
func (p *Program) Success(ctx context.Context, s Snapshot) Results {
	var out Results
	v := newVars(ctx, &s, p)
	for i := range p.success {
		c := &p.success[i]
		ev := evaluation{p: p, gate: c, request: Request{Stop: s.Facts.Position}, effect: plan.Succeeds, snapshot: &s, vars: v}
		r := ev.run()
		r.Key = Key{Stop: s.Facts.Position, Effect: plan.Succeeds, Name: c.Name}
		r.Expr, r.Message = c.Expr, c.Message
		out = append(out, r)
	}
	return out
}

// Remembered tells of a baseline that is remembered when a stop is left: which
// stop that is, and what to ask for its value as of then. ok is false for one by
// offset, whose value is asked for at any time, and for a name that is none.
func (p *Program) Remembered(name string) (stop plan.Position, need Need, ok bool) {
	b, ok := p.baselines[name]
	if !ok || b.shifted != nil || b.stop.IsZero() {
		return plan.Position{}, Need{}, false
	}
	return b.stop, b.need, true
}
