package review

import (
	"fmt"
	"slices"
	"time"

	"github.com/changeover-dev/changeover/gates"
	"github.com/changeover-dev/changeover/plan"
	"github.com/changeover-dev/changeover/reconciler/decide"
)

// travel fills in the stops on the way and after it, what each of them asks for,
// the gates that decide, and what a breach undoes.
func (b *builder) travel(p *Plan, c couple) {
	head := c.head.Version.Plan
	it := head.Itinerary()
	from, to := it.Index(p.From), it.Index(p.To)
	for _, stop := range it[to+1:] {
		p.Later = append(p.Later, stopOf(head, stop))
	}
	switch p.Kind {
	case New, Raise:
		for _, stop := range it[from+1 : to+1] {
			p.Way = append(p.Way, stopOf(head, stop))
		}
		p.asks(head)
		p.breach(head)
	case Lower:
		p.Way = []Stop{stopOf(head, p.To)}
	default: // it stays where it is
	}
	if p.Kind == Raise || p.Kind == New || p.Live {
		p.windows(head, b.Now)
	}
	b.gates(p, head)
}

func stopOf(p *plan.Plan, at plan.Position) Stop {
	ph := p.Phase(at.Phase)
	s := Stop{Position: at, NotBefore: ph.NotBefore.At(at.Percent), Manual: ph.Manual, Approvals: ph.Approvals, Checklist: ph.Checklist}
	if bake := p.BakeAt(at); bake > 0 {
		s.Bake = bake.String()
	}
	return s
}

// asks lists what the stops on the way ask for before they are entered.
func (p *Plan) asks(head *plan.Plan) {
	for _, s := range p.Way {
		add := func(r decide.Reason, format string, args ...any) {
			p.Holds = append(p.Holds, Hold{Reason: r, Stop: s.Position, Message: fmt.Sprintf(format, args...)})
		}
		if !s.NotBefore.IsZero() {
			add(decide.NotBefore, "not before %s", s.NotBefore.UTC().Format(time.RFC3339))
		}
		if s.Manual && s.Position.Phase != head.Spec.Position.Phase {
			add(decide.Manual, "phase %s is manual: it is entered only when the position names it", s.Position.Phase)
		}
		for _, rule := range s.Approvals {
			add(decide.ApprovalMissing, "needs %s by %s, given after the merge", count(rule.Needed(), "approval"), rule.Role)
		}
		if n := len(s.Checklist); n > 0 {
			add(decide.ChecklistOpen, "%s of its checklist, ticked after the merge", count(n, "item"))
		}
	}
}

// windows tells when the plan may move, unless decide said that it may not now.
func (p *Plan) windows(head *plan.Plan, now time.Time) {
	shut := func(h Hold) bool { return h.Reason == decide.OutsideWindow }
	if len(head.Spec.Windows) == 0 || slices.ContainsFunc(p.Holds, shut) {
		return
	}
	text := "the plan's windows are open now"
	if _, _, until := head.WindowsAt(now); !until.IsZero() {
		text += ", until " + until.UTC().Format(time.RFC3339)
	}
	p.note("It moves forward only in its windows: %s.", text)
}

// breach says what a rollback gate would undo of a raise.
func (p *Plan) breach(head *plan.Plan) {
	ph := head.Phase(p.To.Phase)
	watched := slices.ContainsFunc(p.Way, func(s Stop) bool { return len(head.Phase(s.Position.Phase).Gates.Rollback) > 0 })
	rb := ph.Rollback
	switch {
	case !watched:
		p.Breach = "no stop on the way has a rollback gate: nothing takes it back by itself"
	case rb.OnBreach == plan.Freeze:
		p.Breach = "a breach stops the plan and pages; nothing is undone (onBreach: freeze)"
	case p.Kind == New:
		p.Breach = "the commit that adds a plan is never reverted: a breach halts the plan and pages"
	case rb.Depth == plan.DepthPhase:
		p.Breach = fmt.Sprintf("a breach undoes every raise since phase %s was entered", p.To.Phase)
	case rb.Depth == plan.DepthPlan:
		p.Breach = "a breach undoes every raise of the plan"
	default:
		p.Breach = fmt.Sprintf("a breach on the way, or before %s has baked, takes it back to %s, %s", p.To, p.From, count(len(p.Way), "stop"))
	}
}

// visit is a stop and the effects of the gates that decide there.
type visit struct {
	at      plan.Position
	effects []plan.Effect
}

// visits are the stops at which gates decide about the change.
func (p *Plan) visits(it plan.Itinerary) []visit {
	stays := []plan.Effect{plan.Pause, plan.Breaches}
	leaves := append([]plan.Effect{plan.Advance}, stays...)
	var out []visit
	switch p.Kind {
	case Raise, New:
		if it.Index(p.From) >= 0 {
			out = append(out, visit{p.From, leaves})
		}
		for i, s := range p.Way {
			effects := leaves
			if i == len(p.Way)-1 {
				effects = stays
			}
			out = append(out, visit{s.Position, append([]plan.Effect{plan.Enter}, effects...)})
		}
	case Lower:
		out = append(out, visit{p.To, stays})
	case Content:
		if p.Live {
			stays = append([]plan.Effect{plan.Enter}, stays...)
		}
		out = append(out, visit{p.To, stays})
	default: // gates decide nothing
	}
	return out
}

// gates lists those that decide, each once for all stops of its phase, and
// evaluates them where that is wanted.
func (b *builder) gates(p *Plan, head *plan.Plan) {
	type id struct {
		phase, name string
		effect      plan.Effect
	}
	at := map[id]int{}
	var reqs []gates.Request
	for _, v := range p.visits(head.Itinerary()) {
		var fresh []plan.Effect
		for _, e := range v.effects {
			for _, g := range head.Phase(v.at.Phase).GatesOf(e) {
				k := id{v.at.Phase, g.Name, e}
				if i, ok := at[k]; ok {
					p.Gates[i].Stops = append(p.Gates[i].Stops, v.at)
					continue
				}
				at[k] = len(p.Gates)
				one := Gate{Stops: []plan.Position{v.at}, Effect: e, Name: g.Name, Expr: g.Expr, Verdict: NotEvaluated}
				if g.For > 0 {
					one.For = g.For.String()
				}
				p.Gates = append(p.Gates, one)
				if !slices.Contains(fresh, e) {
					fresh = append(fresh, e)
				}
			}
		}
		if len(fresh) > 0 {
			reqs = append(reqs, gates.Request{Stop: v.at, Effects: fresh})
		}
	}
	if b.Gates == nil || len(p.Gates) == 0 {
		return
	}
	results, err := b.Gates(head, reqs)
	if err != nil {
		p.GatesError = err.Error()
		return
	}
	for _, r := range results {
		if i, ok := at[id{r.Stop.Phase, r.Name, r.Effect}]; ok && p.Gates[i].Stops[0] == r.Stop {
			p.Gates[i].Verdict, p.Gates[i].Detail = r.Verdict, r.Detail
		}
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
